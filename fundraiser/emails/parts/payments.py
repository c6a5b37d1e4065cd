"""Parts of e-mails about a payment or a failed bank debit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.db import now
from fundraiser.emails.parts.memberships import example_membership
from fundraiser.members.payment_methods import method_of
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member, Membership
    from fundraiser.outbox import Email


def payment_of(session: Session, email: Email) -> Payment:
    """The payment whose charge is the e-mail's key."""
    return session.scalars(select(Payment).where(Payment.charge_id == email.key)).one()


def paid_with(membership: Membership) -> list[tuple[str, str]]:
    """A row with the payment method, if known."""
    name = method_of(membership)
    return [(_("Payment method"), name)] if name else []


def refused(v: Mapping[str, str]) -> str:
    """What a failed bank debit means for the payer."""
    return _(
        "Your bank declined the debit of %(amount)s that you agreed to on %(date)s. "
        "You weren’t charged, and you owe nothing.",
        amount=v["amount"],
        date=v["date"],
    )


def example_payment(session: Session, member: Member | None, kind: CheckoutKind) -> Payment:
    """The member's latest payment of a kind, or an invented one."""
    found = (
        session.scalars(
            select(Payment)
            .where(Payment.member_id == member.id, Payment.kind == kind)
            .order_by(Payment.paid_at.desc())
            .limit(1)
        ).first()
        if member
        else None
    )
    membership = example_membership(session, member)
    return found or Payment(
        charge_id="ch_1",
        kind=kind,
        status=PaymentStatus.SUCCEEDED,
        amount=membership.amount,
        currency=membership.currency,
        refunded=0,
        paid_at=membership.paid_at or now(),
    )
