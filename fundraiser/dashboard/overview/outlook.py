"""Queries for the forecast: past joins, people who may leave, measured rates."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    Double,
    SQLColumnExpression,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)

from fundraiser.campaigns.forecast import HISTORY, LAST_RENEWAL, Outcomes, Outlook, Rates
from fundraiser.dashboard.models import Loss
from fundraiser.dashboard.overview.counted import counted_memberships, loss_of_member
from fundraiser.dashboard.overview.failures import first_failures
from fundraiser.members.history import read_marks, start_of_day
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import (
    NOT_READERS,
    Dues,
    Interval,
    LedgerEntry,
    Member,
    Membership,
    Source,
    Status,
)

if TYPE_CHECKING:
    from datetime import date
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

    from fundraiser.campaigns.forecast import Renewal

_DAY = timedelta(days=1)
_YEAR = timedelta(days=365)
_LATELY = timedelta(days=90)  # who joined in this time shows how those still to join will pay
# Days of a period as they are keyed, and as they are on average.
_DAYS = {Interval.DAY: 1, Interval.WEEK: 7, Interval.MONTH: 30, Interval.YEAR: 365}
_MEAN_DAYS = {Interval.DAY: 1.0, Interval.WEEK: 7.0, Interval.MONTH: 30.4375, Interval.YEAR: 365.25}
_EARLY = 0.1  # of a period: a renewal may come that much before it is due by the mean


def read_outlook(session: Session, zone: ZoneInfo, grace: timedelta, at: datetime) -> Outlook:
    """What we know about counted people, and daily joins so far."""
    known = _read_known(session, at)
    due, joining = _read_due(session, grace, at)
    return Outlook(
        members=read_balance(session).members,
        joined=read_joined(session, zone, at),
        canceled=known[Loss.CANCELED],
        ending=known[Loss.RUNS_OUT],
        overdue=known[Loss.PAST_DUE],
        due=due,
        joining=joining,
    )


def read_rates(session: Session, grace: timedelta, at: datetime) -> Rates:
    """The last year's rates of renewals, cancellations and recoveries."""
    return Rates(
        grace=grace / _DAY,
        renewals=_read_renewals(session, at),
        notice=_read_notice(session, at),
        recoveries=read_recoveries(session, grace, at),
    )


def read_joined(session: Session, zone: ZoneInfo, at: datetime) -> list[int]:
    """Joins by readers' own actions, by whole day, oldest first.

    Excludes imports, merges, erasures and new rules. Starts at the ledger's first whole day.
    """
    began = session.scalar(
        select(LedgerEntry.recorded_at).order_by(LedgerEntry.recorded_at).limit(1)
    )
    midnights = [start_of_day(at, zone, before) for before in reversed(range(HISTORY + 1))]
    midnights = [midnight for midnight in midnights if began and midnight >= began]
    if not midnights:
        return []
    marks = read_marks(session, midnights)
    moved = read_moved(session, zone, midnights[0], at)
    joined = []
    for day, (since, until) in zip(midnights, pairwise(marks), strict=False):
        rows, net = until.version - since.version, until.balance - since.balance
        joined.append(max((rows + net) // 2 - moved.get(day.date(), (0, 0))[0], 0))
    return joined


def read_moved(
    session: Session, zone: ZoneInfo, since: datetime, until: datetime
) -> dict[date, tuple[int, int]]:
    """Joins and losses by day without an action of a reader."""
    day = cast(func.timezone(zone.key, LedgerEntry.recorded_at), Date)
    rows = session.execute(
        select(
            day,
            func.count().filter(LedgerEntry.change == 1),
            func.count().filter(LedgerEntry.change == -1),
        )
        .where(
            LedgerEntry.cause.in_(NOT_READERS),
            LedgerEntry.recorded_at >= since,
            LedgerEntry.recorded_at < until,
        )
        .group_by(day)
    )
    return {day: (joined, left) for day, joined, left in rows}


def _read_known(session: Session, at: datetime) -> dict[Loss, dict[int, int]]:
    """Known leavers, by reason and whole days from now."""
    reason, ahead = loss_of_member(), _days_between(Member.recount_at, at)
    people = (
        select(reason.label("reason"), ahead.label("ahead"))
        .where(Member.counting, Member.recount_at.is_not(None))
        .subquery()
    )
    found: dict[Loss, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for why, days, count in session.execute(
        select(people.c.reason, people.c.ahead, func.count()).group_by(*people.c)
    ):
        found[Loss(why)][max(days, 0)] += count
    return found


def _read_due(
    session: Session, grace: timedelta, at: datetime
) -> tuple[dict[Renewal, dict[int, int]], dict[int, int]]:
    """Other people's renewals by days from now, and the intervals of new members."""
    m = Membership
    period, mean = _period(), _mean_period()
    number = func.round(_seconds(m.period_end - m.started_at) / 86_400 / mean)
    due = (
        counted_memberships(at, grace)
        .where(
            Member.recount_at.is_(None),
            m.source == Source.STRIPE,
            m.interval.is_not(None),
            m.period_end.is_not(None),
        )
        .with_only_columns(
            period.label("period"),
            cast(func.least(func.greatest(number, 1), LAST_RENEWAL), BigInteger).label("number"),
            _days_between(m.period_end, at).label("ahead"),
            (m.started_at >= at - _LATELY).label("lately"),
        )
        .subquery()
    )
    found: dict[Renewal, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    joining: dict[int, int] = defaultdict(int)
    for row in session.execute(
        select(
            due.c.period,
            due.c.number,
            due.c.ahead,
            func.count().label("people"),
            func.count().filter(due.c.lately).label("lately"),
        ).group_by(due.c.period, due.c.number, due.c.ahead)
    ):
        found[row.period, row.number][max(row.ahead, 0)] += row.people
        if row.lately:
            joining[row.period] += row.lately
    return found, joining


def _read_renewals(session: Session, at: datetime) -> dict[Renewal, Outcomes]:
    """How many people faced each renewal in the last year, and left at it.

    We don't know about earlier renewals: an older membership enters at its age then.
    """
    m = Membership
    mean = _mean_period()
    unpaid = and_(m.payment_status == Dues.OVERDUE, m.grace_from.is_not(None))
    until = case((unpaid, m.grace_from), (m.ended_at.is_not(None), m.ended_at), else_=at)
    periods = _seconds(until - m.started_at) / 86_400 / mean
    first = func.greatest(func.ceil(_seconds((at - _YEAR) - m.started_at) / 86_400 / mean), 1)
    is_over = and_(unpaid, m.ended_at.is_not(None))
    has_left = and_(m.ended_at.is_not(None), ~unpaid)
    faced = (
        select(
            _period().label("period"),
            cast(func.least(first, LAST_RENEWAL * 100), BigInteger).label("first"),
            cast(
                case(
                    (has_left, func.ceil(periods - _EARLY)),
                    (is_over, func.round(periods)),
                    # Of a failure that may still be made good nothing is known.
                    (unpaid, func.round(periods) - 1),
                    else_=func.floor(periods),
                ),
                BigInteger,
            ).label("last"),
            has_left.label("voluntary"),
            is_over.label("involuntary"),
        )
        .where(
            m.source == Source.STRIPE,
            m.interval.is_not(None),
            m.has_paid,
            m.status != Status.INCOMPLETE_EXPIRED,
            or_(m.ended_at.is_(None), m.ended_at >= at - _YEAR),
        )
        .subquery()
    )
    counts: dict[Renewal, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in session.execute(
        select(*faced.c, func.count().label("people"))
        .where(faced.c.last >= faced.c.first)
        .group_by(*faced.c)
    ):
        for number in range(row.first, row.last + 1):
            counts[row.period, min(number, LAST_RENEWAL)][0] += row.people
        last = counts[row.period, min(row.last, LAST_RENEWAL)]
        last[1] += row.people * row.voluntary
        last[2] += row.people * row.involuntary
    return {renewal: Outcomes(*found) for renewal, found in counts.items()}


def _read_notice(session: Session, at: datetime) -> dict[int, list[int]]:
    """By interval, how many people cancelled this many days before they left."""
    m = Membership
    period, ahead = _period().label("period"), _days_between(m.ended_at, m.canceled_at)
    left = (
        select(period, func.least(func.greatest(ahead, 0), 366).label("ahead"))
        .where(
            m.ended_at >= at - _YEAR,
            m.canceled_at.is_not(None),
            m.source == Source.STRIPE,
            m.interval.is_not(None),
            m.payment_status != Dues.OVERDUE,
        )
        .subquery()
    )
    found: dict[int, list[int]] = defaultdict(lambda: [0] * 367)
    for row in session.execute(
        select(left.c.period, left.c.ahead, func.count().label("people")).group_by(*left.c)
    ):
        found[row.period][row.ahead] = row.people
    return found


def read_recoveries(session: Session, grace: timedelta, at: datetime) -> list[tuple[int, int]]:
    """By whole days overdue: how many were overdue that long, and how many paid in the end.

    Only failures whose grace period is over count, each from the first of an unbroken series.
    """
    days = round(grace / _DAY)
    found = [0] * (days + 1)
    never = 0
    first = first_failures(grace, at - _YEAR, at - grace).subquery()
    for paid_after, count in session.execute(
        select(first.c.days, func.count()).group_by(first.c.days)
    ):
        if paid_after is None:
            never += count
        else:
            found[min(paid_after, days)] += count
    return [(never + sum(found[day:]), sum(found[day:])) for day in range(days + 1)]


def _period() -> ColumnElement[int]:
    """A membership's interval in days, with 30 for a month."""
    return case(_DAYS, value=Membership.interval) * Membership.interval_count


def _mean_period() -> ColumnElement[float]:
    return case(_MEAN_DAYS, value=Membership.interval) * Membership.interval_count


def _seconds(span: ColumnElement[Any]) -> ColumnElement[float]:
    return cast(func.extract("epoch", span), Double)


def _days_between(
    later: SQLColumnExpression[datetime] | SQLColumnExpression[datetime | None],
    earlier: SQLColumnExpression[datetime] | SQLColumnExpression[datetime | None] | datetime,
) -> ColumnElement[int]:
    """Whole days, rounded down."""
    if isinstance(earlier, datetime):
        earlier = literal(earlier)
    return cast(func.floor(_seconds(later - earlier) / 86_400), BigInteger)
