"""The forecast: what is known is counted once, and the range is as wide as past errors were."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from fundraiser.campaigns.forecast import (
    MONTH,
    YEAR,
    Forecast,
    Outcomes,
    Outlook,
    Rates,
    expected_losses,
    forecast,
    needed_a_day,
    paying_share,
    spread_of,
    whole_days,
)

TEN_DAYS = timedelta(days=10)
STEADY = [10] * 420
NOTHING_KNOWN = Outlook(1000, STEADY)
BELIEVED = Rates(14)


def found(outlook: Outlook, days: float = 10, **values: int) -> Forecast:
    one = forecast(outlook, BELIEVED, days, **values)
    assert one
    return one


def test_the_middle_is_the_joins_of_four_weeks_carried_on() -> None:
    one = found(NOTHING_KNOWN)
    assert one.joins == pytest.approx(100, abs=1)
    assert one.middle == pytest.approx(1100, abs=5)
    assert one.low < one.middle < one.high


def test_a_newsroom_that_was_often_wrong_is_told_a_wider_range() -> None:
    restless = [2 if week % 2 else 18 for week in range(60) for _ in range(7)]
    even, wide = found(NOTHING_KNOWN), found(Outlook(1000, restless))
    assert wide.high - wide.low > 1.5 * (even.high - even.low)
    assert spread_of(restless, 7) > spread_of(STEADY, 7)


def test_further_ahead_is_less_certain() -> None:
    assert spread_of([10] * 40, 28) > spread_of([10] * 40, 7)
    near, far = found(NOTHING_KNOWN, 7), found(NOTHING_KNOWN, 28)
    assert far.high - far.low > near.high - near.low


def test_the_same_facts_give_the_same_forecast() -> None:
    assert found(NOTHING_KNOWN) == found(NOTHING_KNOWN)


def test_the_chance_of_the_goal_goes_from_nothing_to_certain() -> None:
    chances = [found(NOTHING_KNOWN, goal=goal).chance for goal in (1000, 1100, 1110, 9000)]
    assert chances[0] == 1
    assert chances[1] == pytest.approx(0.5, abs=0.1)
    assert chances[1] > chances[2] > chances[3] == 0


def test_cancellations_gifts_and_the_overdue_are_lost_when_their_day_comes() -> None:
    outlook = replace(
        NOTHING_KNOWN,
        canceled={2: 100, 11: 100},
        ending={3: 10, 10: 10},
        overdue={4: 40, 12: 40},
    )
    losses = expected_losses(outlook, BELIEVED, 10)
    assert losses.canceled == pytest.approx(95)
    assert losses.ending == pytest.approx(9)
    assert 20 < losses.overdue < 40  # ten days overdue: less than half of them pay
    assert losses.total == losses.canceled + losses.ending + losses.overdue
    assert found(outlook).middle < found(NOTHING_KNOWN).middle - 100


def test_the_recovery_of_the_overdue_is_the_newsrooms_own() -> None:
    recoveries = [(1000, 800)] * 8 + [(500, 50)] * 7
    measured = Rates(14, recoveries=recoveries)
    assert paying_share(measured, 2) == pytest.approx(0.8, abs=0.01)
    assert paying_share(measured, 9) == pytest.approx(0.1, abs=0.01)
    assert paying_share(BELIEVED, 0) == pytest.approx(0.5)
    assert paying_share(BELIEVED, 14) == 0


def test_renewals_that_come_cost_what_they_cost_before() -> None:
    """Half of all left at their first yearly renewal, all by choice and with a month's notice."""
    rates = Rates(14, {(YEAR, 1): Outcomes(2000, 1000, 0)}, {YEAR: [0] * 30 + [1000]})
    due = replace(NOTHING_KNOWN, due={(YEAR, 1): {5: 100, 25: 100, 200: 1000}})
    # Nobody of these has cancelled, and whoever does so does it a month before.
    assert expected_losses(due, rates, 10).renewals < 3
    assert expected_losses(due, rates, 202).renewals == pytest.approx(502, abs=25)


def test_a_payment_that_fails_costs_nobody_before_the_grace_period_is_over() -> None:
    rates = Rates(14, {(MONTH, 3): Outcomes(5000, 0, 500)})
    due = replace(NOTHING_KNOWN, due={(MONTH, 3): {5: 1000}})
    before, after = (expected_losses(due, rates, days).renewals for days in (15, 25))
    assert after - before == pytest.approx(100, abs=10)


def test_those_still_to_join_may_leave_again_too() -> None:
    rates = Rates(14, {(MONTH, number): Outcomes(5000, 1000, 0) for number in range(1, 13)})
    one = forecast(replace(NOTHING_KNOWN, joining={MONTH: 10}), rates, 200)
    without = forecast(NOTHING_KNOWN, rates, 200)
    assert one
    assert without
    assert one.middle < without.middle - 500
    assert forecast(replace(NOTHING_KNOWN, joining={MONTH: 10}), rates, 28) == forecast(
        NOTHING_KNOWN, rates, 28
    )


def test_a_rush_at_the_end_is_a_scenario_of_which_the_range_knows_nothing() -> None:
    one = found(NOTHING_KNOWN, 30)
    assert one.rush[0] - one.middle == pytest.approx(10 * 8 * 1.4, abs=3)
    assert one.rush[1] - one.middle == pytest.approx(10 * 8 * 2.9, abs=3)
    assert found(NOTHING_KNOWN, 2).rush[0] - found(NOTHING_KNOWN, 2).middle < 30


def test_a_shrinking_newsroom_is_told_so_and_never_less_than_nobody() -> None:
    gone = Outlook(50, [*([1] * 300), *([0] * 100)], canceled={1: 50})
    one = found(gone)
    assert 0 <= one.low <= one.middle < 10


@pytest.mark.parametrize(
    ("joined", "days"),
    [([], 7), ([10] * 27, 7), ([0] * 400, 7), ([10] * 30, 61)],
)
def test_where_too_little_is_behind_it_is_too_young_to_say(joined: list[int], days: int) -> None:
    assert forecast(Outlook(1000, joined), BELIEVED, days) is None
    assert forecast(Outlook(1000, [10] * 31), BELIEVED, days)


@pytest.mark.parametrize("left", [timedelta(0), timedelta(seconds=-1), timedelta(days=-400)])
def test_after_the_deadline_there_is_neither_forecast_nor_need(left: timedelta) -> None:
    assert forecast(NOTHING_KNOWN, BELIEVED, left / timedelta(days=1)) is None
    assert needed_a_day(500, left) is None
    assert whole_days(left) == 0


def test_nothing_is_needed_once_the_goal_is_reached() -> None:
    assert needed_a_day(0, TEN_DAYS) == 0


@pytest.mark.parametrize(
    ("remaining", "left", "a_day"),
    [
        (100, timedelta(days=10), 10),
        (101, timedelta(days=10), 11),  # rounded up: ten a day would not do
        (100, timedelta(days=9, hours=1), 10),  # the day that has begun is one more
        (7, timedelta(minutes=1), 7),
    ],
)
def test_what_is_needed_a_day_is_enough(remaining: int, left: timedelta, a_day: int) -> None:
    assert needed_a_day(remaining, left) == a_day
