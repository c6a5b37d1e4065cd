"""The chart of who stays: one line for each way of joining."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundraiser.campaigns.chart import BOTTOM, HEIGHT, TOP, Place, Tick, polyline
from fundraiser.dashboard.retention import labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundraiser.dashboard.retention.figures import Group

DAYS = 30  # in a period
_MOST_LINES, _MOST_DATES, _APART = 3, 5, 18


@dataclass(frozen=True, slots=True)
class Line:
    """A way of joining; ``label_y`` is where its name stands at the right edge."""

    name: str
    percent: int
    points: str
    label_y: float


@dataclass(frozen=True, slots=True)
class StayChart:
    """Shares (0 to 100 %) over days since joining; ``stops`` are those of the cursor."""

    lines: list[Line]
    rows: list[Tick]
    days: list[Tick]
    stops: list[tuple[float, None, str]]


def stay_chart(groups: Sequence[tuple[str, Group]]) -> StayChart | None:
    """Lay out the largest groups, each with its name; None if too little is known of all.

    People of whom the way is unknown, or any other, are no group.
    """
    known = [
        (name, group.curve.shares)
        for name, group in groups
        if group.key not in {"", "*"} and len(group.curve.shares) > 1
    ][:_MOST_LINES]
    if not known:
        return None
    last = max(len(shares) for _, shares in known)
    lines = [
        Line(
            name,
            round(100 * shares[-1]),
            polyline(_places(shares, last)),
            _y(shares[-1]),
        )
        for name, shares in known
    ]
    apart = -(-last // _MOST_DATES)
    return StayChart(
        _spread(lines),
        [Tick(_y(percent / 100), percent) for percent in (25, 50, 75, 100)],
        [Tick(round(step / last * 100, 2), step * DAYS) for step in range(0, last + 1, apart)],
        [
            (round(step / last * 100, 2), None, labels.stayed(step * DAYS, _shares(known, step)))
            for step in range(1, last + 1)
        ],
    )


def _places(shares: Sequence[float], last: int) -> list[Place]:
    """From the day of joining, when everybody is here."""
    return [
        Place(round(step / last * 100, 2), _y(share)) for step, share in enumerate((1.0, *shares))
    ]


def _shares(known: Sequence[tuple[str, tuple[float, ...]]], step: int) -> list[tuple[str, float]]:
    return [(name, shares[step - 1]) for name, shares in known if step <= len(shares)]


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _spread(lines: list[Line]) -> list[Line]:
    """Move the names at the right edge apart so that they don't overlap, and keep their order."""
    found: dict[str, float] = {}
    least = 0.0
    for line in sorted(lines, key=lambda line: line.label_y):
        found[line.name] = least = max(line.label_y, least)
        least += _APART
    return [Line(one.name, one.percent, one.points, found[one.name]) for one in lines]
