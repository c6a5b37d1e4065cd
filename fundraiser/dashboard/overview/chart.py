"""The bar chart of joins and losses by day; for the line chart see ``campaigns.chart``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from fundraiser.campaigns.chart import Place, Tick, nice_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundraiser.dashboard.overview.figures import Day

BARS_HEIGHT, BARS_TOP, BARS_BOTTOM = 200, 24, 24  # pixels
_LABELS = 3  # dates under the bars


@dataclass(frozen=True, slots=True)
class Bar:
    """A day or more: joins above the line, losses below it; ``label`` if its date is shown."""

    day: Day
    x: float
    width: float
    joined_y: float
    joined_height: float
    stopped_height: float
    label: bool

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bars around ``zero_y``; ``most`` and ``worst`` show their figures."""

    bars: list[Bar]
    places: list[Place]
    zero_y: float
    rows: list[Tick]
    most: Bar | None
    worst: Bar | None

    @property
    def is_long(self) -> bool:
        """Whether the dates need their year."""
        return self.bars[-1].day.start - self.bars[0].day.start > timedelta(days=366)


def day_chart(days: Sequence[Day]) -> BarChart:
    """Lay out the days on one scale, joins above the line and losses below."""
    top, step = nice_scale(max(*(day.joined for day in days), 1))
    worst = max(day.stopped for day in days)
    scale = (BARS_HEIGHT - BARS_TOP - BARS_BOTTOM) / (top + worst)
    zero = round(BARS_TOP + top * scale, 1)
    slot = 100 / len(days)
    bars = [
        Bar(
            day,
            x=round(slot * (place + 0.14), 2),
            width=round(slot * 0.72, 2),
            joined_y=round(zero - day.joined * scale, 1),
            joined_height=round(day.joined * scale, 1),
            stopped_height=round(day.stopped * scale, 1),
            label=(len(days) - 1 - place) % max(len(days) // _LABELS, 1) == 0,
        )
        for place, day in enumerate(days)
    ]
    return BarChart(
        bars=bars,
        places=[Place(round(bar.middle, 2), bar.joined_y) for bar in bars],
        zero_y=zero,
        rows=[Tick(round(zero - value * scale, 1), value) for value in range(0, top + 1, step)],
        most=max((bar for bar in bars if bar.day.joined), key=_joined, default=None),
        worst=max((bar for bar in bars if bar.day.stopped), key=_stopped, default=None),
    )


def _joined(bar: Bar) -> int:
    return bar.day.joined


def _stopped(bar: Bar) -> int:
    return bar.day.stopped
