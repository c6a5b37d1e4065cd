"""Will we make it? The pace of the last weeks carried on to the deadline: no database, no clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

LEAST_DAYS = 1.0  # of history: less than a day says nothing of the days to come


@dataclass(frozen=True, slots=True)
class Pace:
    """Who joined and who stopped in the ``days`` (as long as they were) before now.

    ``window`` is how many days were asked for: a young newsroom has fewer behind it.
    """

    window: int
    days: float
    joined: int
    stopped: int

    @property
    def joined_a_day(self) -> float:
        return self.joined / self.days

    @property
    def stopped_a_day(self) -> float:
        return self.stopped / self.days

    @property
    def net_a_day(self) -> float:
        return (self.joined - self.stopped) / self.days


@dataclass(frozen=True, slots=True)
class Forecast:
    """Members at the deadline, from ``low`` to ``high``, the deadline being ``days`` away.

    ``paces`` are the ones that it was made of, ``leaving`` the losses known beforehand, ``cards``
    those that come unless a bank replaces a card in time.
    """

    low: int
    high: int
    days: float
    leaving: int
    cards: int
    paces: tuple[Pace, ...]


def needed_a_day(remaining: int, left: timedelta) -> int | None:
    """How many more each day, today among them, reach the goal; None once the deadline is over."""
    days = whole_days(left)
    return -(-remaining // days) if days else None


def whole_days(left: timedelta) -> int:
    """The days left, one that has begun among them; 0 once there are none."""
    return max(math.ceil(left.total_seconds() / 86_400), 0)


def forecast(
    members: int, left: timedelta, paces: Sequence[Pace], *, leaving: int, cards: int = 0
) -> Forecast | None:
    """Where each pace leads, as a range; None where there is no pace yet or no time left.

    ``leaving`` people are known to stop before the deadline, and ``cards`` more if no bank replaces
    their cards: the low end takes all of these for lost, the high end none. The pace of stopping
    foresees people like them, so that the larger of the two is taken off, and nobody twice.
    """
    days = left.total_seconds() / 86_400
    known = tuple(pace for pace in paces if pace.days >= LEAST_DAYS)
    if days <= 0 or not known:
        return None
    low = min(_end(members, days, pace, leaving + cards) for pace in known)
    high = max(_end(members, days, pace, leaving) for pace in known)
    return Forecast(low, high, days, leaving, cards, known)


def _end(members: int, days: float, pace: Pace, leaving: int) -> int:
    losses = max(pace.stopped_a_day * days, float(leaving))
    return max(round(members + pace.joined_a_day * days - losses), 0)


def without(pace: Pace, joined: int, stopped: int) -> Pace:
    """The pace without so many that no reader caused, like an import: they will not come again."""
    return Pace(
        pace.window, pace.days, max(pace.joined - joined, 0), max(pace.stopped - stopped, 0)
    )
