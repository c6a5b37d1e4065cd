"""Made-up newsrooms for the forecast's benchmark, person by person; it knows nothing of forecasts.

A newsroom's readers join at a level that drifts, with weekdays, seasons, stories that break, dry
spells and campaigns that end in a rush; they pay by the month or the year, cancel or don't, and
their cards fail and are replaced or are not. A price that rises makes more of them leave at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

SHAPES = ("steady", "growth", "shocks", "rush", "dry spell", "cliff", "young", "small")
GRACE = 14
_LONGEST = 900  # days
NEVER = math.inf
_MONTH, _YEAR = 30, 365
_ALSO_RUSHES, _ALSO_DRY = 0.2, 0.1  # of the newsrooms of other shapes


@dataclass(slots=True)
class Life:
    """A person, in days since the newsroom opened.

    ``cancels`` are pairs of when somebody cancelled and when that was taken back, if it was;
    ``failures`` of when a payment failed and when it was made good, if it was.
    """

    joined: float
    period: int
    left: float = NEVER
    unpaid: bool = False
    cancels: list[tuple[float, float]] = field(default_factory=list)
    failures: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Newsroom:
    """All that ever happens in one newsroom in ``days``."""

    shape: str
    days: int
    lives: list[Life]


def make_newsroom(random: Random, shape: str) -> Newsroom:
    """One newsroom of this shape; no two are alike."""
    days = random.randint(120, 300) if shape == "young" else random.randint(500, _LONGEST)
    people = _People(random, shape)
    lives = []
    for day, level in enumerate(_levels(random, shape, days)):
        joins = _poisson(random, level)
        lives += [people.live(day + random.random(), days) for _ in range(joins)]
    return Newsroom(shape, days, lives)


def _levels(random: Random, shape: str, days: int) -> list[float]:
    """How many are expected to join on each day."""
    level = math.exp(random.gauss(math.log(0.5 if shape == "small" else 4), 0.7))
    drift = random.uniform(0.03, 0.12)  # of the log, a week
    trend = random.uniform(0.1, 0.9) / 365 if shape == "growth" else random.uniform(-0.3, 0.2) / 365
    weekdays = [random.uniform(0.6, 1.4) for _ in range(7)]
    season, phase = random.uniform(0, 0.3), random.uniform(0, 365)
    restless = random.uniform(0.1, 0.5)  # what else makes a day unlike others
    found = []
    for day in range(days):
        level *= math.exp(random.gauss(trend, drift / math.sqrt(7)))
        year = 1 + season * math.sin((day + phase) / 365 * 2 * math.pi)
        noise = math.exp(random.gauss(-(restless**2) / 2, restless))
        found.append(min(level * weekdays[day % 7] * year * noise, 60.0))
    _add_stories(random, found, a_year=random.uniform(6, 12) if shape == "shocks" else 1.5)
    if shape == "rush" or random.random() < _ALSO_RUSHES:
        _add_campaigns(random, found)
    if shape == "dry spell" or random.random() < _ALSO_DRY:
        _add_dry_spells(random, found)
    return found


def _add_stories(random: Random, levels: list[float], a_year: float) -> None:
    """A story breaks, and a few days bring many."""
    day = random.expovariate(a_year / 365)
    while day < len(levels):
        times, fade = random.uniform(1.5, 8), random.uniform(1.5, 5)
        for after in range(min(25, len(levels) - int(day))):
            levels[int(day) + after] *= 1 + times * math.exp(-after / fade)
        day += random.expovariate(a_year / 365)


def _add_campaigns(random: Random, levels: list[float]) -> None:
    """A campaign of a month or so: more join, most in its last days, fewer for weeks afterwards."""
    day = random.randint(30, 300)
    while day < len(levels):
        length, lift, rush = random.randint(25, 50), random.uniform(1.2, 2), random.uniform(2, 4)
        for at in range(day, min(day + length, len(levels))):
            levels[at] *= lift * (rush if at >= day + length - 8 else 1)
        for at in range(day + length, min(day + length + 28, len(levels))):
            levels[at] *= 0.7
        day += length + random.randint(120, 330)


def _add_dry_spells(random: Random, levels: list[float]) -> None:
    """Weeks of which nobody knows why so few joined."""
    day = random.randint(30, 250)
    while day < len(levels):
        length, depth = random.randint(14, 70), random.uniform(0.15, 0.6)
        for at in range(day, min(day + length, len(levels))):
            levels[at] *= depth
        day += length + random.randint(60, 300)


class _People:
    """How the people of one newsroom stay, pay and leave."""

    def __init__(self, random: Random, shape: str) -> None:
        self.random = random
        self.yearly = random.uniform(0.1, 0.6)
        self.month_first, self.month_later = random.uniform(0.05, 0.2), random.uniform(0.015, 0.06)
        self.year_first, self.year_later = random.uniform(0.15, 0.4), random.uniform(0.08, 0.25)
        self.fails, self.recovers = random.uniform(0.01, 0.06), random.uniform(0.35, 0.8)
        self.recovery_days = random.uniform(1.5, 6)
        self.changes_mind = random.uniform(0, 0.12)
        self.late = random.uniform(0.2, 1.5)  # below 1, most cancel near the renewal
        # Prices rise: who renews in these weeks thinks twice.
        self.rise = random.randint(150, _LONGEST) if shape == "cliff" else -1
        self.outrage = random.uniform(1.5, 4)

    def live(self, joined: float, days: int) -> Life:
        random = self.random
        life = Life(joined, _YEAR if random.random() < self.yearly else _MONTH)
        renewal, number = joined + life.period, 1
        while renewal < days + 400:
            if random.random() < self._leaves(life.period, number, renewal):
                notice = life.period * random.random() ** (1 / self.late)
                canceled = renewal - notice
                if random.random() >= self.changes_mind:
                    life.cancels.append((canceled, NEVER))
                    life.left = renewal
                    return life
                life.cancels.append((canceled, canceled + notice * random.random()))
            if random.random() < self.fails:
                paid = random.expovariate(1 / self.recovery_days)
                if random.random() >= self.recovers or paid >= GRACE:
                    life.failures.append((renewal, NEVER))
                    life.left, life.unpaid = renewal + GRACE, True
                    return life
                life.failures.append((renewal, renewal + paid))
            renewal, number = renewal + life.period, number + 1
        return life

    def _leaves(self, period: int, number: int, renewal: float) -> float:
        if period > _MONTH:
            share = self.year_first if number == 1 else self.year_later
        else:
            share = self.month_later + (self.month_first - self.month_later) * 0.6 ** (number - 1)
        upset = self.outrage if self.rise <= renewal < self.rise + 45 else 1
        return min(share * upset, 0.9)


def _poisson(random: Random, mean: float) -> int:
    """Knuth's, for small means."""
    floor, product, count = math.exp(-mean), random.random(), 0
    while product > floor:
        product *= random.random()
        count += 1
    return count
