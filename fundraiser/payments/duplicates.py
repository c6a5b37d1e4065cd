"""Cancel and refund a second membership of the same person, so that nobody pays twice.

Each step can be repeated, so killing a worker between steps does no harm: first mark the
subscription at Stripe; cancel and refund what is marked; e-mail about what has ended.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.db import now
from fundraiser.members.eligibility import Reason, verdicts_of
from fundraiser.members.models import Membership
from fundraiser.members.renewals import renews
from fundraiser.outbox import enqueue
from fundraiser.payments.cases import (
    CaseKind,
    MoneyCase,
    ask_stripe,
    close_case,
    open_case,
)
from fundraiser.payments.disputes import holds_money
from fundraiser.payments.payment_status import charges_of
from fundraiser.payments.queue import request_sync
from fundraiser.payments.stripe.gateway import SECOND_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member
    from fundraiser.payments.stripe.types import CustomerState
    from fundraiser.payments.telling import Telling

# Reasons of a paid, continuing membership. One with a failed payment or a pause doesn't make a new
# membership a duplicate.
_PAYING = {Reason.PAID, Reason.FIRST_PAYMENT_IN_PROCESS, Reason.FREE_PERIOD}


def end_second_memberships(
    session: Session,
    grace: timedelta,
    member: Member,
    memberships: Sequence[Membership],
    state: CustomerState,
    *,
    telling: Telling,
) -> None:
    """Have this customer's memberships cancelled that come after the person's first.

    ``memberships`` are all of the person's, oldest first.
    A membership that will end, or that is unpaid, doesn't count as the first. Other customers of
    the same person are left to their own sync. If Stripe refuses, a money case is opened and we
    retry; the sync continues, so that we record the payment.
    """
    paying = _paying(memberships, grace)
    # Without our Checkout (which sets a campaign), it was no double click: leave it.
    for second in (found for found in paying[1:] if found.campaign):
        if second.customer_id == state.id:
            case = _case(second, CaseKind.SECOND_END, second.reference, second.amount)
            mark = partial(telling.gateway.mark_second, second.reference, paying[0].reference)
            ask_stripe(session, telling, case, "mark", mark)
        elif second.customer_id:
            request_sync(session, second.customer_id)
    if not any(found.metadata.get(SECOND_KEY) for found in state.subscriptions):
        return
    marked = session.scalars(
        select(Membership).where(
            Membership.customer_id == state.id, Membership.duplicate_of.is_not(None)
        )
    ).all()
    for second in marked:
        _end(session, member, state, second, telling)


def note_refunds(session: Session, member: Member, state: CustomerState) -> None:
    """Close the money cases of this customer's second memberships that Stripe has resolved.

    E-mails people about a refund that they were told to wait for.
    """
    ended = {found.id for found in state.subscriptions if found.ended_at is not None}
    for name in ended:
        close_case(session, CaseKind.SECOND_END, name)
    for charge in state.charges:
        if charge.refunded < charge.amount or charge.status != "succeeded":
            continue
        if case := close_case(session, CaseKind.SECOND_REFUND, charge.id):
            enqueue(
                session,
                "refunded",
                to=member.id,
                key=charge.id,
                context={"amount": case.amount, "currency": case.currency},
            )


def _paying(memberships: Sequence[Membership], grace: timedelta) -> list[Membership]:
    """The memberships that the person keeps paying for, oldest first."""
    verdicts = verdicts_of(memberships, now(), grace)
    return [
        one
        for one, verdict in zip(memberships, verdicts, strict=True)
        if verdict.counts
        and verdict.reason in _PAYING
        and not one.collection_paused
        and renews(one)
        and one.duplicate_of is None
    ]


def _end(
    session: Session,
    member: Member,
    state: CustomerState,
    second: Membership,
    telling: Telling,
) -> None:
    found = next((s for s in state.subscriptions if s.id == second.reference), None)
    still_runs = found is not None and found.ended_at is None
    if still_runs:
        case = _case(second, CaseKind.SECOND_END, second.reference, second.amount)
        ask_stripe(session, telling, case, "end", partial(telling.gateway.cancel, second.reference))
    payments = [
        charge
        for invoice in state.invoices
        if invoice.subscription_id == second.reference
        for charge in charges_of(invoice, state.charges)
        if charge.status == "succeeded"
    ]
    # Earlier payments were for months in which it was the only membership.
    newest = max(payments, key=lambda charge: charge.created_at, default=None)
    # The bank has withdrawn disputed payments, so nothing is left to refund.
    if newest is not None and newest.refunded == 0 and not holds_money(newest.dispute):
        charge_id = newest.id
        case = _case(second, CaseKind.SECOND_REFUND, charge_id, newest.amount)
        if newest.refund_failed:
            # The bank would return it again: staff have to find another way.
            case.error = "The bank sent the refund back, so the money is still here."
            open_case(session, case)
        else:
            ask_stripe(session, telling, case, "refund", partial(telling.gateway.refund, charge_id))
    if still_runs:
        return
    enqueue(
        session,
        "second_membership",
        to=member.id,
        key=second.reference,
        context={
            "amount": second.amount,
            "currency": second.currency,
            "interval": second.interval,
            "first": second.duplicate_of,
        },
    )


def _case(second: Membership, kind: CaseKind, reference: str, amount: int) -> MoneyCase:
    return MoneyCase(
        kind=kind,
        reference=reference,
        subscription_id=second.reference,
        customer_id=second.customer_id,
        member_id=second.member_id,
        amount=amount,
        currency=second.currency,
    )
