"""The counting rule "paying-members/2": who counts as a member, and until when.

The rule exists twice: ``membership_counts`` for one membership in Python, which also gives the
reason, and ``counted_until`` in SQL for all. tests/test_rule_in_sql.py checks that both agree. Use
one of them wherever you need to know whether a person or a membership counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, DateTime, and_, case, func, literal_column, or_, select
from sqlalchemy.orm import aliased

from fundraiser.members.models import Dues, Membership, Source, Status
from fundraiser.members.overdue import grace_ends_at, overdue_since

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

RULE = "paying-members/2"
_NEVER = literal_column("'-infinity'::timestamptz", DateTime(timezone=True))
_FOREVER = literal_column("'infinity'::timestamptz", DateTime(timezone=True))


class Reason(StrEnum):
    """Why a membership counts or doesn't, as in the ledger and on the public page."""

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
    """Whether a membership counts and why; ``since`` is when that began, if known.

    ``until`` is when the answer may change with time.
    """

    counts: bool
    reason: Reason
    since: datetime | None = None
    until: datetime | None = None


def person_counts(memberships: Iterable[Membership], at: datetime, grace: timedelta) -> Verdict:
    """Apply the rule to a person, who counts while at least one membership does."""
    verdicts = verdicts_of(memberships, at, grace)
    counting = [verdict for verdict in verdicts if verdict.counts]
    if counting:
        since = min((v.since for v in counting if v.since), default=None)
        # No end beats any end; otherwise the person counts until the last membership ends.
        endless = any(verdict.until is None for verdict in counting)
        until = None if endless else max(v.until for v in counting if v.until)
        return Verdict(True, counting[0].reason, since, until)
    if not verdicts:
        return Verdict(False, Reason.NO_MEMBERSHIP)
    return max(verdicts, key=lambda v: v.since.timestamp() if v.since else 0.0)


def verdicts_of(memberships: Iterable[Membership], at: datetime, grace: timedelta) -> list[Verdict]:
    """Apply the rule to each membership of one person, in order; pass all of them."""
    whole = list(memberships)
    has_paid = any(map(was_paid_for, whole))
    return [membership_counts(one, at, grace, has_paid) for one in whole]


def counting_of(
    memberships: Iterable[Membership], at: datetime, grace: timedelta
) -> list[Membership]:
    """The memberships of one person that count, in order; pass all of them."""
    whole = list(memberships)
    verdicts = verdicts_of(whole, at, grace)
    return [one for one, verdict in zip(whole, verdicts, strict=True) if verdict.counts]


def was_paid_for(membership: Membership) -> bool:
    """Whether the member ever paid for this membership, here or at the source of its import."""
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
    """Apply the rule to one membership at this time, in the order of the published table.

    ``has_paid`` says whether the person has ever paid for any membership; the default checks only
    this one.
    """
    m = membership
    if m.source is Source.COMPLIMENTARY or _costs_nothing(m):
        return Verdict(False, Reason.NOTHING_TO_PAY, m.started_at)
    if m.status is Status.CANCELED:
        return Verdict(False, Reason.ENDED, m.ended_at)
    if m.source in {Source.GIFT, Source.IMPORT}:
        if m.refunded_at:
            return Verdict(False, Reason.REFUNDED, m.refunded_at)
        if m.disputed_at:
            return Verdict(False, Reason.DISPUTED, m.disputed_at)
    if m.source is Source.GIFT:
        return _until(m, at, m.counts_until, Reason.GIFT)
    if m.source is Source.IMPORT:
        if m.counts_until is None:
            return Verdict(False, Reason.NOT_PAID, m.started_at)
        # No grace after an end that the person chose.
        end = _first(m.cancel_at, m.counts_until + grace)
        return _until(m, at, end, Reason.IMPORTED)
    return _stripe_counts(m, at, grace, has_paid=was_paid_for(m) if has_paid is None else has_paid)


def _costs_nothing(m: Membership) -> bool:
    """Whether the price is zero; ``price`` is the list price before discounts, if known."""
    return (m.price or m.amount) == 0


def _stripe_counts(m: Membership, at: datetime, grace: timedelta, *, has_paid: bool) -> Verdict:
    for since, reason in (
        (m.moved_at, Reason.OTHER_PRODUCT),
        (m.refunded_at, Reason.REFUNDED),
        (m.disputed_at, Reason.DISPUTED),
    ):
        if since:
            return Verdict(False, reason, since)
    match m.status, m.payment_status:
        case (Status.TRIALING, _) | (Status.ACTIVE, Dues.FREE):
            if not has_paid or m.free_until is None:
                return Verdict(False, Reason.NOTHING_TO_PAY, m.started_at)
            return _until(m, at, _first(m.cancel_at, m.free_until), Reason.FREE_PERIOD)
        case (
            Status.ACTIVE | Status.PAST_DUE,
            Dues.PAID | Dues.OVERDUE,
        ) if m.collection_paused:
            # Stripe's period continues while nothing is charged; the paid period doesn't.
            end = _first(m.cancel_at, m.paid_until or m.paid_at or m.started_at)
            return _until(m, at, end, Reason.PAID, Reason.COLLECTION_PAUSED)
        case Status.ACTIVE, Dues.PAID:
            return _until(m, at, m.cancel_at, Reason.PAID)
        case Status.ACTIVE, Dues.IN_PROCESS:
            return _until(m, at, m.cancel_at, Reason.FIRST_PAYMENT_IN_PROCESS)
        case (Status.PAST_DUE, Dues.PAID) | (
            Status.ACTIVE | Status.PAST_DUE,
            Dues.OVERDUE,
        ):
            return _in_grace(m, at, grace)
    return Verdict(False, Reason.NOT_PAID, m.ended_at or m.grace_from)


def _in_grace(m: Membership, at: datetime, grace: timedelta) -> Verdict:
    over = grace_ends_at(m, grace)
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


def counted_until(grace: timedelta, of: type[Membership] = Membership) -> ColumnElement[datetime]:
    """The rule in SQL: when a membership stops being counted if nothing but time passes.

    ``infinity`` if that never happens, ``-infinity`` if it isn't counted at all. ``of`` is the
    table or an alias. The cases have the order of ``membership_counts``.
    """
    m = of
    is_free = or_(
        m.status == Status.TRIALING,
        and_(m.status == Status.ACTIVE, m.payment_status == Dues.FREE),
    )
    runs = m.status.in_((Status.ACTIVE, Status.PAST_DUE))
    was_paid = m.payment_status.in_((Dues.PAID, Dues.OVERDUE))
    is_paid = m.payment_status.in_((Dues.PAID, Dues.IN_PROCESS))
    return case(
        (m.source == Source.COMPLIMENTARY, _NEVER),
        (func.coalesce(func.nullif(m.price, 0), m.amount) == 0, _NEVER),
        (m.status == Status.CANCELED, _NEVER),
        (or_(m.refunded_at.is_not(None), m.disputed_at.is_not(None)), _NEVER),
        (and_(m.source == Source.IMPORT, m.counts_until.is_(None)), _NEVER),
        (m.source == Source.IMPORT, func.least(m.cancel_at, m.counts_until + grace)),
        (m.source == Source.GIFT, func.coalesce(m.counts_until, _FOREVER)),
        (m.moved_at.is_not(None), _NEVER),
        (and_(is_free, m.free_until.is_(None)), _NEVER),
        (
            is_free,
            case((_person_has_paid(m), func.least(m.cancel_at, m.free_until)), else_=_NEVER),
        ),
        (
            and_(runs, was_paid, m.collection_paused),
            func.least(m.cancel_at, func.coalesce(m.paid_until, m.paid_at, m.started_at)),
        ),
        (and_(m.status == Status.ACTIVE, is_paid), func.coalesce(m.cancel_at, _FOREVER)),
        (
            and_(runs, was_paid),
            func.least(m.cancel_at, overdue_since(m) + grace),
        ),
        else_=_NEVER,
    )


def counts_at(
    at: datetime, grace: timedelta, of: type[Membership] = Membership
) -> ColumnElement[bool]:
    """SQL: whether a membership counts at this time."""
    return counted_until(grace, of) > at


def _person_has_paid(of: type[Membership]) -> ColumnElement[bool]:
    """SQL: ``was_paid_for`` for any membership of the same person."""
    other = aliased(Membership)
    paid_for = case(
        (other.source == Source.STRIPE, other.has_paid),
        else_=and_(other.source == Source.IMPORT, other.amount > 0),
    )
    return select(other.id).where(other.member_id == of.member_id, paid_for).exists()
