"""The overview's two charts, for a range of time: what they show, say and give as a file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from fundraiser.campaigns.chart import line_chart
from fundraiser.campaigns.public_progress import read_members, read_series, thinned
from fundraiser.dashboard.overview import labels
from fundraiser.dashboard.overview.chart import day_chart
from fundraiser.dashboard.overview.figures import DAYS_SHOWN, read_days
from fundraiser.db import now
from fundraiser.members.history import Mark, start_of_day
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import LedgerEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

    from fundraiser.campaigns.chart import LineChart, Place
    from fundraiser.campaigns.models import Campaign
    from fundraiser.campaigns.progress import Progress
    from fundraiser.dashboard.models import ShownForecast
    from fundraiser.dashboard.overview.chart import BarChart
    from fundraiser.dashboard.overview.figures import Day

Series = list[tuple["datetime", int]]
Stop = tuple[float, "float | None", str]  # of a chart's cursor: its place, and what it says

_LONGEST = 3652  # days: ten years
_STEPS = ((100, 1), (700, 7), (_LONGEST, 28))  # up to so many days, a bar for each of these


class Range(StrEnum):
    """The time that the charts show; ``campaign`` shows the bars of the last 28 days."""

    CAMPAIGN = "campaign"
    MONTH = "28"
    QUARTER = "91"
    YEAR = "365"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Curve:
    """Members over time."""

    series: Series
    chart: LineChart
    stops: list[Stop]

    @property
    def table(self) -> Series:
        """About twelve values, including the latest."""
        return thinned(self.series)


@dataclass(frozen=True, slots=True)
class Bars:
    """Who joined and left in each ``step`` days."""

    days: Sequence[Day]
    step: int
    start: datetime
    end: datetime
    chart: BarChart
    stops: list[Stop]


def read_range(text: str | None, campaign: Campaign | None) -> Range:
    """The range that an address asks for; the campaign's if none, or one that we don't have."""
    default = Range.CAMPAIGN if campaign else Range.YEAR
    found = next((known for known in Range if known == text), default)
    return default if found is Range.CAMPAIGN else found


def read_curve(
    session: Session,
    zone: ZoneInfo,
    span: Range,
    of: tuple[Campaign, Progress] | None,
    forecast: ShownForecast | None = None,
) -> Curve | None:
    """Members over time; the campaign's with its goal and forecast. None before its start."""
    if span is Range.CAMPAIGN and of:
        campaign, progress = of
        series = read_series(session, zone, campaign, progress)
        if not series:
            return None
        chart = line_chart(
            series,
            end=campaign.deadline,
            goal=progress.goal,
            projected=(forecast.low, forecast.high) if forecast else None,
            rush=forecast.rush_high if forecast and progress.remaining else None,
        )
    else:
        at = now()
        start = start_of_day(at, zone, _days(session, span, at))
        series = read_members(session, zone, start, at, read_balance(session).members)
        chart = line_chart(series, end=at, goal=None)
    return Curve(
        series,
        chart,
        stops(chart.places, (labels.members_at(*one, last=one is series[-1]) for one in series)),
    )


def read_bars(
    session: Session,
    zone: ZoneInfo,
    span: Range,
    here: Mark,
    shown: Sequence[Day] | None = None,
) -> Bars:
    """Who joined and left: by day, or by several days where there would be too many.

    ``shown`` has the last 28 days, where they have been read already.
    """
    at = now()
    days = DAYS_SHOWN if span is Range.CAMPAIGN else _days(session, span, at)
    step = next(step for most, step in _STEPS if days <= most)
    if days != DAYS_SHOWN or shown is None:
        shown = read_days(session, zone, here, -(-days // step), step)
    chart = day_chart(shown)
    return Bars(
        shown,
        step,
        shown[0].start,
        start_of_day(at, zone, -1),
        chart,
        stops(chart.places, (labels.joined_and_left(day, step) for day in shown)),
    )


def stops(places: Iterable[Place], said: Iterable[str]) -> list[Stop]:
    """Where a chart's cursor stops, and what it says there."""
    return [(found.x, found.y, text) for found, text in zip(places, said, strict=True)]


def _days(session: Session, span: Range, at: datetime) -> int:
    if span is not Range.ALL:
        return int(span)
    first = session.scalar(select(func.min(LedgerEntry.recorded_at)))
    ago = (at - first) // timedelta(days=1) + 1 if first else 0
    return min(max(ago, DAYS_SHOWN), _LONGEST)
