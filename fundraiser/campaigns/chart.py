"""Compute the geometry of charts: percent across and pixels down, so that text keeps its size.

The server renders SVG without scripts or inline styles, which our CSP refuses. It prints, follows
light and dark mode, and needs no library.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

HEIGHT, TOP, BOTTOM = 260, 28, 8  # pixels; the words under the axis come below
_LABEL_APART = 36  # pixels between two labels of two lines at the right edge
_MOST_TICKS = 5
_YEAR = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Tick:
    """A value or date on an axis, and its position."""

    at: float
    value: int | datetime
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chart's cursor stops: percent across, pixels down (None if there are several)."""

    x: float
    y: float | None


@dataclass(frozen=True, slots=True)
class LineChart:
    """A chart of members over time; ``points`` are for a box of 1000 by ``HEIGHT``.

    ``places`` are those of the series; ``goal_y`` is None without a goal.
    """

    points: str
    places: list[Place]
    start: datetime
    end: datetime
    now_x: float
    now_y: float
    goal_y: float | None
    low_y: float | None
    high_y: float | None
    rush_y: float | None
    goal_label_y: float
    projected_label_y: float
    rows: list[Tick]
    dates: list[Tick]

    @property
    def is_long(self) -> bool:
        """Whether the dates need their year."""
        return self.end - self.start > _YEAR


def line_chart(
    series: Sequence[tuple[datetime, int]],
    *,
    end: datetime,
    goal: int | None,
    projected: tuple[int, int] | None = None,
    rush: int | None = None,
) -> LineChart:
    """Lay out a series that starts at its first time and may continue until ``end``.

    ``projected`` is the forecast from lowest to highest; ``rush`` the scenario of a final rush.
    """
    start, last = series[0][0], series[-1][0]
    span = max((max(end, last) - start).total_seconds(), 1.0)
    top, step = nice_scale(
        max(goal or 0, rush or 0, *(projected or ()), *(value for _, value in series))
    )

    def x(at: datetime) -> float:
        return round((at - start).total_seconds() / span * 100, 2)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM), 1)

    low_y, high_y = (y(projected[0]), y(projected[1])) if projected else (None, None)
    goal_y = None if goal is None else y(goal)
    goal_label, projected_label = _apart(goal_y or 0.0, low_y)
    places = [Place(x(at), y(value)) for at, value in series]
    return LineChart(
        points=polyline(places),
        places=places,
        start=start,
        end=max(end, last),
        now_x=x(last),
        now_y=y(series[-1][1]),
        goal_y=goal_y,
        low_y=low_y,
        high_y=high_y,
        rush_y=None if rush is None else y(rush),
        goal_label_y=goal_label,
        projected_label_y=projected_label,
        rows=[Tick(y(value), value) for value in range(step, top + 1, step)],
        dates=_dates(start, max(end, last), x),
    )


def polyline(places: Sequence[Place]) -> str:
    """The points of a line, in a box of 1000 by ``HEIGHT``."""
    return " ".join(f"{place.x * 10:.1f},{place.y}" for place in places)


def nice_scale(most: int) -> tuple[int, int]:
    """An axis maximum at or above ``most``, and a step of 1, 2 or 5 times a power of ten."""
    step = 1
    while step * _MOST_TICKS < most:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    return step * max(-(-most // step), 1), step


def _apart(goal_y: float, projected_y: float | None) -> tuple[float, float]:
    """Move the two labels at the right edge apart so that they don't overlap."""
    if projected_y is None or abs(goal_y - projected_y) >= _LABEL_APART:
        return goal_y, projected_y or 0.0
    if projected_y >= goal_y:
        return goal_y, goal_y + _LABEL_APART
    return projected_y + _LABEL_APART, projected_y


def _dates(start: datetime, end: datetime, x: Callable[[datetime], float]) -> list[Tick]:
    """Four evenly spaced dates, and the end."""
    quarter = (end - start) / 4
    between = [start + quarter * place for place in (1, 2, 3)]
    return [
        Tick(0, start, "start"),
        *(Tick(x(at), at) for at in between if end - start > timedelta(days=4)),
        Tick(100, end, "end"),
    ]
