"""Forecast the number of members as a range; uses no database and no clock.

Joins continue at the mean of the last 28 days, with the errors that this would have had in each
week of the past year. Losses come from what we know of active members: who cancelled, who is
overdue, whose renewal is due, at the newsroom's own rates. 4,000 draws of both give the range and
the chance of reaching a goal. See docs/decisions/forecast.md.
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
    """How many members faced a renewal, and how many left: by choice, or with a failed payment."""

    faced: int = 0
    voluntary: int = 0
    involuntary: int = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates that the newsroom has measured so far.

    ``renewals``: outcomes of past renewals. ``notice``: by interval, how many cancelled this many
    days (the index) before they left. ``recoveries``: by days overdue (the index), how many were
    overdue for that long, and how many of them paid in the end. ``grace`` is in days.
    """

    grace: float
    renewals: Mapping[Renewal, Outcomes] = field(default_factory=dict)
    notice: Mapping[int, Sequence[int]] = field(default_factory=dict)
    recoveries: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known at the time of a forecast; each person is in one group only.

    ``joined``: joins by readers' own actions on each whole day, oldest first. The others are active
    members, by days from now: ``canceled`` who end then, ``ending`` whose gift or import ends,
    ``overdue`` whose grace period ends; ``due`` by renewal and days from now. ``joining`` is the
    number of recent joins by interval: the mix of people still to join.
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
    """How many people we expect to lose for each reason, and the variance of the total."""

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
    """The members in ``days``: P10 (``low``), P50 (``middle``) and P90 (``high``).

    ``chance`` is the probability of reaching the goal, 0 to 1. ``joins`` and ``losses`` are
    expected values. ``rush`` is the median if the last days bring as many joins as in other
    campaigns: a scenario, not part of the range.
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
    """How many joins a day, today included, reach the goal; None after the deadline."""
    days = whole_days(left)
    return -(-remaining // days) if days else None


def whole_days(left: timedelta) -> int:
    """The days left, including a day that has begun; 0 when none is left."""
    return max(math.ceil(left.total_seconds() / 86_400), 0)


def is_too_young(joined: Sequence[int], days: float) -> bool:
    """Whether there is too little history, or no joins, for a forecast this far ahead."""
    return len(joined) < PACE_DAYS or not any(joined) or days > _FURTHER * len(joined)


def forecast(
    outlook: Outlook, rates: Rates, days: float, *, goal: int | None = None
) -> Forecast | None:
    """The range of members in this many days; None without enough history or time left.

    The same facts give the same forecast: the draws are fixed.
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
    """Joins a day over the last 28 days; with half a join added, so that it is never zero."""
    return (sum(joined[-PACE_DAYS:]) + 0.5) / PACE_DAYS


def spread_of(joined: Sequence[int], days: float) -> float:
    """The standard deviation of the log of future joins, from past errors.

    For each week of the last year, we compare the pace then with what came. Errors of overlapping
    weeks count less; with few errors the result stays near the prior.
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
    """The losses that we expect within this many days, from known facts."""
    variance = 0.0

    def lost(people: float, share: float, worth: float = math.inf) -> float:
        """The expected losses, and their variance: the binomial's and that of the share itself."""
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
    """The share of members overdue for this many days who pay within the grace period."""
    pays, fails = _PAYS
    whole = max(int(overdue), 0)
    # Beforehand, the longer somebody is overdue, the less likely a payment becomes.
    left = max(1 - overdue / rates.grace, 0.0) if rates.grace else 0.0
    seen, paid = rates.recoveries[whole] if whole < len(rates.recoveries) else (0, 0)
    return (2 * pays * left / (1 + left) + paid) / (pays + fails + seen)


def _overdue_worth(rates: Rates) -> float:
    return sum(_PAYS) + (rates.recoveries[0][0] if rates.recoveries else 0)


def _belief_not(belief: tuple[float, float]) -> tuple[float, float]:
    """The prior share that leaves, and how many cases it is worth."""
    return belief[1] / sum(belief), sum(belief)


def _until(by_day: Mapping[int, int], days: float) -> int:
    return sum(people for ahead, people in by_day.items() if ahead < days)


@dataclass(frozen=True, slots=True)
class _Leaving:
    """The shares of members that leave at one renewal."""

    voluntary: float
    involuntary: float


def _leaving_shares(rates: Rates) -> Mapping[Renewal, _Leaving]:
    """The shares that leave at each renewal; small groups lean on their whole interval."""
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
    """Shares by renewal; an unknown renewal uses its interval's share, or the prior."""

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
    """The probability that an average member is still counted after this many days."""
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
    """The share of cancellations before a renewal that come in its last days."""
    seen = rates.notice.get(period, ())
    total = sum(seen)
    even = min((ahead + 0.5) / period, 1.0)
    return (sum(seen[: int(ahead) + 1]) + 10 * even) / (total + 10)


def _share_of_joiners_lost(outlook: Outlook, rates: Rates, days: float) -> float:
    """The share of people who join within these days and have left again by the end."""
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
    """Fixed standard normal draws, so that a reload shows the same forecast."""
    random = Random(28)  # noqa: S311 - chance, not secrets
    return tuple((random.gauss(), random.gauss(), random.gauss()) for _ in range(_DRAWS))


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
