"""Read the stored retention figures as curves, cohorts and sums."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from fundraiser.dashboard.models import RetentionFigure, Subject
from fundraiser.dashboard.retention.stays import HEARTBEAT, STEP
from fundraiser.dashboard.retention.survival import Curve, Stay, estimate, share_of_cohort
from fundraiser.jobs import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

SHOWN = (1, 3, 6, 13, 25, 37)  # periods: 13, 25 and 37 are just after a yearly renewal
COHORTS_SHOWN = (1, 2, 3, 6, 9, 13, 19, 25)
_MONTHS = 24
_YEAR = 12


@dataclass(frozen=True, slots=True)
class Group:
    """People who joined in one way: how many, and the share that stays."""

    key: str
    curve: Curve


@dataclass(frozen=True, slots=True)
class Cohort:
    """People who joined in one month; shares by ``COHORTS_SHOWN``, None while too young."""

    first: date
    last: date
    joined: int
    shares: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class ReasonSum:
    """People who cancelled for a reason in the last twelve months, and in the twelve before."""

    key: str
    people: int
    before: int


def read_groups(session: Session, subject: Subject) -> list[Group]:
    """The curves of each way to join, most people first."""
    stays: dict[str, list[Stay]] = defaultdict(list)
    f = RetentionFigure
    for key, entry, steps, ended, people in session.execute(
        select(f.key, f.entry, f.steps, f.ended, func.sum(f.people))
        .where(f.subject == subject)
        .group_by(f.key, f.entry, f.steps, f.ended)
    ):
        stays[key].append(Stay(entry, steps, ended, int(people)))
    found = [Group(key, estimate(rows)) for key, rows in stays.items()]
    return sorted(found, key=lambda group: (-group.curve.joined, group.key))


def read_cohorts(session: Session, zone: ZoneInfo, grace: timedelta, at: datetime) -> list[Cohort]:
    """The cohorts of the last two years, latest first."""
    this = at.astimezone(zone).date().replace(day=1)
    stays: dict[date, list[Stay]] = defaultdict(list)
    f = RetentionFigure
    for month, entry, steps, ended, people in session.execute(
        select(f.month, f.entry, f.steps, f.ended, func.sum(f.people))
        .where(f.subject == Subject.INTERVAL, f.month > _months_before(this, _MONTHS))
        .group_by(f.month, f.entry, f.steps, f.ended)
    ):
        if month is not None:
            stays[month].append(Stay(entry, steps, ended, int(people)))
    return [
        _cohort(month, rows, zone, at - grace)
        for month, rows in sorted(stays.items(), reverse=True)
    ]


def read_reasons(session: Session, zone: ZoneInfo, at: datetime) -> list[ReasonSum]:
    """Reasons of people who cancelled, most frequent first; months as a whole, with this one."""
    this = at.astimezone(zone).date().replace(day=1)
    year, two_years = (_months_before(this, count * _YEAR - 1) for count in (1, 2))
    f = RetentionFigure
    recent = func.coalesce(func.sum(f.people).filter(f.month >= year), 0)
    before = func.coalesce(func.sum(f.people).filter(f.month < year), 0)
    rows = session.execute(
        select(f.key, recent, before)
        .where(f.subject == Subject.REASON, f.month >= two_years)
        .group_by(f.key)
        .order_by(recent.desc(), before.desc(), f.key)
    )
    return [ReasonSum(key, int(people), int(earlier)) for key, people, earlier in rows]


def read_made_at(session: Session) -> datetime | None:
    """When the figures were last made."""
    return session.scalar(select(Heartbeat.beat_at).where(Heartbeat.name == HEARTBEAT))


def _cohort(month: date, stays: Iterable[Stay], zone: ZoneInfo, known: datetime) -> Cohort:
    """``known`` is until when we know who has left."""
    rows = list(stays)
    following = _months_before(month, -1)
    youngest = datetime.combine(following, time(), zone)
    return Cohort(
        month,
        following - timedelta(days=1),
        sum(row.people for row in rows),
        tuple(
            share_of_cohort(rows, steps) if youngest + steps * STEP <= known else None
            for steps in COHORTS_SHOWN
        ),
    )


def _months_before(first: date, months: int) -> date:
    year, month = divmod(first.year * _YEAR + first.month - 1 - months, _YEAR)
    return date(year, month + 1, 1)
