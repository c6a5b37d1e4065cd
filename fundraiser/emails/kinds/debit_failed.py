"""The bank refused the debit that was to pay for a contribution or a gift, days later."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.config import current_settings
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, Wording, compose, money
from fundraiser.emails.parts.payments import example_payment, payment_of, refused
from fundraiser.outbox import Email, OncePer
from fundraiser.payments.models import Checkout, CheckoutKind, Payment
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member


def _read(session: Session, email: Email) -> Body:
    checkout = session.scalars(select(Checkout).where(Checkout.reference == email.key)).first()
    written = (checkout.gift if checkout else None) or {}
    return _body(payment_of(session, email), written.get("recipient_name"))


def _example(session: Session, member: Member | None) -> Body:
    return _body(example_payment(session, member, CheckoutKind.CONTRIBUTION), None)


def _body(payment: Payment, recipient: str | None) -> Body:
    """``recipient`` is who a gift was to be for, while it is known."""
    values = {
        "newsroom": current_settings().newsroom_name,
        "amount": money(payment.amount, payment.currency),
        "date": date(payment.paid_at),
    }
    home = current_settings().public_url
    if payment.kind is CheckoutKind.GIFT:
        name = recipient or _("a reader")
        fixed = [
            _(
                "So the gift for %(name)s isn’t paid for, and we haven’t told anybody about it.",
                name=name,
            )
        ]
        what, link = _("Gift"), Link(_("Pay for the gift again"), f"{home}/gift")
    else:
        fixed = []
        what = _("One-time contribution")
        link = Link(_("Give again"), f"{home}/join?interval=once")
    return replace(
        compose(
            _say,
            values,
            _("You’re getting this e-mail because you chose to pay by bank debit."),
            *fixed,
        ),
        has_account=False,
        rows=[(what, values["amount"]), (_("Authorised on"), values["date"])],
        link=link,
    )


def _say(v: Mapping[str, str]) -> Wording:
    subject = _("Your %(amount)s payment failed", amount=v["amount"])
    again = _("If you’d still like to give, you can do so again and choose another payment method.")
    return Wording(subject, subject, [refused(v), again])


KIND = Kind(
    label=lambda: _("Bank debit for a contribution or gift failed"),
    urgent=True,
    once_per=OncePer.CAUSE,
    body=_read,
    example=_example,
    resendable=True,
)
