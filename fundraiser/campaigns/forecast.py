"""Forecast how many members there will be, as a range: no database, no clock.

Joins are the mean of the last 28 days carried on; how far off that may be is how far off it was at
each week of the past year. Losses are what is known of the people who are counted now: who has
cancelled, who is overdue, whose renewal is due, each at the newsroom's own rates. 4,000 draws of
both give the range and the chance of reaching a goal. docs/decisions/forecast.md has the reasons,
the sources and how often the range held.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

HORIZONS = (7, 14, 28)  # days ahead that are forecast every day, whatever campaign runs
HISTORY = 420  # days of joins to learn from: 52 weeks of origins, and 28 days on both sides
LAST_RENEWAL = 12  # this renewal and all later ones share one rate
PACE_DAYS = 28
MONTH, YEAR = 30, 365  # days, as periods are keyed

_DRAWS = 4_000
_LOW, _HIGH = 0.1, 0.9
_ORIGINS = 52
_WEEK = 7
# Before there are errors of our own: the standard deviation of the log of joins, and how many
# independent errors that belief is worth.
_SPREAD, _SPREAD_WORTH = 0.35, 4
_DEVIATION = math.sqrt(math.pi / 2)  # a normal distribution's, by its mean absolute error
# Beliefs about shares, as cases with and without: half of the overdue pay within the grace period,
# one cancellation in twenty is taken back, one gift or import in ten continues.
_PAYS, _TAKES_BACK, _CONTINUES = (5.0, 5.0), (1.0, 19.0), (1.0, 9.0)
# Of yearly members 70 % stay at a renewal, of monthly ones 91 % (Piano's medians); up to a third
# of those who leave do so because a payment failed.
_LEAVE_A_YEAR, _LEAVE_A_MONTH, _OF_THESE_UNPAID = 0.3, 0.086, 1 / 3
_RENEWALS_WORTH = 20
_LOSSES_SPREAD = 0.15  # of the log of losses: last year's rates are not next month's
_FURTHER = 2  # times as far ahead as there is history: no further
# How many times as many joined a day in the last eight of a campaign's thirty days as before
# (The Correspondent 2018, Krautreporter 2014).
RUSH_DAYS, RUSH = 8, (2.4, 3.9)

Renewal: TypeAlias = tuple[int, int]  # the period in days, and the first renewal, the second …


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How many faced a renewal, and how many then left: by choice, or as the payment failed."""

    faced: int = 0
    voluntary: int = 0
    involuntary: int = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """What the newsroom has measured so far.

    ``renewals``: the outcomes of past renewals. ``notice``: by period, how many cancelled so many
    days (the index) before they left. ``recoveries``: by days overdue (the index), how many were
    overdue for that long, and how many of these paid in the end. ``grace`` is in days.
    """

    grace: float
    renewals: Mapping[Renewal, Outcomes] = field(default_factory=dict)
    notice: Mapping[int, Sequence[int]] = field(default_factory=dict)
    recoveries: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known at the moment of a forecast. Nobody is in two of these.

    ``joined``: how many joined by readers' own acts on each whole day, the oldest first. The others
    are people who are counted now: by days from now, ``canceled`` at whose end, ``ending`` whose
    gift or import runs out, ``overdue`` whose grace period ends then; ``due`` by renewal and days
    from now. ``joining`` is how many joined lately, by period: the mix of those still to join.
    """

    members: int
    joined: Sequence[int]
    canceled: Mapping[int, int] = field(default_factory=dict)
    ending: Mapping[int, int] = field(default_factory=dict)
    overdue: Mapping[int, int] = field(default_factory=dict)
    due: Mapping[Renewal, Mapping[int, int]] = field(default_factory=dict)
    joining: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Losses:
    """How many people each reason is expected to cost, and the variance of their sum."""

    canceled: float
    overdue: float
    ending: float
    renewals: float
    variance: float

    @property
    def total(self) -> float:
        return self.canceled + self.overdue + self.ending + self.renewals


@dataclass(frozen=True, slots=True)
class Forecast:
    """Members in ``days``: P10 (``low``), P50 (``middle``) and P90 (``high``).

    ``chance`` is of reaching the goal then, 0 to 1. ``joins`` and ``losses`` are expected. ``rush``
    is where the middle goes if the last days bring as many as in other campaigns: a scenario, of
    which the range knows nothing.
    """

    days: float
    low: int
    middle: int
    high: int
    chance: float
    joins: float
    losses: Losses
    rush: tuple[int, int]


def needed_a_day(remaining: int, left: timedelta) -> int | None:
    """How many more each day, today among them, reach the goal; None once the deadline is over."""
    days = whole_days(left)
    return -(-remaining // days) if days else None


def whole_days(left: timedelta) -> int:
    """The days left, one that has begun among them; 0 once there are none."""
    return max(math.ceil(left.total_seconds() / 86_400), 0)


def is_too_young(joined: Sequence[int], days: float) -> bool:
    """Whether too few days, or nobody who joined, are behind us to say anything so far ahead."""
    return len(joined) < PACE_DAYS or not any(joined) or days > _FURTHER * len(joined)


def forecast(
    outlook: Outlook, rates: Rates, days: float, *, goal: int | None = None
) -> Forecast | None:
    """The members in so many days, as a range; None where it is too young to say, or no time left.

    The same facts give the same forecast: the draws are made once.
    """
    if days <= 0 or is_too_young(outlook.joined, days):
        return None
    pace = pace_of(outlook.joined)
    joins, spread = pace * days, spread_of(outlook.joined, days)
    losses = expected_losses(outlook, rates, days)
    stay = 1 - _share_of_joiners_lost(outlook, rates, days)
    lost, deviation = losses.total, math.sqrt(losses.variance)
    ends = sorted(
        outlook.members
        + joins * stay * math.exp(spread * up)
        - max(lost * math.exp(_LOSSES_SPREAD * down) + deviation * chance, 0.0)
        for up, down, chance in _draws()
    )
    middle = _quantile(ends, 0.5)
    in_rush = pace * stay * min(days, RUSH_DAYS)
    fewer, more = (round(middle + in_rush * (times - 1)) for times in RUSH)
    return Forecast(
        days=days,
        low=max(round(_quantile(ends, _LOW)), 0),
        middle=max(round(middle), 0),
        high=max(round(_quantile(ends, _HIGH)), 0),
        chance=sum(end >= goal for end in ends) / len(ends) if goal else 0.0,
        joins=joins,
        losses=losses,
        rush=(fewer, more),
    )


def pace_of(joined: Sequence[int]) -> float:
    """Joins a day, of the last 28 days; a half more, so that it is never nothing."""
    return (sum(joined[-PACE_DAYS:]) + 0.5) / PACE_DAYS


def spread_of(joined: Sequence[int], days: float) -> float:
    """The standard deviation of the log of joins in the days ahead, by the errors of the past.

    At each week of the last year the pace of then is held against what came. Errors of overlapping
    weeks say less, and few say little: then it stays near what is believed beforehand.
    """
    span = max(round(days), 1)
    sums = [0]
    for count in joined:
        sums.append(sums[-1] + count)
    errors = []
    for week in range(_ORIGINS):
        at = len(joined) - span - _WEEK * week
        if at < PACE_DAYS:
            break
        pace = (sums[at] - sums[at - PACE_DAYS] + 0.5) / PACE_DAYS
        errors.append(math.log((sums[at + span] - sums[at] + 0.5) / (span * pace)))
    belief = _SPREAD * math.sqrt(0.5 + days / (2 * PACE_DAYS))
    worth = len(errors) * min(1.0, _WEEK / span)
    # A few days that were far off say less of the common ones in this than in the mean square.
    own = _DEVIATION * sum(map(abs, errors)) / len(errors) if errors else 0.0
    return (_SPREAD_WORTH * belief + worth * own) / (_SPREAD_WORTH + worth)


def expected_losses(outlook: Outlook, rates: Rates, days: float) -> Losses:
    """Whom the known facts are expected to cost in so many days."""
    variance = 0.0

    def lost(people: float, share: float, worth: float = math.inf) -> float:
        """The expected losses; their variance is the binomial's and that of the share itself."""
        nonlocal variance
        variance += people * share * (1 - share) * (1 + people / (worth + 1))
        return people * share

    canceled = lost(_until(outlook.canceled, days), *_belief_not(_TAKES_BACK))
    ending = lost(_until(outlook.ending, days), *_belief_not(_CONTINUES))
    overdue = sum(
        lost(people, 1 - paying_share(rates, rates.grace - ahead), worth=_overdue_worth(rates))
        for ahead, people in outlook.overdue.items()
        if ahead < days
    )
    shares = _leaving_shares(rates)
    renewals = sum(
        lost(people, 1 - _stays(rates, shares, renewal, ahead, days))
        for renewal, by_day in outlook.due.items()
        for ahead, people in by_day.items()
        if ahead < days
    )
    return Losses(canceled, overdue, ending, renewals, variance)


def paying_share(rates: Rates, overdue: float) -> float:
    """The share of those overdue for so many days who pay before the grace period is over."""
    pays, fails = _PAYS
    whole = max(int(overdue), 0)
    # Beforehand, the longer somebody is overdue, the less likely a payment becomes.
    left = max(1 - overdue / rates.grace, 0.0) if rates.grace else 0.0
    seen, paid = rates.recoveries[whole] if whole < len(rates.recoveries) else (0, 0)
    return (2 * pays * left / (1 + left) + paid) / (pays + fails + seen)


def _overdue_worth(rates: Rates) -> float:
    return sum(_PAYS) + (rates.recoveries[0][0] if rates.recoveries else 0)


def _belief_not(belief: tuple[float, float]) -> tuple[float, float]:
    """The share without, and how many cases the belief is worth."""
    return belief[1] / sum(belief), sum(belief)


def _until(by_day: Mapping[int, int], days: float) -> int:
    return sum(people for ahead, people in by_day.items() if ahead < days)


@dataclass(frozen=True, slots=True)
class _Leaving:
    """The shares that leave at one renewal."""

    voluntary: float
    involuntary: float


def _leaving_shares(rates: Rates) -> Mapping[Renewal, _Leaving]:
    """The shares that leave at each renewal, few cases shrunk to all of the same period."""
    pooled: dict[int, Outcomes] = defaultdict(Outcomes)
    for (period, _), one in rates.renewals.items():
        before = pooled[period]
        pooled[period] = Outcomes(
            before.faced + one.faced,
            before.voluntary + one.voluntary,
            before.involuntary + one.involuntary,
        )
    of_period = {period: _shrunk(one, _believed(period)) for period, one in pooled.items()}
    found = {
        renewal: _shrunk(one, of_period[renewal[0]]) for renewal, one in rates.renewals.items()
    }
    return _Shares(found, of_period)


class _Shares(dict[Renewal, _Leaving]):
    """By renewal; one that nobody has faced yet is as all of its period, or as believed."""

    def __init__(
        self, found: Mapping[Renewal, _Leaving], of_period: Mapping[int, _Leaving]
    ) -> None:
        super().__init__(found)
        self._of_period = of_period

    def __missing__(self, renewal: Renewal) -> _Leaving:
        found = self._of_period.get(renewal[0]) or _believed(renewal[0])
        self[renewal] = found
        return found


def _believed(period: int) -> _Leaving:
    share = _LEAVE_A_YEAR if period > YEAR / 2 else _LEAVE_A_MONTH
    return _Leaving(share * (1 - _OF_THESE_UNPAID), share * _OF_THESE_UNPAID)


def _shrunk(one: Outcomes, belief: _Leaving) -> _Leaving:
    cases = one.faced + _RENEWALS_WORTH
    return _Leaving(
        (one.voluntary + _RENEWALS_WORTH * belief.voluntary) / cases,
        (one.involuntary + _RENEWALS_WORTH * belief.involuntary) / cases,
    )


def _stays(
    rates: Rates, shares: Mapping[Renewal, _Leaving], renewal: Renewal, ahead: float, days: float
) -> float:
    """The chance that somebody of whom nothing is known is still counted after so many days."""
    period, number = renewal
    stays = 1.0
    first = True
    while ahead < days:
        leaving = shares[period, min(number, LAST_RENEWAL)]
        voluntary = leaving.voluntary
        if first:  # who has not cancelled so far is less likely to, the nearer the renewal
            still = voluntary * _notice_share(rates, period, ahead)
            voluntary = still / (1 - voluntary + still)
        stays *= 1 - voluntary
        if ahead + rates.grace < days:
            stays *= 1 - leaving.involuntary
        ahead, number, first = ahead + period, number + 1, False
    return stays


def _notice_share(rates: Rates, period: int, ahead: float) -> float:
    """Of those who cancel before a renewal, the share that does so in the last days before it."""
    seen = rates.notice.get(period, ())
    total = sum(seen)
    even = min((ahead + 0.5) / period, 1.0)
    return (sum(seen[: int(ahead) + 1]) + 10 * even) / (total + 10)


def _share_of_joiners_lost(outlook: Outlook, rates: Rates, days: float) -> float:
    """Of those who join in the days to come, the share that has left again at their end."""
    everybody = sum(outlook.joining.values())
    if not everybody:
        return 0.0
    shares = _leaving_shares(rates)
    steps = 12
    lost = 0.0
    for period, people in outlook.joining.items():
        stay = (
            _stays_from_start(rates, shares, period, days * (step + 0.5) / steps)
            for step in range(steps)
        )
        lost += people * (1 - sum(stay) / steps)
    return lost / everybody


def _stays_from_start(
    rates: Rates, shares: Mapping[Renewal, _Leaving], period: int, days: float
) -> float:
    return _stays(rates, shares, (period, 1), float(period), days) if days > period else 1.0


@cache
def _draws() -> tuple[tuple[float, float, float], ...]:
    """Standard normal draws, the same each time: a page that is reloaded says the same."""
    random = Random(28)  # noqa: S311 - chance, not secrets
    return tuple((random.gauss(), random.gauss(), random.gauss()) for _ in range(_DRAWS))


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
