"""A campaign's public progress: the curve of the number, and its milestones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundraiser.campaigns.milestones import between
from fundraiser.campaigns.models import CampaignStatus, Counts
from fundraiser.db import now
from fundraiser.members.history import (
    brought_in,
    read_first_times,
    read_marks,
    read_peak,
    sample_times,
)
from fundraiser.members.ledger import balance_at

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

    from fundraiser.campaigns.models import Campaign
    from fundraiser.campaigns.progress import Progress

_THOUSAND = 1_000


@dataclass(frozen=True, slots=True)
class Reached:
    """A milestone and when it was first reached; ``is_goal``: it is or was the goal."""

    members: int
    at: datetime
    is_goal: bool


@dataclass(frozen=True, slots=True)
class Milestones:
    """Reached milestones, latest first; ``following`` is the next one."""

    reached: list[Reached]
    following: int | None


def read_series(
    session: Session, zone: ZoneInfo, campaign: Campaign, progress: Progress
) -> list[tuple[datetime, int]]:
    """The campaign's members over time, until now or the deadline; empty before its start."""
    if progress.status is CampaignStatus.SCHEDULED or now() <= campaign.starts_at:
        return []
    end = min(now(), campaign.deadline)
    if campaign.counts is Counts.ALL:
        return read_members(session, zone, campaign.starts_at, end, progress.members)
    times = sample_times(campaign.starts_at, end, zone)
    marks = read_marks(session, times)
    series = [(at, mark.balance - marks[0].balance) for at, mark in zip(times, marks, strict=True)]
    series[-1] = (end, progress.members)
    return series


def read_members(
    session: Session, zone: ZoneInfo, start: datetime, end: datetime, last: int
) -> list[tuple[datetime, int]]:
    """All members over time, ``last`` being their number at the end.

    People who were brought in from elsewhere are on the curve from when they began.
    """
    times = sample_times(start, end, zone)
    marks, before = read_marks(session, times), brought_in(session, times)
    series = [
        (at, mark.balance + more) for at, mark, more in zip(times, marks, before, strict=True)
    ]
    series[-1] = (end, last)
    return series


def thinned(series: list[tuple[datetime, int]]) -> list[tuple[datetime, int]]:
    """About twelve points of a series, including the last."""
    step = max(len(series) // 12, 1)
    return series[(len(series) - 1) % step :: step]


def read_milestones(session: Session, campaign: Campaign, progress: Progress) -> Milestones:
    """The milestones reached above the number at the start.

    A reached milestone stays, even if the number has fallen since.
    """
    at_start = balance_at(session, campaign.starts_at)
    base = at_start if campaign.counts is Counts.NEW else 0
    goals = {goal.members for goal in campaign.goals}
    peak = max(read_peak(session) - base, progress.members)
    ahead = peak + _THOUSAND
    possible = sorted(
        number
        for number in {*between(at_start - base, ahead, progress.goal), *goals}
        if number > at_start - base
    )
    times = read_first_times(
        session,
        [number + base for number in possible if number <= peak],
        campaign.starts_at,
        campaign.deadline,
    )
    reached = [
        Reached(number, times[number + base], number in goals)
        for number in reversed(possible)
        if number + base in times
    ]
    following = (
        number for number in possible if number > progress.members and number + base not in times
    )
    return Milestones(reached, next(following, None) if now() < campaign.deadline else None)
