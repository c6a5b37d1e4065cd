"""Nobody pays twice: a second membership of one person is ended and refunded.

Each step can be taken again, so that a worker killed between any two of them harms nothing: the
mark is written at Stripe first, and whatever carries it is ended, refunded and told of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from fundraiser.members.models import Membership, Source, Standing, Status
from fundraiser.outbox import LetterKind, owe
from fundraiser.payments.gateway import SECOND_KEY
from fundraiser.payments.models import Look
from fundraiser.payments.standing import charges_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member
    from fundraiser.payments.facts import CustomerState
    from fundraiser.payments.gateway import Gateway

_IS_PAYING = (
    Membership.status == Status.ACTIVE,
    Membership.standing.in_((Standing.PAID, Standing.IN_PROCESS)),
    Membership.collection_paused.is_(False),
    Membership.cancel_at.is_(None),
    Membership.refunded_at.is_(None),
    Membership.disputed_at.is_(None),
    Membership.second_to.is_(None),
)
_PAYING = (
    select(Membership)
    .where(
        Membership.member_id == bindparam("member_id"),
        Membership.source == Source.STRIPE,
        *_IS_PAYING,
    )
    .order_by(Membership.started_at, Membership.reference)
)


def end_second_memberships(
    session: Session, gateway: Gateway, member: Member, state: CustomerState
) -> bool:
    """End what this customer pays beside the person's first membership; True if Stripe was told.

    A membership that is about to end, or fails to be paid, does not stand in the way of a new one.
    Another customer of the same person is left to that customer's own settlement.
    """
    paying = session.scalars(_PAYING, {"member_id": member.id}).all()
    told = False
    # What did not come through our Checkout (it names a campaign) was no double click: it is left.
    for second in (found for found in paying[1:] if found.campaign):
        if second.customer_id == state.id:
            gateway.mark_second(second.reference, paying[0].reference)
            second.second_to = paying[0].reference
            told = True
        elif second.customer_id:
            session.add(Look.now(customer_id=second.customer_id))
    if not told and not any(found.metadata.get(SECOND_KEY) for found in state.subscriptions):
        return False
    session.flush()
    marked = session.scalars(
        select(Membership).where(
            Membership.customer_id == state.id, Membership.second_to.is_not(None)
        )
    ).all()
    for second in marked:
        told = _end(session, gateway, member, state, second) or told
    return told


def _end(
    session: Session, gateway: Gateway, member: Member, state: CustomerState, second: Membership
) -> bool:
    told = False
    found = next(s for s in state.subscriptions if s.id == second.reference)
    if found.ended_at is None:
        gateway.cancel(second.reference)
        told = True
    payments = [
        charge
        for invoice in state.invoices
        if invoice.subscription_id == second.reference
        for charge in charges_of(invoice, state.charges)
        if charge.status == "succeeded"
    ]
    # What was paid before the newest payment was paid for months in which it was the only one.
    newest = max(payments, key=lambda charge: charge.created_at, default=None)
    # What is disputed is the bank's to give back: Stripe refuses to refund it as well.
    if newest is not None and newest.refunded == 0 and newest.dispute is None:
        gateway.refund(newest.id)
        told = True
    owe(
        session,
        LetterKind.SECOND_MEMBERSHIP,
        member_id=member.id,
        cycle=second.reference,
        context={
            "amount": second.amount,
            "currency": second.currency,
            "interval": second.interval,
            "first": second.second_to,
        },
    )
    return told
