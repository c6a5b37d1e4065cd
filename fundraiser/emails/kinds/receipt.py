"""A receipt for a payment of a membership; Stripe sends receipts itself, so ours are off."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.config import current_settings
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, NotDueError, Wording, compose, money
from fundraiser.emails.parts.memberships import example_membership, membership_of
from fundraiser.emails.parts.payments import example_payment, paid_with, payment_of
from fundraiser.emails.parts.queries import Due, days, due_to
from fundraiser.members.models import Member, Membership
from fundraiser.outbox import Email, OncePer
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus
from fundraiser.payments.vat import vat_line
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session


def _due(at: datetime) -> Due:
    return (
        due_to(Payment.member_id, Payment.charge_id, membership=Payment.subscription_id)
        .join(Member, Member.id == Payment.member_id)
        .where(
            Payment.kind == CheckoutKind.MEMBERSHIP,
            Payment.status == PaymentStatus.SUCCEEDED,
            Payment.paid_at > at - days(3),
            Payment.refunded < Payment.amount,
            Member.address.is_not(None),
        )
    )


def _read(session: Session, email: Email) -> Body:
    membership = membership_of(session, email.context["membership"])
    if membership is None:
        raise NotDueError("The membership that it is about is not known any more.")
    return _body(payment_of(session, email), membership)


def _example(session: Session, member: Member | None) -> Body:
    payment = example_payment(session, member, CheckoutKind.MEMBERSHIP)
    return _body(payment, example_membership(session, member))


def _body(payment: Payment, membership: Membership) -> Body:
    values = {
        "newsroom": current_settings().newsroom_name,
        "amount": money(payment.amount, payment.currency),
        "date": date(payment.paid_at),
    }

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Receipt: %(amount)s on %(date)s", amount=v["amount"], date=v["date"]),
            _("Your %(amount)s has gone through", amount=v["amount"]),
            [_("Thank you. It pays for your membership of %(newsroom)s.", newsroom=v["newsroom"])],
        )

    vat = vat_line(payment)
    rows = [
        (_("Paid on"), values["date"]),
        (_("Amount"), values["amount"]),
        *([(_("VAT included"), vat)] if vat else []),
        (_("Payment"), payment.charge_id),
        *paid_with(membership),
    ]
    return replace(
        compose(say, values, _("You’re getting this e-mail because your payment went through.")),
        rows=rows,
    )


KIND = Kind(
    label=lambda: _("Receipt"),
    urgent=True,
    once_per=OncePer.CAUSE,
    due=_due,
    body=_read,
    example=_example,
    on_by_default=False,
    resendable=True,
)
