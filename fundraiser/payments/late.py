"""Late payments: after a membership has ended, a payment restarts it or is refunded.

At Stripe an open invoice outlives its subscription, and people can pay it. We don't void it, since
the newsroom may still want the money.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from fundraiser.db import now
from fundraiser.members.models import Interval, Membership, Source, Status
from fundraiser.outbox import enqueue
from fundraiser.payments.cases import (
    CaseKind,
    MoneyCase,
    ask_stripe,
    close_case,
    find_case,
    open_case,
)
from fundraiser.payments.disputes import holds_money
from fundraiser.payments.models import Payment
from fundraiser.payments.payment_status import charges_of
from fundraiser.payments.stripe.types import PAID_BY_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member
    from fundraiser.payments.products import OurProduct
    from fundraiser.payments.stripe.types import Charge, CustomerState
    from fundraiser.payments.telling import Telling

_RECENT = timedelta(days=60)  # as long as the e-mail's link works
_SOON = timedelta(days=1)  # the shortest paid period of a restart
_ENDED = (Status.CANCELED, Status.INCOMPLETE_EXPIRED)


class Wish(StrEnum):
    """What the member chose for a late payment."""

    RESTART = "restart"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class LatePayment:
    """A late payment and its options; ``until`` is the end of the paid period after a restart.

    ``restarted`` and ``refunded`` say what happened.
    """

    case: MoneyCase
    membership: Membership
    until: datetime
    may_restart: bool
    restarted: bool
    refunded: bool

    @property
    def is_refused(self) -> bool:
        """Whether Stripe refused what the member chose, so that they choose anew."""
        case = self.case
        return case.closed_at is None and case.wish is None and case.error is not None


def note_late_payments(
    session: Session,
    member: Member,
    memberships: Iterable[Membership],
    state: CustomerState,
    *,
    products: Mapping[str, OurProduct],
    telling: Telling,
) -> None:
    """Open a case for each payment after a membership's end, and close resolved ones.

    Refunds a payment, or restarts the membership with it, as the member chose.
    """
    # E-mail nobody about old payments, or payments from before the import.
    imported_at = [found.imported_at for found in products.values() if found.imported_at]
    since = max([now() - _RECENT, *imported_at])
    ours = [
        one
        for one in memberships
        if one.customer_id == state.id and one.ended_at is not None and one.duplicate_of is None
    ]
    used = {found.metadata[PAID_BY_KEY] for found in state.subscriptions if _is_restart(found)}
    for membership in ours:
        for charge in _paid_after_the_end(membership, state):
            if charge.id in used or charge.refunded >= charge.amount or holds_money(charge.dispute):
                _close(session, member, charge)
            elif charge.created_at >= since or find_case(
                session, CaseKind.PAID_AFTER_END, charge.id
            ):
                _keep_open(session, membership, charge, telling)
    _remember_the_campaign(session, state)


def read_late_payment(session: Session, case_id: int) -> LatePayment | None:
    """A late payment and its options; None if there is no such case."""
    case = session.get(MoneyCase, case_id)
    if case is None or case.kind is not CaseKind.PAID_AFTER_END:
        return None
    membership = session.scalars(
        select(Membership).where(
            Membership.source == Source.STRIPE, Membership.reference == case.subscription_id
        )
    ).one()
    payment = session.scalars(select(Payment).where(Payment.charge_id == case.reference)).one()
    runs = select(Membership.id).where(
        Membership.member_id == case.member_id,
        Membership.source == Source.STRIPE,
        Membership.status.not_in(_ENDED),
    )
    until = _one_later(payment.paid_at, membership.interval, membership.interval_count or 1)
    refunded = payment.refunded >= payment.amount
    return LatePayment(
        case=case,
        membership=membership,
        until=until,
        may_restart=until > now() + _SOON and session.scalar(runs.limit(1)) is None,
        restarted=case.closed_at is not None and not refunded and not holds_money(payment.dispute),
        refunded=refunded,
    )


def choose(session: Session, late: LatePayment, wish: Wish) -> None:
    """Record the member's choice under the customer's lease; the next sync carries it out."""
    case = late.case
    session.refresh(case)
    if case.closed_at is None and (wish is Wish.REFUND or late.may_restart):
        case.wish, case.due_at = wish, now()


def _paid_after_the_end(membership: Membership, state: CustomerState) -> list[Charge]:
    end = membership.ended_at
    return [
        charge
        for invoice in state.invoices
        if invoice.subscription_id == membership.reference
        and end
        and invoice.paid_at
        and invoice.paid_at > end
        for charge in charges_of(invoice, state.charges)
        if charge.status == "succeeded"
    ]


def _keep_open(session: Session, membership: Membership, charge: Charge, telling: Telling) -> None:
    case = find_case(session, CaseKind.PAID_AFTER_END, charge.id)
    if case and case.closed_at is None and case.wish == Wish.REFUND:
        ask_stripe(session, telling, case, "refund", partial(telling.gateway.refund, charge.id))
        return
    if case and case.closed_at is None and case.wish == Wish.RESTART:
        until = _one_later(charge.created_at, membership.interval, membership.interval_count or 1)
        restart = partial(telling.gateway.restart, membership.reference, charge.id, until)
        if ask_stripe(session, telling, case, "restart", restart):
            case.wish = case.due_at = None  # the member chooses anew
        return
    open_case(
        session,
        MoneyCase(
            kind=CaseKind.PAID_AFTER_END,
            reference=charge.id,
            subscription_id=membership.reference,
            customer_id=membership.customer_id,
            member_id=membership.member_id,
            amount=charge.amount,
            currency=charge.currency,
        ),
    )
    enqueue(
        session,
        "paid_after_end",
        to=membership.member_id,
        key=charge.id,
    )


def _close(session: Session, member: Member, charge: Charge) -> None:
    case = close_case(session, CaseKind.PAID_AFTER_END, charge.id)
    if case and charge.refunded >= charge.amount:
        enqueue(
            session,
            "refunded",
            to=member.id,
            key=charge.id,
            context={"amount": case.amount, "currency": case.currency},
        )


def _is_restart(found: object) -> bool:
    return PAID_BY_KEY in getattr(found, "metadata", {})


def _remember_the_campaign(session: Session, state: CustomerState) -> None:
    """Copy the campaign and source of the first membership to the restarted one."""
    for found in state.subscriptions:
        charge_id = found.metadata.get(PAID_BY_KEY)
        case = charge_id and find_case(session, CaseKind.PAID_AFTER_END, charge_id)
        if not case:
            continue
        rows = session.scalars(
            select(Membership).where(
                Membership.source == Source.STRIPE,
                or_(Membership.reference == case.subscription_id, Membership.reference == found.id),
            )
        ).all()
        by_name = {row.reference: row for row in rows}
        first, restarted = by_name.get(case.subscription_id), by_name.get(found.id)
        if first and restarted and restarted.campaign is None:
            restarted.campaign, restarted.ref = first.campaign, first.ref
            restarted.utm = first.utm


def _one_later(at: datetime, interval: Interval | None, count: int) -> datetime:
    """The end of the period that a payment at this time pays for."""
    if interval in {Interval.DAY, Interval.WEEK}:
        return at + timedelta(days=count * (7 if interval is Interval.WEEK else 1))
    months = at.month - 1 + count * (12 if interval is Interval.YEAR else 1)
    year, month = at.year + months // 12, months % 12 + 1
    return at.replace(year=year, month=month, day=min(at.day, monthrange(year, month)[1]))
