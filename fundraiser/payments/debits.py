"""Bank debits that fail days later: tell the payer once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.members.models import Dues, Membership, Status
from fundraiser.outbox import enqueue
from fundraiser.payments.models import Payment, PaymentStatus
from fundraiser.payments.payment_status import charges_of, payment_facts
from fundraiser.payments.stripe.gateway import SECOND_KEY

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member
    from fundraiser.payments.stripe.types import Charge, CustomerState, Subscription


def find_failed_debits(
    session: Session, state: CustomerState, ours_since: datetime | None
) -> set[str]:
    """IDs of charges that were processing and have failed since; call it before writing charges.

    A debit that is new to us counts as processing before, unless it is older than ``ours_since``,
    when its product was imported. A declined card doesn't: the payment page said so.
    """
    failed = {c.id: c for c in state.charges if c.status == PaymentStatus.FAILED}
    if not failed:
        return set()
    known = {
        row.charge_id: row.status
        for row in session.execute(
            select(Payment.charge_id, Payment.status).where(Payment.charge_id.in_(failed))
        )
    }

    def was_on_its_way(charge: Charge) -> bool:
        if charge.id in known:
            return known[charge.id] is not PaymentStatus.FAILED
        return charge.is_debit and (ours_since is None or charge.created_at >= ours_since)

    return {name for name, charge in failed.items() if was_on_its_way(charge)}


def enqueue_of_failed_debit(
    session: Session,
    member: Member,
    state: CustomerState,
    charge: Charge,
    subscription: Subscription | None,
) -> None:
    """Enqueue the e-mail about a failed debit: what wasn't charged, and what happens now.

    Failed renewals and second memberships have their own e-mails.
    """
    if subscription is None:
        enqueue(
            session,
            "debit_failed",
            to=member.id,
            key=charge.id,
        )
    elif (
        payment_facts(state, subscription.id).payment_status is Dues.NOTHING
        and subscription.ended_at is None
        and not subscription.metadata.get(SECOND_KEY)
    ):
        # Only once, however often Stripe retries.
        enqueue(
            session,
            "payment_failed_first",
            to=member.id,
            key=subscription.id,
            context={"membership": subscription.id},
        )


def is_untried(state: CustomerState) -> bool:
    """Whether a subscription's first payment hasn't been attempted.

    This happens when the payer must first confirm a bank account: the subscription is incomplete,
    though Checkout is complete and nothing has failed.
    """
    tried = _tried(state)
    return any(
        found.status == Status.INCOMPLETE and found.id not in tried for found in state.subscriptions
    )


def note_accounts_to_confirm(session: Session, member: Member, state: CustomerState) -> None:
    """Enqueue the e-mail with Stripe's link, while a bank account needs confirmation."""
    if not state.account_to_confirm:
        return
    tried = _tried(state)
    waiting = session.scalars(
        select(Membership.reference).where(
            Membership.customer_id == state.id,
            Membership.status == Status.INCOMPLETE,
            Membership.reference.not_in(tried - {None}),
        )
    ).all()
    for name in waiting:
        enqueue(
            session,
            "bank_to_confirm",
            to=member.id,
            key=name,
            context={"membership": name},
        )


def _tried(state: CustomerState) -> set[str | None]:
    """The subscriptions with a payment that was made or attempted."""
    return {
        invoice.subscription_id
        for invoice in state.invoices
        if invoice.status == "paid" or charges_of(invoice, state.charges)
    }
