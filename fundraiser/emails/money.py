"""E-mails about refunds, late payments and bank accounts to be confirmed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from fundraiser.config import current_settings
from fundraiser.emails.parts import Body, Link, NotDueError, Wording, compose, money
from fundraiser.members.email_links import payment_link
from fundraiser.members.models import Membership, Source, Status
from fundraiser.members.prices import per, price_of
from fundraiser.outbox import EmailKind
from fundraiser.payments.cases import CaseKind, find_case
from fundraiser.payments.late import read_late_payment
from fundraiser.payments.models import Checkout
from fundraiser.payments.money_back import MoneyBack, read_money_back, say_money_back
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from fundraiser.outbox import Email

ABOUT_MONEY = {
    EmailKind.SECOND_MEMBERSHIP,
    EmailKind.REFUNDED,
    EmailKind.PAID_AFTER_END,
    EmailKind.BANK_TO_CONFIRM,
}


def body_about_money(session: Session, email: Email) -> Body:
    """What such an e-mail says.

    Raises:
        NotOwedError: what it would say is true no longer.
    """
    told = email.context
    match email.kind:
        case EmailKind.SECOND_MEMBERSHIP:
            first = membership_of(session, told["first"])
            return body_of_second(told, first, read_money_back(session, email.cycle))
        case EmailKind.REFUNDED:
            return body_of_refund(told["amount"], told["currency"])
        case EmailKind.PAID_AFTER_END:
            case = find_case(session, CaseKind.PAID_AFTER_END, email.cycle)
            if case is None or case.closed_at is not None:
                raise NotDueError("The payment was refunded or used before the e-mail could leave.")
            late = read_late_payment(session, case.id)
            return body_of_late_payment(
                case.amount,
                case.currency,
                payment_link(case.id),
                may_restart=late is not None and late.may_restart,
            )
    membership = membership_of(session, email.cycle)
    checkout = session.scalars(select(Checkout).where(Checkout.reference == email.cycle)).first()
    if membership is None or membership.status is not Status.INCOMPLETE or checkout is None:
        raise NotDueError("The bank account was confirmed, or can't be any more.")
    home = current_settings().public_url
    return body_of_deposits(membership, f"{home}/join/thanks?session_id={checkout.session_id}")


def body_of_second(
    second: Mapping[str, Any], first: Membership | None, money_back: MoneyBack
) -> Body:
    """What is said of a membership that was one too many, and of the money paid for it."""
    amount = money(second["amount"], second["currency"])
    each_time = per(second["amount"], second["currency"], second["interval"])
    rows = [(_("Second membership, canceled"), each_time)]
    if first:
        rows.insert(0, (_("Your membership"), price_of(first)))
    back = money(money_back.refunded, second["currency"])
    if money_back.refunded:
        rows.append((_("Refunded"), back))

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("You’re already a member: we refunded %(amount)s", amount=v["amount"])
            if money_back.refunded
            else _("You’re already a member: we canceled the second membership"),
            _("You were a member already"),
            [
                _(
                    "You joined a second time, so you would have paid twice. We’ve canceled the "
                    "second membership; your first one continues as before."
                )
            ],
        )

    values = {
        "newsroom": current_settings().newsroom_name,
        "amount": back if money_back.refunded else amount,
    }
    return replace(
        compose(
            say,
            values,
            _("You get this e-mail because somebody joined a second time with your address."),
            say_money_back(second["currency"], money_back, amount),
        ),
        rows=rows,
        advice=(
            _("To pay a different amount"),
            _("There’s no need to join again: you can change how much you pay in your account."),
        ),
    )


def body_of_refund(amount: int, currency: str) -> Body:
    """What is said of a refund that the person was told to wait for, or had asked for."""
    values = {"newsroom": current_settings().newsroom_name, "amount": money(amount, currency)}

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("We’ve refunded %(amount)s", amount=v["amount"]),
            _("We’ve refunded %(amount)s", amount=v["amount"]),
            [_("Your bank may take up to ten days to show it.")],
        )

    return replace(
        compose(say, values, _("You get this e-mail because we owed you a refund.")),
        rows=[(_("Refunded"), values["amount"])],
    )


def body_of_late_payment(
    amount: int, currency: str, link: str, *, may_restart: bool = True
) -> Body:
    """What is said of a payment that arrived after the membership had ended."""
    values = {"newsroom": current_settings().newsroom_name, "amount": money(amount, currency)}

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("You paid %(amount)s after your membership ended", amount=v["amount"]),
            _("You paid %(amount)s after your membership ended", amount=v["amount"]),
            [
                _("Thank you. Your payment went through, but your membership had ended before."),
                _("You can restart it with this payment, or have the payment refunded.")
                if may_restart
                else _("You can have the payment refunded."),
            ],
        )

    return replace(
        compose(
            say,
            values,
            _("You get this e-mail because you paid for a membership that had ended."),
        ),
        rows=[(_("You paid"), values["amount"])],
        link=Link(_("Restart or get a refund") if may_restart else _("Get a refund"), link),
        has_account=False,
    )


def body_of_deposits(membership: Membership, link: str) -> Body:
    """What is said while a bank account waits to be confirmed by two small deposits."""
    each_time = price_of(membership)
    values = {"newsroom": current_settings().newsroom_name, "each": each_time}

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Confirm your bank account to join %(newsroom)s", newsroom=v["newsroom"]),
            _("Confirm your bank account"),
            [
                _(
                    "Stripe, our payment service, sends a small deposit to your bank account "
                    "within one or two business days. When you see it, confirm it on Stripe’s page."
                ),
                _("You haven’t been charged yet. Your membership starts once you’ve confirmed."),
            ],
        )

    return replace(
        compose(
            say, values, _("You get this e-mail because you chose to pay from a bank account.")
        ),
        rows=[(_("You pay"), each_time)],
        link=Link(_("Confirm my bank account"), link),
        has_account=False,
    )


def membership_of(session: Session, reference: str) -> Membership | None:
    """The membership of this subscription."""
    return session.scalars(
        select(Membership).where(
            Membership.source == Source.STRIPE, Membership.reference == reference
        )
    ).first()
