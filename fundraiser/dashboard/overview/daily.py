"""Make the daily figures in a background job, so that no page reads all rows."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Date,
    Select,
    SQLColumnExpression,
    String,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import distinct_on, insert

from fundraiser import jobs
from fundraiser.dashboard.models import Churn, DailyFigure, Loss, Topic
from fundraiser.dashboard.mrr import movements
from fundraiser.dashboard.mrr.contents import contents
from fundraiser.dashboard.overview.counted import counted_memberships, loss_of_member
from fundraiser.dashboard.overview.failures import first_failures
from fundraiser.dashboard.overview.forecasts import write_forecasts
from fundraiser.db import lock, now
from fundraiser.jobs import Heartbeat
from fundraiser.members.eligibility import Reason
from fundraiser.members.history import start_of_day
from fundraiser.members.models import (
    NOT_READERS,
    PER_YEAR,
    SOLD,
    Dues,
    Interval,
    LedgerEntry,
    Member,
    Membership,
    Source,
    Status,
)
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

Figures: TypeAlias = "Select[date, str, str, int, int, int]"  # as DailyFigure, without its topic

HEARTBEAT = "figures"
MONTH = timedelta(days=28)
_YEAR, _LONGEST_MONTH = timedelta(days=365), timedelta(days=31)
_EVERY = timedelta(minutes=5)
_AT_FIRST = 57  # days to look back where nothing has been kept yet: twice 28 and today
_MOST_KEYS = 40  # of what readers can write themselves
_NOT_PAID = (Reason.GRACE_OVER, Reason.NOT_PAID, Reason.DISPUTED)
_BY_PEOPLE = (
    *(Topic.TIER, Topic.INTERVAL, Topic.COUNTRY),
    *(Topic.SOURCE, Topic.UTM, Topic.CAMPAIGN),
)


def refresh_if_due(session: Session, zone: ZoneInfo, grace: timedelta) -> bool:
    """Make today's figures again if they are five minutes old; returns whether it did."""
    lock(session, "job", HEARTBEAT)
    last = read_counted_at(session)
    if last is not None and now() - last < _EVERY:
        return False
    refresh(session, zone, grace)
    return True


def read_counted_at(session: Session) -> datetime | None:
    """When the daily figures were last made."""
    return session.scalar(select(Heartbeat.beat_at).where(Heartbeat.name == HEARTBEAT))


def refresh(session: Session, zone: ZoneInfo, grace: timedelta) -> None:
    """Make the figures of today, and of the days since the last ones."""
    at = now()
    today = at.astimezone(zone).date()
    first = _first_day(session, today)
    session.execute(
        delete(DailyFigure).where(
            or_(
                DailyFigure.day >= today,
                DailyFigure.topic == Topic.LEAVING,
                and_(DailyFigure.day >= first, DailyFigure.topic.in_((Topic.CHURN, Topic.MOVED))),
            )
        )
    )
    counting = counted_memberships(at, grace)
    _write_people(session, today, counting, at)
    _write(session, Topic.INCOME, _income(today, counting))
    movements.refresh(session, zone, grace, at, read_counted_at(session))
    _write(session, Topic.MRR, contents(today, at, grace))
    _write(session, Topic.LEAVING, _leaving(zone))
    _write(session, Topic.LEAVING, _cards(counting, at, zone, grace))
    _write(session, Topic.CHURN, _churn(first, zone))
    _write(session, Topic.MOVED, _moved(first, zone))
    _write(session, Topic.CONTRIBUTION, _contributions(today, at))
    _write_recoveries(session, zone, grace, at)
    write_forecasts(session, zone, grace, at)
    session.flush()
    jobs.beat(session, HEARTBEAT)


def _first_day(session: Session, today: date) -> date:
    """The first day that may be incomplete, as a transaction may have crossed midnight."""
    newest = session.scalar(
        select(func.max(DailyFigure.day)).where(
            DailyFigure.topic == Topic.TIER, DailyFigure.day <= today
        )
    )
    earliest = today - timedelta(days=_AT_FIRST)
    return max(newest - timedelta(days=1), earliest) if newest else earliest


def _write(session: Session, topic: Topic, rows: Figures) -> None:
    """Store rows: day, key, currency, people, recent, amount."""
    names = ("day", "key", "currency", "people", "recent", "amount")
    session.execute(
        insert(DailyFigure).from_select(
            ["topic", *names],
            select(literal(topic, DailyFigure.topic.type), *rows.subquery().columns),
        )
    )


def _write_people(
    session: Session, today: date, counting: Select[Membership], at: datetime
) -> None:
    """Break down counted people in one pass, each by the first membership that counts."""
    m = Membership
    people = (
        counting.with_only_columns(
            func.coalesce(m.tier, "").label(Topic.TIER),
            func.coalesce(cast(m.interval, String), "").label(Topic.INTERVAL),
            func.coalesce(Member.country, "").label(Topic.COUNTRY),
            func.coalesce(
                m.ref, case((m.source == Source.STRIPE, ""), else_=cast(m.source, String))
            ).label(Topic.SOURCE),
            func.coalesce(m.utm, "").label(Topic.UTM),
            func.coalesce(m.campaign, "").label(Topic.CAMPAIGN),
            (Member.first_counted_at >= at - MONTH).label("recent"),
        )
        .ext(distinct_on(m.member_id))
        .order_by(m.member_id, m.started_at)
        .subquery()
    )
    columns = [people.c[topic] for topic in _BY_PEOPLE]
    rows = session.execute(
        select(
            *columns,
            func.grouping(*columns),
            func.count(),
            func.count().filter(people.c.recent),
        ).group_by(func.grouping_sets(*columns))
    ).all()
    for place, topic in enumerate(_BY_PEOPLE):
        # A bit of the grouping is 0 where the row is about that column.
        mask = (1 << len(_BY_PEOPLE)) - 1 - (1 << (len(_BY_PEOPLE) - 1 - place))
        found = sorted(
            ((row[place], row[-2], row[-1]) for row in rows if row[-3] == mask),
            key=lambda row: (-row[1], row[0]),
        )
        session.add_all(
            DailyFigure(
                day=today, topic=topic, key=key, currency="", people=count, recent=recent, amount=0
            )
            for key, count, recent in _largest(found)
        )


def _largest(found: list[tuple[str, int, int]]) -> Iterable[tuple[str, int, int]]:
    """The largest groups; the others, in unlimited number, become one: ``*``."""
    yield from found[:_MOST_KEYS]
    if rest := found[_MOST_KEYS:]:
        yield "*", sum(row[1] for row in rest), sum(row[2] for row in rest)


def _income(today: date, counting: Select[Membership]) -> Figures:
    """Income by interval; other intervals are converted to a year."""
    m = Membership
    as_sold = and_(m.interval.in_(SOLD), m.interval_count == 1)
    a_year = case({name: m.amount * times for name, times in PER_YEAR.items()}, value=m.interval)
    key = case((as_sold, cast(m.interval, String)), else_=literal("other"))
    return (
        counting.where(m.source == Source.STRIPE, m.interval.is_not(None))
        .with_only_columns(
            literal(today).label("day"),
            key.label("key"),
            m.currency.label("currency"),
            func.count().label("people"),
            literal(0).label("recent"),
            func.sum(case((as_sold, m.amount), else_=a_year / m.interval_count)).label("amount"),
        )
        .group_by(key, m.currency)
    )


def _leaving(zone: ZoneInfo) -> Figures:
    """People who will leave, by day and reason, if nothing but time passes.

    The person's own time decides, so people with another membership aren't included.
    """
    return _by_day(
        Member.recount_at, zone, loss_of_member(), Member.counting, Member.recount_at.is_not(None)
    )


def _cards(counting: Select[Membership], at: datetime, zone: ZoneInfo, grace: timedelta) -> Figures:
    """People who will leave, by day, because their card expires and nobody replaces it.

    With monthly payments that is the month in which the card stops working. Excludes people who
    leave anyway, and cards that expire in more than a year.
    """
    m = Membership
    expires, first = m.card_expires_at, func.date_trunc("month", m.period_end)
    charge = case(
        (
            m.interval == Interval.MONTH,
            func.greatest(m.period_end, expires + (m.period_end - first)),
        ),
        (m.period_end < expires, m.period_end + _YEAR),
        else_=m.period_end,
    )
    cards = (
        counting.where(m.status == Status.ACTIVE, Member.recount_at.is_(None))
        .where(expires < at + _YEAR, charge >= expires)
        .with_only_columns((charge + grace).label("at"))
        .subquery()
    )
    return _by_day(cards.c.at, zone, literal(Loss.CARD.value))


def _churn(first: date, zone: ZoneInfo) -> Figures:
    """People who stopped, by day: by choice, or with a failed payment."""
    given_up = exists().where(
        Membership.member_id == LedgerEntry.member_id,
        Membership.payment_status == Dues.OVERDUE,
        Membership.ended_at == LedgerEntry.happened_at,
    )
    is_involuntary = or_(
        LedgerEntry.reason.in_([reason.value for reason in _NOT_PAID]),
        and_(LedgerEntry.reason == Reason.ENDED.value, given_up),
    )
    return _by_day(
        LedgerEntry.recorded_at,
        zone,
        case((is_involuntary, Churn.INVOLUNTARY.value), else_=Churn.VOLUNTARY.value),
        LedgerEntry.recorded_at >= _midnight(first, zone),
        LedgerEntry.change == -1,
        LedgerEntry.cause.not_in(NOT_READERS),
    )


def _moved(first: date, zone: ZoneInfo) -> Figures:
    """People who started or stopped, by day, without an action of a reader."""
    return _by_day(
        LedgerEntry.recorded_at,
        zone,
        case((LedgerEntry.change == 1, "joined"), else_="stopped"),
        LedgerEntry.recorded_at >= _midnight(first, zone),
        LedgerEntry.cause.in_(NOT_READERS),
    )


def _contributions(today: date, at: datetime) -> Figures:
    """Successful one-time contributions less refunds, by currency."""
    kept = Payment.amount - Payment.refunded
    recent = func.sum(kept).filter(Payment.paid_at >= at - MONTH)
    return (
        select(Payment)
        .where(Payment.kind == CheckoutKind.CONTRIBUTION, Payment.status == PaymentStatus.SUCCEEDED)
        .with_only_columns(
            literal(today).label("day"),
            literal("").label("key"),
            Payment.currency.label("currency"),
            func.count().label("people"),
            func.coalesce(recent, 0).label("recent"),
            func.sum(kept).label("amount"),
        )
        .group_by(Payment.currency)
    )


def _write_recoveries(session: Session, zone: ZoneInfo, grace: timedelta, at: datetime) -> None:
    """Failed and recovered renewals, by month, reason and currency.

    Updates a month until its last grace period is over; the first run makes twelve.
    """
    is_known = exists().where(DailyFigure.topic == Topic.FAILED)
    back = (grace + _LONGEST_MONTH) if session.scalar(select(is_known)) else _YEAR
    first = (at - back).astimezone(zone).date().replace(day=1)
    session.execute(
        delete(DailyFigure).where(
            DailyFigure.day >= first, DailyFigure.topic.in_((Topic.FAILED, Topic.RECOVERED))
        )
    )
    failed = first_failures(grace, _midnight(first, zone), at - grace).subquery()
    month = cast(func.date_trunc("month", func.timezone(zone.key, failed.c.failed_at)), Date)
    cause, is_paid = func.coalesce(failed.c.failure, ""), failed.c.days.is_not(None)
    rows = session.execute(
        select(
            month.label("month"),
            cause.label("cause"),
            failed.c.currency,
            func.count().label("failed"),
            func.sum(failed.c.amount).label("asked"),
            func.count().filter(is_paid).label("paid"),
            func.coalesce(func.sum(failed.c.amount).filter(is_paid), 0).label("arrived"),
        ).group_by(month, cause, failed.c.currency)
    )
    for row in rows:
        for topic, people, amount in (
            (Topic.FAILED, row.failed, row.asked),
            (Topic.RECOVERED, row.paid, row.arrived),
        ):
            session.add(
                DailyFigure(
                    day=row.month,
                    topic=topic,
                    key=row.cause,
                    currency=row.currency,
                    people=people,
                    recent=0,
                    amount=int(amount),
                )
            )


def _by_day(
    at: SQLColumnExpression[datetime] | SQLColumnExpression[datetime | None],
    zone: ZoneInfo,
    key: ColumnElement[str],
    *which: SQLColumnExpression[bool],
) -> Figures:
    day = cast(func.timezone(zone.key, at), Date)
    found = select(day.label("day"), key.label("key")).where(*which).subquery()
    return select(
        found.c.day,
        found.c.key,
        literal("").label("currency"),
        func.count().label("people"),
        literal(0).label("recent"),
        literal(0).label("amount"),
    ).group_by(found.c.day, found.c.key)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return start_of_day(datetime.combine(day, time(12), zone), zone)
