"""The rule "paying-members/2": who counts, and until when if nothing but time happens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select
from sqlalchemy.orm import aliased

from fundraiser.members.models import Membership, Source, Standing, Status

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

RULE = "paying-members/2"


class Reason(StrEnum):
    """Why a membership counts or does not: the words of the ledger and of the public page."""

    PAID = "paid"
    FIRST_PAYMENT_IN_PROCESS = "first_payment_in_process"
    IN_GRACE = "in_grace"
    GIFT = "gift"
    IMPORTED = "imported"
    FREE_PERIOD = "free_period"
    NOTHING_TO_PAY = "nothing_to_pay"
    COLLECTION_PAUSED = "collection_paused"
    OTHER_PRODUCT = "other_product"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    GRACE_OVER = "grace_over"
    NOT_PAID = "not_paid"
    ENDED = "ended"
    NO_MEMBERSHIP = "no_membership"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it counts and why; ``since`` when that began, as far as the facts tell.

    ``until`` is when time alone may change the answer.
    """

    counts: bool
    reason: Reason
    since: datetime | None = None
    until: datetime | None = None


def person_counts(memberships: Iterable[Membership], at: datetime, grace: timedelta) -> Verdict:
    """A person counts while at least one membership does."""
    whole = list(memberships)
    has_paid = any(map(was_paid_for, whole))
    verdicts = [membership_counts(one, at, grace, has_paid) for one in whole]
    counting = [verdict for verdict in verdicts if verdict.counts]
    if counting:
        since = min((v.since for v in counting if v.since), default=None)
        # Endless beats any end; otherwise the person counts until the last of them runs out.
        endless = any(verdict.until is None for verdict in counting)
        until = None if endless else max(v.until for v in counting if v.until)
        return Verdict(True, counting[0].reason, since, until)
    if not verdicts:
        return Verdict(False, Reason.NO_MEMBERSHIP)
    return max(verdicts, key=lambda v: v.since.timestamp() if v.since else 0.0)


def was_paid_for(membership: Membership) -> bool:
    """Whether the member ever paid for it, here or where it was imported from."""
    if membership.source is not Source.STRIPE:
        return membership.source is Source.IMPORT and membership.amount > 0
    paid = membership.has_paid
    return membership.paid_at is not None if paid is None else paid


def membership_counts(
    membership: Membership,
    at: datetime,
    grace: timedelta,
    has_paid: bool | None = None,  # noqa: FBT001 - whoever wraps this hands on what it was given
) -> Verdict:
    """Whether this membership counts at this time, row by row of the published table.

    ``has_paid`` says whether the person has paid for any membership before; this one alone is asked
    unless it is told.
    """
    m = membership
    if m.source is Source.COMPLIMENTARY or _costs_nothing(m):
        return Verdict(False, Reason.NOTHING_TO_PAY, m.started_at)
    if m.status is Status.CANCELED:
        return Verdict(False, Reason.ENDED, m.ended_at)
    if m.source is Source.GIFT:
        if m.refunded_at:
            return Verdict(False, Reason.REFUNDED, m.refunded_at)
        if m.disputed_at:
            return Verdict(False, Reason.DISPUTED, m.disputed_at)
        return _until(m, at, m.counts_until, Reason.GIFT)
    if m.source is Source.IMPORT:
        end = m.counts_until + grace if m.counts_until else None
        return _until(m, at, end, Reason.IMPORTED)
    return _stripe_counts(m, at, grace, has_paid=was_paid_for(m) if has_paid is None else has_paid)


def _costs_nothing(m: Membership) -> bool:
    """Whether its price is zero; ``price`` is before discounts, where it is known."""
    return (m.price or m.amount) == 0


def _stripe_counts(m: Membership, at: datetime, grace: timedelta, *, has_paid: bool) -> Verdict:
    for since, reason in (
        (m.moved_at, Reason.OTHER_PRODUCT),
        (m.refunded_at, Reason.REFUNDED),
        (m.disputed_at, Reason.DISPUTED),
    ):
        if since:
            return Verdict(False, reason, since)
    match m.status, m.standing:
        case (Status.TRIALING, _) | (Status.ACTIVE, Standing.FREE):
            if not has_paid or m.free_until is None:
                return Verdict(False, Reason.NOTHING_TO_PAY, m.started_at)
            return _until(m, at, _first(m.cancel_at, m.free_until), Reason.FREE_PERIOD)
        case Status.ACTIVE | Status.PAST_DUE, Standing.PAID | Standing.OVERDUE if (
            m.collection_paused
        ):
            # Stripe's own period goes on while nothing is charged: what is paid for does not.
            end = _first(m.cancel_at, m.paid_until or m.paid_at or m.started_at)
            return _until(m, at, end, Reason.PAID, Reason.COLLECTION_PAUSED)
        case Status.ACTIVE, Standing.PAID:
            return _until(m, at, m.cancel_at, Reason.PAID)
        case Status.ACTIVE, Standing.IN_PROCESS:
            return _until(m, at, m.cancel_at, Reason.FIRST_PAYMENT_IN_PROCESS)
        case (Status.PAST_DUE, Standing.PAID) | (
            Status.ACTIVE | Status.PAST_DUE,
            Standing.OVERDUE,
        ):
            return _in_grace(m, at, grace)
    return Verdict(False, Reason.NOT_PAID, m.ended_at or m.grace_from)


def _in_grace(m: Membership, at: datetime, grace: timedelta) -> Verdict:
    over = (m.grace_from or m.paid_until or m.started_at) + grace
    if m.cancel_at and m.cancel_at < over:
        return _until(m, at, m.cancel_at, Reason.IN_GRACE)
    return _until(m, at, over, Reason.IN_GRACE, Reason.GRACE_OVER)


def _first(*times: datetime | None) -> datetime | None:
    return min((at for at in times if at), default=None)


def _until(
    m: Membership,
    at: datetime,
    end: datetime | None,
    reason: Reason,
    after: Reason = Reason.ENDED,
) -> Verdict:
    if end is not None and at >= end:
        return Verdict(False, after, end)
    return Verdict(True, reason, m.paid_at or m.started_at, end)


def counts_at(at: datetime, grace: timedelta) -> ColumnElement[bool]:
    """The rule as SQL, for all memberships at once; a test holds the two together."""
    m = Membership
    other = aliased(Membership)
    has_paid = (
        select(other.id)
        .where(
            other.member_id == m.member_id,
            case(
                (other.source == Source.STRIPE, other.has_paid),
                (other.source == Source.IMPORT, other.amount > 0),
                else_=literal(value=False),
            ),
        )
        .exists()
    )
    goes_on = or_(m.cancel_at.is_(None), m.cancel_at > at)
    runs = m.status.in_((Status.ACTIVE, Status.PAST_DUE))
    was_paid = m.standing.in_((Standing.PAID, Standing.OVERDUE))
    is_free = or_(
        m.status == Status.TRIALING, and_(m.status == Status.ACTIVE, m.standing == Standing.FREE)
    )
    by_payments = case(
        (is_free, and_(has_paid, goes_on, m.free_until > at)),
        (
            and_(runs, was_paid, m.collection_paused),
            and_(goes_on, func.coalesce(m.paid_until, m.paid_at, m.started_at) > at),
        ),
        (
            and_(m.status == Status.ACTIVE, m.standing.in_((Standing.PAID, Standing.IN_PROCESS))),
            goes_on,
        ),
        (
            and_(runs, was_paid),
            and_(
                goes_on,
                func.coalesce(m.grace_from, m.paid_until, m.started_at) + grace > at,
            ),
        ),
        else_=literal(value=False),
    )
    kept = and_(m.refunded_at.is_(None), m.disputed_at.is_(None))
    return and_(
        func.coalesce(func.nullif(m.price, 0), m.amount) > 0,
        m.status != Status.CANCELED,
        func.coalesce(
            case(
                (m.source == Source.COMPLIMENTARY, literal(value=False)),
                (
                    m.source == Source.GIFT,
                    and_(kept, func.coalesce(m.counts_until > at, literal(value=True))),
                ),
                (
                    m.source == Source.IMPORT,
                    func.coalesce(m.counts_until + grace > at, literal(value=True)),
                ),
                else_=and_(kept, m.moved_at.is_(None), by_payments),
            ),
            literal(value=False),
        ),
    )
