"""E-mail bodies about a membership: failed payments, cards, renewals and ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.config import current_settings
from fundraiser.emails.debits import refused
from fundraiser.emails.parts import (
    Body,
    Link,
    NotDueError,
    Wording,
    compose,
    money,
    what_is_paid,
)
from fundraiser.members.email_links import membership_link
from fundraiser.members.models import Membership, Source
from fundraiser.members.payment_methods import method_of, pays_by_card
from fundraiser.members.prices import next_payment_of
from fundraiser.members.renewals import renews
from fundraiser.outbox import EmailKind
from fundraiser.payments.models import Payment
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy.orm import Session

    from fundraiser.emails.parts import Say
    from fundraiser.outbox import Email


def body_about_membership(session: Session, email: Email) -> Body:
    """What an e-mail about one membership says."""
    membership = session.scalars(
        select(Membership).where(
            Membership.source == Source.STRIPE,
            Membership.reference == email.context["membership"],
        )
    ).first()
    if membership is None:
        raise NotDueError("The membership that it is about is not known any more.")
    if email.kind is EmailKind.PAYMENT_FAILED_FIRST and membership.paid_at:
        raise NotDueError("The membership was paid before the e-mail could leave.")
    if email.kind is EmailKind.RECEIPT:
        payment = session.scalars(select(Payment).where(Payment.charge_id == email.cycle)).one()
        return body_of_receipt(payment, membership)
    return body_about(email.kind, membership)


def body_about(kind: EmailKind, membership: Membership) -> Body:
    """What this kind of e-mail says of a membership as it stands."""
    return _ABOUT_MEMBERSHIP[kind](membership, _values(membership))


def _values(membership: Membership) -> dict[str, str]:
    """What every e-mail about a membership may name, as far as it is known."""
    settings = current_settings()
    known = {
        "newsroom": settings.newsroom_name,
        "amount": money(membership.due or membership.amount, membership.currency),
        "each": what_is_paid(membership),
    }
    if pays_by_card(membership) and membership.card_last4:
        known["card"] = membership.card_last4
    if membership.card_expires_at:
        known["month"] = f"{membership.card_expires_at - timedelta(days=1):%m/%y}"
    if membership.grace_from:
        known["date"] = date(membership.grace_from)
        known["until"] = date(membership.grace_from + settings.grace)
    elif membership.ended_at:
        known["date"] = date(membership.ended_at)
    elif membership.cancel_at and not renews(membership):
        known["date"] = date(membership.cancel_at)
    elif membership.period_end:
        known["date"] = date(membership.period_end)
    return known


def _needs(values: Mapping[str, str], *names: str) -> None:
    if any(name not in values for name in names):
        raise NotDueError("What it would say is true no longer.")


def _unpaid() -> str:
    return _("You’re getting this e-mail because a payment for your membership failed.")


def _pay_link(membership: Membership) -> Link:
    """The unpaid invoice's own page takes any payment method, without signing in."""
    link = membership.pay_url or f"{current_settings().public_url}/account"
    if pays_by_card(membership):
        return Link(_("Pay with this or another card"), link)
    return Link(_("Pay now"), link)


def _failed(say: Callable[..., Wording]) -> Callable[..., Body]:
    def words(membership: Membership, values: dict[str, str]) -> Body:
        _needs(values, "date", "until")
        by_card = pays_by_card(membership)
        return replace(
            compose(lambda v: say(v, by_card=by_card), values, _unpaid()),
            rows=[
                (_("You pay"), values["each"]),
                *_paid_with(membership),
                (_("Not paid since"), values["date"]),
            ],
            link=_pay_link(membership),
            advice=(
                _("If you’d rather leave"),
                _(
                    "There’s nothing to do: we’ll stop trying, and you won’t be charged. Or reply "
                    "to this e-mail, and we’ll cancel your membership now."
                ),
            ),
        )

    return words


def _paid_with(membership: Membership) -> list[tuple[str, str]]:
    name = method_of(membership)
    return [(_("You pay with"), name)] if name else []


def _failed_at_first(v: Mapping[str, str], *, by_card: bool) -> Wording:
    subject = _("Your payment of %(amount)s failed", amount=v["amount"])
    return Wording(
        subject,
        subject,
        [
            _(
                "Your bank refused it on %(date)s. You weren’t charged, and you are still a "
                "member.",
                date=v["date"],
            ),
            _(
                "We’ll try again in the next few days. If your card is lost or has expired, pay "
                "with another one now."
            )
            if by_card
            else _("We’ll try again in the next few days. You can also pay another way now."),
        ],
    )


def _failed_again(v: Mapping[str, str], *, by_card: bool) -> Wording:
    return Wording(
        _("Your payment of %(amount)s failed again", amount=v["amount"]),
        _("We tried again, and your bank refused"),
        [
            _(
                "Your %(amount)s payment has been due since %(date)s. You stay a member until "
                "%(until)s while we try.",
                amount=v["amount"],
                date=v["date"],
                until=v["until"],
            ),
            _("Another card often works. Some banks want you to confirm that the payment is yours.")
            if by_card
            else _("You can pay another way, or ask your bank why it refused."),
        ],
    )


def _failed_for_a_week(v: Mapping[str, str], *, by_card: bool) -> Wording:
    return Wording(
        _("Your membership is unpaid: %(amount)s", amount=v["amount"]),
        _("Your membership needs another card") if by_card else _("Your membership is unpaid"),
        [
            _(
                "Your bank has refused %(amount)s for a week. If it isn’t paid, you are counted as "
                "a member until %(until)s.",
                amount=v["amount"],
                until=v["until"],
            ),
            _("Paying with another card takes a minute, and you don’t need to sign in.")
            if by_card
            else _("Paying another way takes a minute, and you don’t need to sign in."),
        ],
    )


def _failed_for_the_last_time(v: Mapping[str, str], *, by_card: bool) -> Wording:
    return Wording(
        _("Your membership ends on %(until)s", until=v["until"]),
        _("This is our last e-mail about the payment"),
        [
            _(
                "Your bank refused %(amount)s. On %(until)s you stop being counted as a member.",
                amount=v["amount"],
                until=v["until"],
            ),
            _("If you want to stay, pay with another card before then.")
            if by_card
            else _("If you want to stay, pay before then."),
        ],
    )


def _first_debit_failed(membership: Membership, values: dict[str, str]) -> Body:
    """It counted on the strength of a debit that was on its way, and has stopped."""

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your first payment of %(amount)s did not arrive", amount=v["amount"]),
            _("Your first payment did not arrive"),
            [
                refused(v),
                _(
                    "So your membership is not in the number now. It is again as soon as a payment "
                    "arrives."
                ),
            ],
        )

    values |= {"date": date(membership.started_at)}
    again = membership.ended_at is not None
    return replace(
        compose(say, values, _unpaid()),
        rows=[(_("You pay"), values["each"]), (_("Agreed to on"), values["date"])],
        link=_join_again() if again else replace(_pay_link(membership), text=_("Pay another way")),
        advice=None
        if again
        else (
            _("If you want to stop"),
            _(
                "Stop on your account’s page, or reply to this letter. Until then your bank may be "
                "asked once more."
            ),
        ),
        manage=None if again else membership_link(membership),
    )


def _to_be_confirmed(membership: Membership, values: dict[str, str]) -> Body:
    _needs(values, "date", "until")

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Confirm your payment of %(amount)s", amount=v["amount"]),
            _("Your bank wants you to confirm %(amount)s", amount=v["amount"]),
            [
                _(
                    "Banks ask this for some payments, to be sure that they are yours. You haven’t "
                    "been charged yet, and you are still a member."
                ),
                _("Open the invoice and confirm the payment by %(until)s.", until=v["until"]),
            ],
        )

    link = membership.pay_url or f"{current_settings().public_url}/account"
    return replace(
        compose(say, values, _unpaid()),
        rows=[(_("You pay"), values["each"]), (_("To be confirmed since"), values["date"])],
        link=Link(_("Confirm the payment"), link),
    )


def _card_expires(say: Callable[[Mapping[str, str]], Wording]) -> Callable[..., Body]:
    def words(_membership: Membership, values: dict[str, str]) -> Body:
        _needs(values, "card", "month", "date")
        return replace(
            compose(
                say, values, _("You get this letter because your membership is paid by this card.")
            ),
            rows=[
                (_("You pay"), values["each"]),
                (_("The next payment"), values["date"]),
                (_("Card"), _("ends in %(card)s, good until %(month)s", **_only(values))),
            ],
            link=Link(_("Enter the new card"), f"{current_settings().public_url}/account"),
        )

    return words


def _only(values: Mapping[str, str]) -> dict[str, str]:
    return {"card": values["card"], "month": values["month"]}


def _card_in_a_month(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("Your card ending in %(card)s is good until %(month)s", **_only(v)),
        _("Your card expires soon"),
        [
            _(
                "Your membership is paid by the card ending in %(card)s, which is good until the "
                "end of %(month)s. When you have the new one, enter it.",
                **_only(v),
            ),
            _("Some banks tell us of the new card by themselves. Then you need not do anything."),
        ],
    )


def _card_in_a_week(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("Your card ending in %(card)s expires in a few days", card=v["card"]),
        _("Your card expires in a few days"),
        [
            _(
                "The card ending in %(card)s is good until the end of %(month)s, and we have no "
                "other. Without a new one the payment on %(date)s will fail.",
                date=v["date"],
                **_only(v),
            ),
        ],
    )


def _renewal(membership: Membership, values: dict[str, str]) -> Body:
    _needs(values, "date")

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("You’ll be charged %(amount)s on %(date)s", amount=v["amount"], date=v["date"]),
            _("Your membership goes on for another year"),
            [
                _(
                    "On %(date)s you’ll be charged %(amount)s for the next year, as you agreed "
                    "when you joined. There’s nothing you need to do.",
                    amount=v["amount"],
                    date=v["date"],
                ),
                _("Thank you for a year of %(newsroom)s.", newsroom=v["newsroom"]),
            ],
        )

    reason = _("You’re getting this e-mail because you pay once a year.")
    rest = membership.amount - membership.credit
    if rest > 0:
        words = compose(say, {**values, "amount": money(rest, membership.currency)}, reason)
    else:  # in our own words: staff's say what is charged
        words = replace(compose(_renewal_from_credit(membership), values, reason), original=None)
    rows = [
        (_("You pay"), values["each"]),
        (_("Next payment"), next_payment_of(membership) or values["date"]),
        *_paid_with(membership),
    ]
    if membership.cancel_at:
        rows.append((_("Ends on"), date(membership.cancel_at)))
    return replace(
        words,
        rows=rows,
        advice=(
            _("If you want to cancel"),
            _(
                "Cancel before %(date)s in your account, or reply to this e-mail. You don’t have "
                "to say why, and you won’t be charged.",
                date=values["date"],
            ),
        ),
        link=Link(_("Change or cancel my membership"), membership_link(membership)),
    )


def _renewal_from_credit(membership: Membership) -> Say:
    credit = money(membership.credit, membership.currency)

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your membership goes on for another year on %(date)s", date=v["date"]),
            _("Your membership goes on for another year"),
            [
                _(
                    "Your credit of %(credit)s pays the %(amount)s for the next year on %(date)s, "
                    "so you won’t be charged. There’s nothing you need to do.",
                    credit=credit,
                    amount=v["amount"],
                    date=v["date"],
                ),
                _("Thank you for a year of %(newsroom)s.", newsroom=v["newsroom"]),
            ],
        )

    return say


def _canceled(membership: Membership, values: dict[str, str]) -> Body:
    _needs(values, "date")

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("You have cancelled your membership"),
            _("You have cancelled your membership"),
            [
                _(
                    "You stay a member until %(date)s, and you won’t be charged again.",
                    date=v["date"],
                ),
                _("Thank you for what you gave to %(newsroom)s.", newsroom=v["newsroom"]),
            ],
        )

    if renews(membership):
        raise NotDueError("The membership is charged again before it ends.")

    return replace(
        compose(
            say, values, _("You’re getting this e-mail because your membership was cancelled.")
        ),
        rows=[(_("You paid"), values["each"]), (_("A member until"), values["date"])],
        advice=(
            _("If you change your mind"),
            _("Until then you can keep your membership as it was, in your account."),
        ),
        link=Link(_("Keep my membership"), membership_link(membership)),
    )


def _ended(membership: Membership, values: dict[str, str]) -> Body:
    _needs(values, "date")
    has_failed = membership.cancel_reason == "payment_failed"

    def say(v: Mapping[str, str]) -> Wording:
        why = (
            _("Your payment of %(amount)s failed, and we’ve stopped trying.", amount=v["amount"])
            if has_failed
            else _("You won’t be charged again.")
        )
        return Wording(
            _("Your membership has ended"),
            _("Your membership ended on %(date)s", date=v["date"]),
            [
                why,
                _(
                    "Thank you for having been a member of %(newsroom)s. Your number stays yours, "
                    "should you come back.",
                    newsroom=v["newsroom"],
                ),
            ],
        )

    return replace(
        compose(say, values, _("You get this letter because your membership has ended.")),
        has_account=False,
        link=_join_again(),
    )


def _join_again() -> Link:
    return Link(_("Become a member again"), f"{current_settings().public_url}/join")


def _win_back(membership: Membership, values: dict[str, str]) -> Body:
    is_price = membership.cancel_feedback == "too_expensive"

    def say(v: Mapping[str, str]) -> Wording:
        offer = (
            _("You said that it was too much. You can pay less, and choose the amount yourself.")
            if is_price
            else _("If you want to come back, your number is still yours.")
        )
        return Wording(
            _("Would you come back to %(newsroom)s?", newsroom=v["newsroom"]),
            _("You are missed in the number"),
            [
                offer,
                _("This is the only letter in which we ask. There will be no other."),
            ],
        )

    return replace(
        compose(say, values, _("You get this letter because you were a member until lately.")),
        has_account=False,
        link=Link(_("Choose an amount"), f"{current_settings().public_url}/join#amount"),
    )


def body_of_receipt(payment: Payment, membership: Membership) -> Body:
    """What is said of a payment that arrived."""
    values = {
        "newsroom": current_settings().newsroom_name,
        "amount": money(payment.amount, payment.currency),
        "date": date(payment.paid_at),
    }

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Receipt: %(amount)s on %(date)s", amount=v["amount"], date=v["date"]),
            _("Your %(amount)s has gone through", amount=v["amount"]),
            [_("Thank you. It is for your membership of %(newsroom)s.", newsroom=v["newsroom"])],
        )

    rows = [
        (_("Paid on"), values["date"]),
        (_("Amount"), values["amount"]),
        (_("Payment"), payment.charge_id),
        *_paid_with(membership),
    ]
    return replace(
        compose(say, values, _("You get this letter because a payment of yours arrived.")),
        rows=rows,
    )


_ABOUT_MEMBERSHIP: dict[EmailKind, Callable[[Membership, dict[str, str]], Body]] = {
    EmailKind.PAYMENT_FAILED_FIRST: _first_debit_failed,
    EmailKind.PAYMENT_FAILED_DAY_0: _failed(_failed_at_first),
    EmailKind.PAYMENT_FAILED_DAY_3: _failed(_failed_again),
    EmailKind.PAYMENT_FAILED_DAY_7: _failed(_failed_for_a_week),
    EmailKind.PAYMENT_FAILED_DAY_12: _failed(_failed_for_the_last_time),
    EmailKind.PAYMENT_CONFIRMATION: _to_be_confirmed,
    EmailKind.CARD_EXPIRING_30_DAYS: _card_expires(_card_in_a_month),
    EmailKind.CARD_EXPIRING_7_DAYS: _card_expires(_card_in_a_week),
    EmailKind.RENEWAL_COMING: _renewal,
    EmailKind.CANCELED: _canceled,
    EmailKind.ENDED: _ended,
    EmailKind.WIN_BACK: _win_back,
}
ABOUT_MEMBERSHIP = {*_ABOUT_MEMBERSHIP, EmailKind.RECEIPT}
