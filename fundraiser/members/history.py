"""The ledger over time: the balance at each midnight, and when it first reached a number."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    DateTime,
    Integer,
    cast,
    exists,
    func,
    literal,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased

from fundraiser.members.models import Cause, LedgerEntry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

_MOST_POINTS = 180


@dataclass(frozen=True, slots=True)
class Mark:
    """The ledger's version and balance at one moment."""

    version: int
    balance: int


def start_of_day(at: datetime, zone: ZoneInfo, days_before: int = 0) -> datetime:
    """Midnight in the newsroom's time zone, some days before this moment's day."""
    day = at.astimezone(zone).date() - timedelta(days=days_before)
    return datetime.combine(day, time(), zone)


def sample_times(start: datetime, end: datetime, zone: ZoneInfo) -> list[datetime]:
    """Times for a chart: the start, about 180 midnights in between, and the end."""
    days = (end - start).days
    step = days // _MOST_POINTS + 1
    midnights = (start_of_day(start, zone, -day) for day in range(1, days + 1, step))
    return [start, *(at for at in midnights if start < at < end), end]


def read_marks(session: Session, times: Sequence[datetime]) -> list[Mark]:
    """The ledger's recorded version and balance at each of these times, in order."""
    moments = (
        func.unnest(cast(times, ARRAY(DateTime(timezone=True))))
        .table_valued("at", with_ordinality="place")
        .render_derived()
    )
    newest = (
        select(LedgerEntry.version, LedgerEntry.balance)
        .where(LedgerEntry.recorded_at < moments.c.at)
        .order_by(LedgerEntry.recorded_at.desc(), LedgerEntry.version.desc())
        .limit(1)
        .lateral()
    )
    rows = session.execute(
        select(newest.c.version, newest.c.balance)
        .select_from(moments)
        .outerjoin(newest, true())
        .order_by(moments.c.place)
    )
    return [Mark(version or 0, balance or 0) for version, balance in rows]


def brought_in(session: Session, times: Sequence[datetime]) -> list[int]:
    """How many members at each of these times were only imported later.

    An import today records people as members since an earlier date; an undo removes them from that
    date on. ``times`` must be in order.
    """
    moments = cast(times, ARRAY(DateTime(timezone=True)))
    began, known = (
        func.width_bucket(column, moments, type_=Integer)
        for column in (LedgerEntry.happened_at, LedgerEntry.recorded_at)
    )
    rows = session.execute(
        select(began, known, func.sum(LedgerEntry.change))
        .where(
            LedgerEntry.cause == Cause.IMPORT,
            LedgerEntry.happened_at < LedgerEntry.recorded_at,
            LedgerEntry.happened_at < times[-1],
        )
        .group_by(began, known)
    ).all()
    found = [0] * len(times)
    for first, last, change in rows:
        for place in range(first, last):
            found[place] += change
    return found


@dataclass(frozen=True, slots=True)
class Imported:
    """Ledger rows of imports from one time to the next.

    ``added`` and ``removed`` were recorded then; ``joined`` and ``stopped`` happened then, perhaps
    recorded later, without those that were undone.
    """

    added: int = 0
    removed: int = 0
    joined: int = 0
    stopped: int = 0


def read_imported(session: Session, times: Sequence[datetime], version: int) -> list[Imported]:
    """What imports recorded, and whom they say joined or stopped, from each time to the next.

    ``times`` must be in order; the last one lasts until this version of the ledger.
    """
    moments = cast(times, ARRAY(DateTime(timezone=True)))
    before = aliased(LedgerEntry)
    # An undo takes people back as of when they began.
    is_undone = exists().where(
        before.member_id == LedgerEntry.member_id,
        before.sequence == LedgerEntry.sequence - 1,
        before.happened_at == LedgerEntry.happened_at,
    )
    is_start, is_end = LedgerEntry.change > 0, LedgerEntry.change < 0
    undone = func.count().filter(is_end, is_undone)
    parts = [
        select(
            literal(part),
            func.width_bucket(at, moments, type_=Integer).label("place"),
            starts,
            ends,
        )
        .where(LedgerEntry.cause == Cause.IMPORT, at >= times[0], LedgerEntry.version <= version)
        .group_by("place")
        for part, at, starts, ends in (
            (
                0,
                LedgerEntry.recorded_at,
                func.count().filter(is_start),
                func.count().filter(is_end),
            ),
            (
                1,
                LedgerEntry.happened_at,
                func.count().filter(is_start) - undone,
                func.count().filter(is_end) - undone,
            ),
        )
    ]
    found: tuple[dict[int, tuple[int, int]], ...] = ({}, {})
    for part, place, starts, ends in session.execute(union_all(*parts)):
        found[part][place] = (starts, ends)
    return [
        Imported(*found[0].get(place, (0, 0)), *found[1].get(place, (0, 0)))
        for place in range(1, len(times) + 1)
    ]


def read_peak(session: Session) -> int:
    """The highest balance ever."""
    return (
        session.scalar(
            select(LedgerEntry.balance)
            .where(LedgerEntry.change == 1)
            .order_by(LedgerEntry.balance.desc())
            .limit(1)
        )
        or 0
    )


def read_first_times(
    session: Session, balances: Sequence[int], since: datetime, until: datetime
) -> dict[int, datetime]:
    """When, within this time, the balance first reached each of these numbers, if it did.

    The balance moves by one, so it takes on every number that it passes.
    """
    wanted = func.unnest(cast(balances, ARRAY(BigInteger))).table_valued("balance").render_derived()
    first = (
        select(LedgerEntry.recorded_at)
        .where(
            LedgerEntry.balance == wanted.c.balance,
            LedgerEntry.change == 1,
            LedgerEntry.recorded_at >= since,
            LedgerEntry.recorded_at < until,
        )
        .order_by(LedgerEntry.version)
        .limit(1)
        .lateral()
    )
    rows = session.execute(
        select(wanted.c.balance, first.c.recorded_at).select_from(wanted).join(first, true())
    )
    return dict(rows.all())
