"""Read the stored retention figures as curves, cohorts and sums."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select

from fundraiser.dashboard.models import RetentionFigure, Subject
from fundraiser.dashboard.periods import months_before
from fundraiser.dashboard.retention.stays import HEARTBEAT, STEP
from fundraiser.dashboard.retention.survival import Curve, Stay, estimate, share_of_cohort
from fundraiser.jobs import Heartbeat
from fundraiser.members.models import Member, Membership

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from zoneinfo import ZoneInfo

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from fundraiser.dashboard.periods import Period

SHOWN = (1, 3, 6, 13, 25, 37)  # periods: 13, 25 and 37 are just after a yearly renewal
COHORTS_SHOWN = (1, 2, 3, 6, 9, 13, 19, 25)
_MONTHS = 24


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
    """People who cancelled for a reason in a period, and in the one to compare it with."""

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
        .where(f.subject == Subject.INTERVAL, f.month > months_before(this, _MONTHS))
        .group_by(f.month, f.entry, f.steps, f.ended)
    ):
        if month is not None:
            stays[month].append(Stay(entry, steps, ended, int(people)))
    return [
        _cohort(month, rows, zone, at - grace)
        for month, rows in sorted(stays.items(), reverse=True)
    ]


def read_reasons(session: Session, period: Period, compared: Period) -> list[ReasonSum]:
    """Reasons of people who cancelled in these months, most frequent first."""
    f = RetentionFigure
    here, there = (f.month.between(one.first, one.last) for one in (period, compared))
    recent, before = (
        func.coalesce(func.sum(f.people).filter(months), 0) for months in (here, there)
    )
    rows = session.execute(
        select(f.key, recent, before)
        .where(f.subject == Subject.REASON, or_(here, there))
        .group_by(f.key)
        .order_by(recent.desc(), before.desc(), f.key)
    )
    return [ReasonSum(key, int(people), int(earlier)) for key, people, earlier in rows]


def read_first_reason(session: Session) -> date | None:
    """The first month in which anybody cancelled."""
    f = RetentionFigure
    return session.scalar(select(func.min(f.month)).where(f.subject == Subject.REASON))


def read_comments(
    session: Session, period: Period, zone: ZoneInfo, most: int
) -> Sequence[Row[Membership, Member]]:
    """What members wrote when they cancelled in these months, latest first."""
    begin, end = (
        datetime.combine(day, time(), zone)
        for day in (period.first, period.end + timedelta(days=1))
    )
    return session.execute(
        select(Membership, Member)
        .join(Member, Member.id == Membership.member_id)
        .where(
            Membership.cancel_comment.is_not(None),
            Membership.canceled_at >= begin,
            Membership.canceled_at < end,
        )
        .order_by(Membership.canceled_at.desc(), Membership.id)
        .limit(most)
    ).all()


def read_made_at(session: Session) -> datetime | None:
    """When the figures were last made."""
    return session.scalar(select(Heartbeat.beat_at).where(Heartbeat.name == HEARTBEAT))


def _cohort(month: date, stays: Iterable[Stay], zone: ZoneInfo, known: datetime) -> Cohort:
    """``known`` is until when we know who has left."""
    rows = list(stays)
    following = months_before(month, -1)
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
