"""What is said of a debit that failed days later, where it was to pay for no membership."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.config import current_settings
from fundraiser.emails.parts import Body, Link, Wording, compose, money
from fundraiser.payments.models import Checkout, CheckoutKind, Payment
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from fundraiser.outbox import Email


def body_about_debit(session: Session, email: Email) -> Body:
    """What is said to who gave once, or paid for a gift."""
    payment = session.scalars(select(Payment).where(Payment.charge_id == email.cycle)).one()
    checkout = session.scalars(select(Checkout).where(Checkout.reference == email.cycle)).first()
    written = (checkout.gift if checkout else None) or {}
    return body_of_debit(payment, written.get("recipient_name"))


def body_of_debit(payment: Payment, recipient: str | None = None) -> Body:
    """What is said of one payment; ``recipient`` is who a gift was to be for, while it is known."""
    values = {
        "newsroom": current_settings().newsroom_name,
        "amount": money(payment.amount, payment.currency),
        "date": date(payment.paid_at),
    }
    home = current_settings().public_url
    if payment.kind is CheckoutKind.GIFT:
        name = recipient or _("a reader")
        fixed = [_("The gift for %(name)s is not paid, so nobody was told of it.", name=name)]
        what, link = _("Gift"), Link(_("Pay for the gift again"), f"{home}/gift")
    else:
        fixed = []
        what = _("One-time contribution")
        link = Link(_("Give again"), f"{home}/join?interval=once")
    return replace(
        compose(
            _not_given,
            values,
            _("You’re getting this e-mail because you paid by bank debit."),
            *fixed,
        ),
        has_account=False,
        rows=[(what, values["amount"]), (_("Agreed to on"), values["date"])],
        link=link,
    )


def _not_given(v: Mapping[str, str]) -> Wording:
    subject = _("Your payment of %(amount)s failed", amount=v["amount"])
    again = _("If you still want to give it, you can do so again and choose how you pay.")
    return Wording(subject, subject, [refused(v), again])


def refused(v: Mapping[str, str]) -> str:
    """What became of the debit."""
    return _(
        "Your bank refused the debit of %(amount)s that you agreed to on %(date)s. You weren’t "
        "charged, and you owe nothing.",
        amount=v["amount"],
        date=v["date"],
    )
