"""What the letters say that time owes: of payments, cards, renewals and ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.config import current_settings
from fundraiser.emails.debits import refused
from fundraiser.emails.parts import (
    Link,
    NotOwedError,
    Said,
    Words,
    compose,
    money,
    what_is_paid,
)
from fundraiser.members.letter_links import membership_link
from fundraiser.members.models import Membership, Source
from fundraiser.outbox import LetterKind
from fundraiser.payments.models import Payment
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy.orm import Session

    from fundraiser.outbox import Letter


def words_about_membership(session: Session, letter: Letter) -> Words:
    """What a letter about one membership says."""
    membership = session.scalars(
        select(Membership).where(
            Membership.source == Source.STRIPE,
            Membership.reference == letter.context["membership"],
        )
    ).first()
    if membership is None:
        raise NotOwedError("The membership that it is about is not known any more.")
    if letter.kind is LetterKind.PAYMENT_FAILED_FIRST and membership.paid_at:
        raise NotOwedError("The membership was paid before the letter could leave.")
    if letter.kind is LetterKind.RECEIPT:
        payment = session.scalars(select(Payment).where(Payment.charge_id == letter.cycle)).one()
        return words_of_receipt(payment, membership)
    return words_about(letter.kind, membership)


def words_about(kind: LetterKind, membership: Membership) -> Words:
    """What this kind of letter says of a membership as it stands."""
    return _ABOUT_MEMBERSHIP[kind](membership, _values(membership))


def _values(membership: Membership) -> dict[str, str]:
    """What every letter about a membership may name, as far as it is known."""
    settings = current_settings()
    known = {
        "newsroom": settings.newsroom_name,
        "amount": money(membership.amount, membership.currency),
        "each": what_is_paid(membership),
    }
    if membership.card_last4:
        known["card"] = membership.card_last4
    if membership.card_expires_at:
        known["month"] = f"{membership.card_expires_at - timedelta(days=1):%m/%y}"
    if membership.grace_from:
        known["date"] = date(membership.grace_from)
        known["until"] = date(membership.grace_from + timedelta(days=settings.grace_days))
    elif membership.ended_at:
        known["date"] = date(membership.ended_at)
    elif membership.cancel_at:
        known["date"] = date(membership.cancel_at)
    elif membership.period_end:
        known["date"] = date(membership.period_end)
    return known


def _needs(values: Mapping[str, str], *names: str) -> None:
    if any(name not in values for name in names):
        raise NotOwedError("What it would say is true no longer.")


def _unpaid() -> str:
    return _("You get this letter because a payment for your membership did not arrive.")


def _another_card(membership: Membership) -> Link:
    """The unpaid bill's own page takes any card, without signing in."""
    link = membership.pay_url or f"{current_settings().public_url}/account"
    return Link(_("Pay with this or another card"), link)


def _failed(say: Callable[[Mapping[str, str]], Said]) -> Callable[..., Words]:
    def words(membership: Membership, values: dict[str, str]) -> Words:
        _needs(values, "date", "until")
        return replace(
            compose(say, values, _unpaid()),
            rows=[(_("You pay"), values["each"]), (_("Not paid since"), values["date"])],
            link=_another_card(membership),
            advice=(
                _("If you want to stop"),
                _("Do nothing, or reply to this letter. Nothing more is taken in the end."),
            ),
        )

    return words


def _failed_at_first(v: Mapping[str, str]) -> Said:
    subject = _("Your payment of %(amount)s did not arrive", amount=v["amount"])
    return Said(
        subject,
        subject,
        [
            _(
                "Your bank refused it on %(date)s. Nothing was taken, and you are still a member.",
                date=v["date"],
            ),
            _(
                "We try again by ourselves in the next days. If the card is lost or has expired, "
                "pay with another one now."
            ),
        ],
    )


def _failed_again(v: Mapping[str, str]) -> Said:
    return Said(
        _("We still could not take %(amount)s", amount=v["amount"]),
        _("We tried again, and your bank refused"),
        [
            _(
                "The payment of %(amount)s is open since %(date)s. You stay a member until "
                "%(until)s while we try.",
                amount=v["amount"],
                date=v["date"],
                until=v["until"],
            ),
            _("Often the bank wants another card, or has to be told that the payment is yours."),
        ],
    )


def _failed_for_a_week(v: Mapping[str, str]) -> Said:
    return Said(
        _("Your membership is unpaid: %(amount)s", amount=v["amount"]),
        _("Your membership needs another card"),
        [
            _(
                "For a week your bank has refused %(amount)s. If nothing arrives, you count as a "
                "member until %(until)s.",
                amount=v["amount"],
                until=v["until"],
            ),
            _("It takes a minute to pay with another card, and you need not sign in for it."),
        ],
    )


def _failed_for_the_last_time(v: Mapping[str, str]) -> Said:
    return Said(
        _("Your membership ends on %(until)s", until=v["until"]),
        _("This is our last letter about the payment"),
        [
            _(
                "We could not take %(amount)s. On %(until)s you stop being counted as a member.",
                amount=v["amount"],
                until=v["until"],
            ),
            _("If you want to stay, pay with another card before then."),
        ],
    )


def _first_debit_failed(membership: Membership, values: dict[str, str]) -> Words:
    """It counted on the strength of a debit that was on its way, and has stopped."""

    def say(v: Mapping[str, str]) -> Said:
        return Said(
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
        link=_join_again() if again else replace(_another_card(membership), text=_("Pay by card")),
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


def _to_be_confirmed(membership: Membership, values: dict[str, str]) -> Words:
    _needs(values, "date", "until")

    def say(v: Mapping[str, str]) -> Said:
        return Said(
            _("Confirm your payment of %(amount)s", amount=v["amount"]),
            _("Your bank wants you to confirm %(amount)s", amount=v["amount"]),
            [
                _(
                    "It asks so for some payments, to be sure that they are yours. Nothing was "
                    "taken yet, and you are still a member."
                ),
                _("Open the bill and confirm the payment by %(until)s.", until=v["until"]),
            ],
        )

    link = membership.pay_url or f"{current_settings().public_url}/account"
    return replace(
        compose(say, values, _unpaid()),
        rows=[(_("You pay"), values["each"]), (_("To be confirmed since"), values["date"])],
        link=Link(_("Confirm the payment"), link),
    )


def _card_expires(say: Callable[[Mapping[str, str]], Said]) -> Callable[..., Words]:
    def words(_membership: Membership, values: dict[str, str]) -> Words:
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


def _card_in_a_month(v: Mapping[str, str]) -> Said:
    return Said(
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


def _card_in_a_week(v: Mapping[str, str]) -> Said:
    return Said(
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


def _renewal(membership: Membership, values: dict[str, str]) -> Words:
    _needs(values, "date")

    def say(v: Mapping[str, str]) -> Said:
        return Said(
            _("We take %(amount)s on %(date)s", amount=v["amount"], date=v["date"]),
            _("Your membership goes on for another year"),
            [
                _(
                    "On %(date)s we take %(amount)s for the next year, as you agreed when you "
                    "joined. You need not do anything.",
                    amount=v["amount"],
                    date=v["date"],
                ),
                _("Thank you for a year of %(newsroom)s.", newsroom=v["newsroom"]),
            ],
        )

    rows = [(_("You pay"), values["each"]), (_("To be taken on"), values["date"])]
    if "card" in values:
        rows.append((_("Card"), _("ends in %(card)s", card=values["card"])))
    return replace(
        compose(say, values, _("You get this letter because you pay once a year.")),
        rows=rows,
        advice=(
            _("If you want to stop"),
            _(
                "Stop before %(date)s on your account’s page, or reply to this letter; you need "
                "not say why. Nothing is taken then.",
                date=values["date"],
            ),
        ),
        link=Link(_("Change or stop my membership"), membership_link(membership)),
    )


def _canceled(membership: Membership, values: dict[str, str]) -> Words:
    _needs(values, "date")

    def say(v: Mapping[str, str]) -> Said:
        return Said(
            _("You have stopped your membership"),
            _("You have stopped your membership"),
            [
                _(
                    "You stay a member until %(date)s, for which you have paid. Nothing more is "
                    "taken.",
                    date=v["date"],
                ),
                _("Thank you for what you gave to %(newsroom)s.", newsroom=v["newsroom"]),
            ],
        )

    return replace(
        compose(say, values, _("You get this letter because your membership was stopped.")),
        rows=[(_("You paid"), values["each"]), (_("A member until"), values["date"])],
        advice=(
            _("If you change your mind"),
            _("Until then you can keep the membership as it was, on your account’s page."),
        ),
        link=Link(_("Keep my membership"), membership_link(membership)),
    )


def _ended(membership: Membership, values: dict[str, str]) -> Words:
    _needs(values, "date")
    has_failed = membership.cancel_reason == "payment_failed"

    def say(v: Mapping[str, str]) -> Said:
        why = (
            _("We could not take %(amount)s, and have stopped trying.", amount=v["amount"])
            if has_failed
            else _("Nothing more is taken.")
        )
        return Said(
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


def _win_back(membership: Membership, values: dict[str, str]) -> Words:
    is_price = membership.cancel_feedback == "too_expensive"

    def say(v: Mapping[str, str]) -> Said:
        offer = (
            _("You said that it was too much. You can pay less, and choose the amount yourself.")
            if is_price
            else _("If you want to come back, your number is still yours.")
        )
        return Said(
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


def words_of_receipt(payment: Payment, membership: Membership) -> Words:
    """What is said of a payment that arrived."""
    values = {
        "newsroom": current_settings().newsroom_name,
        "amount": money(payment.amount, payment.currency),
        "date": date(payment.paid_at),
    }

    def say(v: Mapping[str, str]) -> Said:
        return Said(
            _("Receipt: %(amount)s on %(date)s", amount=v["amount"], date=v["date"]),
            _("We took %(amount)s", amount=v["amount"]),
            [_("Thank you. It is for your membership of %(newsroom)s.", newsroom=v["newsroom"])],
        )

    rows = [
        (_("Taken on"), values["date"]),
        (_("Amount"), values["amount"]),
        (_("Payment"), payment.charge_id),
    ]
    if membership.card_last4:
        rows.append((_("Card"), _("ends in %(card)s", card=membership.card_last4)))
    return replace(
        compose(say, values, _("You get this letter because a payment of yours arrived.")),
        rows=rows,
    )


_ABOUT_MEMBERSHIP: dict[LetterKind, Callable[[Membership, dict[str, str]], Words]] = {
    LetterKind.PAYMENT_FAILED_FIRST: _first_debit_failed,
    LetterKind.PAYMENT_FAILED_DAY_0: _failed(_failed_at_first),
    LetterKind.PAYMENT_FAILED_DAY_3: _failed(_failed_again),
    LetterKind.PAYMENT_FAILED_DAY_7: _failed(_failed_for_a_week),
    LetterKind.PAYMENT_FAILED_DAY_12: _failed(_failed_for_the_last_time),
    LetterKind.PAYMENT_CONFIRMATION: _to_be_confirmed,
    LetterKind.CARD_EXPIRING_30_DAYS: _card_expires(_card_in_a_month),
    LetterKind.CARD_EXPIRING_7_DAYS: _card_expires(_card_in_a_week),
    LetterKind.RENEWAL_COMING: _renewal,
    LetterKind.CANCELED: _canceled,
    LetterKind.ENDED: _ended,
    LetterKind.WIN_BACK: _win_back,
}
ABOUT_MEMBERSHIP = {*_ABOUT_MEMBERSHIP, LetterKind.RECEIPT}
