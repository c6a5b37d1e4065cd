"""How often the forecast's range holds: it should hold 8 times of 10.

    python -m bench forecast --seed 7
    python -m bench forecast --members 1000000

Two hundred newsrooms of many shapes are made up by ``bench.newsrooms``, which knows nothing of the
forecast, as the forecast knows nothing of it. In each, the members are forecast 7, 14 and 28 days
ahead at several moments of its last year, from what was known then, and held against what came.
With ``--members``, the job that forecasts is timed instead, at that size.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter, defaultdict
from random import Random
from typing import TYPE_CHECKING

from bench.dashboard import filled
from bench.newsrooms import GRACE, NEVER, SHAPES, make_newsroom
from fundraiser.campaigns.forecast import (
    HISTORY,
    HORIZONS,
    LAST_RENEWAL,
    PACE_DAYS,
    Outcomes,
    Outlook,
    Rates,
    forecast,
)
from fundraiser.dashboard.overview.daily import refresh
from fundraiser.dashboard.overview.forecasts import write_forecasts
from fundraiser.db import now

if TYPE_CHECKING:
    from datetime import timedelta
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

    from bench.newsrooms import Life, Newsroom
    from fundraiser.campaigns.forecast import Renewal

NEWSROOMS = 200
ORIGINS, APART = 6, 53  # forecasts in each newsroom, and the days between them
_YEAR = 365


class Books:
    """What a newsroom's books say at one moment, and nothing of what comes after."""

    def __init__(self, newsroom: Newsroom, at: float) -> None:
        self.at = at
        self.joined = [0] * int(at)
        self.members = 0
        self.canceled: Counter[int] = Counter()
        self.overdue: Counter[int] = Counter()
        self.due: dict[Renewal, Counter[int]] = defaultdict(Counter)
        self.joining: Counter[int] = Counter()
        self.outcomes: dict[Renewal, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.notice: dict[int, list[int]] = defaultdict(lambda: [0] * (_YEAR + 2))
        self.recoveries = [(0, 0)] * (GRACE + 1)
        for life in newsroom.lives:
            if life.joined <= at:
                self._look_back(life)
                if at < life.left:
                    self._look_ahead(life)

    def outlook(self) -> Outlook:
        return Outlook(
            self.members,
            self.joined[-HISTORY:],
            canceled=self.canceled,
            overdue=self.overdue,
            due=self.due,
            joining=self.joining,
        )

    def rates(self) -> Rates:
        outcomes = {renewal: Outcomes(*counts) for renewal, counts in self.outcomes.items()}
        return Rates(GRACE, outcomes, self.notice, self.recoveries)

    def _look_ahead(self, life: Life) -> None:
        """Put somebody who is counted where one belongs: overdue, cancelled, or to be renewed."""
        at = self.at
        self.members += 1
        number = int((at - life.joined) / life.period) + 1
        ahead = int(life.joined + number * life.period - at)
        failed = [begun for begun, paid in life.failures if begun <= at < min(paid, begun + GRACE)]
        if failed:
            self.overdue[int(failed[-1] + GRACE - at)] += 1
        elif any(begun <= at < taken_back for begun, taken_back in life.cancels):
            self.canceled[ahead] += 1
        else:
            self.due[life.period, min(number, LAST_RENEWAL)][ahead] += 1

    def _look_back(self, life: Life) -> None:
        """Add when somebody joined, and what became of the renewals and failures of a year."""
        at = self.at
        if life.joined < int(at):
            self.joined[int(life.joined)] += 1
        if life.joined > at - 90:
            self.joining[life.period] += 1
        last = life.left - GRACE if life.unpaid else life.left
        number = max(1, math.ceil((at - _YEAR - life.joined) / life.period))
        while (renewal := life.joined + number * life.period) <= min(at, last):
            if renewal == last and life.left > at:
                break  # nobody knows yet
            counts = self.outcomes[life.period, min(number, LAST_RENEWAL)]
            counts[0] += 1
            if renewal == last:
                counts[2 if life.unpaid else 1] += 1
                if not life.unpaid:
                    self.notice[life.period][int(renewal - life.cancels[-1][0])] += 1
            number += 1
        for begun, paid in life.failures:
            if at - _YEAR <= begun < at - GRACE:
                for day in range(GRACE + 1 if paid == NEVER else int(paid - begun) + 1):
                    seen, recovered = self.recoveries[day]
                    self.recoveries[day] = (seen + 1, recovered + (paid != NEVER))


def main() -> None:
    """What the command line asks for; seed 1 unless it says otherwise."""
    arguments = sys.argv[1:]
    if "--members" in arguments:
        time_the_job(int(arguments[arguments.index("--members") + 1]))
    else:
        seed = int(arguments[arguments.index("--seed") + 1]) if "--seed" in arguments else 1
        measure(seed)


def measure(seed: int) -> None:
    """Print how often the range held, by shape and days ahead."""
    random = Random(seed)  # noqa: S311 - made-up newsrooms
    begun = time.perf_counter()
    found: dict[int, dict[str, Counter[str]]] = {days: defaultdict(Counter) for days in HORIZONS}
    for number in range(NEWSROOMS):
        newsroom = make_newsroom(random, SHAPES[number % len(SHAPES)])
        for origin in range(ORIGINS):
            at = newsroom.days - max(HORIZONS) - 1 - APART * origin + random.random()
            if at > PACE_DAYS:
                look(newsroom, at, found)
    took = time.perf_counter() - begun
    print(f"seed {seed}: {NEWSROOMS} newsrooms of {len(SHAPES)} shapes, in {took:.0f} s")
    print(f"{'held, of 100':<14}" + "".join(f"{name:>11}" for name in (*SHAPES, "all")))
    for days, shapes in found.items():
        everything = sum(shapes.values(), Counter())
        rows = [*(shapes[name] for name in SHAPES), everything]
        print(f"{days:>3} days      " + "".join(f"{share(row, 'held'):>11.1f}" for row in rows))
        below, above = share(everything, "below"), share(everything, "above")
        print(
            f"{'':<14}below {below:.1f}, above {above:.1f}, of {everything.total():,} forecasts; "
            f"{everything['young']} too young to say"
        )


def look(newsroom: Newsroom, at: float, found: dict[int, dict[str, Counter[str]]]) -> None:
    """Forecast at one moment, and hold it against what came."""
    books = Books(newsroom, at)
    outlook, rates = books.outlook(), books.rates()
    for days in HORIZONS:
        counts = found[days][newsroom.shape]
        one = forecast(outlook, rates, days)
        if one is None:
            counts["young"] += 1
            continue
        came = sum(life.joined <= at + days < life.left for life in newsroom.lives)
        counts["below" if came < one.low else "above" if came > one.high else "held"] += 1


def share(counts: Counter[str], name: str) -> float:
    """In percent, of the forecasts that were made."""
    return 100 * counts[name] / max(counts.total() - counts["young"], 1)


def time_the_job(members: int) -> None:
    """Print how long the daily figures take, and the forecasts among them."""
    with filled(members) as (database, settings):
        for name, job in (("figures and forecasts", refresh), ("forecasts alone", write_again)):
            begun = time.perf_counter()
            with database.transaction() as session:
                job(session, settings.newsroom_timezone, settings.grace)
            took = time.perf_counter() - begun
            print(f"{members:,} members: {name} in {took:.1f} s, every 300 s")


def write_again(session: Session, zone: ZoneInfo, grace: timedelta) -> None:
    write_forecasts(session, zone, grace, now())
