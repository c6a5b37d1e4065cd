"""The forecast: cases computed by hand, and the edges where there is nothing to compute."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fundraiser.campaigns.forecast import Pace, forecast, needed_a_day, whole_days, without

WEEK = Pace(7, 7.0, joined=70, stopped=14)  # 10 and 2 a day
MONTH = Pace(28, 28.0, joined=560, stopped=84)  # 20 and 3 a day
TEN_DAYS = timedelta(days=10)


def test_the_range_goes_from_the_one_pace_to_the_other() -> None:
    """1000 + 10 · 10 - 2 · 10 = 1080; 1000 + 20 · 10 - 3 · 10 = 1170."""
    found = forecast(1000, TEN_DAYS, [WEEK, MONTH], leaving=0)
    assert found
    assert (found.low, found.high, found.days) == (1080, 1170, 10.0)
    assert found.paces == (WEEK, MONTH)


def test_the_order_of_the_paces_does_not_matter() -> None:
    assert forecast(1000, TEN_DAYS, [MONTH, WEEK], leaving=5) is not None
    one, other = (forecast(1000, TEN_DAYS, p, leaving=5) for p in ([WEEK, MONTH], [MONTH, WEEK]))
    assert one
    assert other
    assert (one.low, one.high) == (other.low, other.high)


def test_losses_that_are_known_are_taken_off_where_the_pace_foresees_fewer() -> None:
    """25 known: more than the week's 2 · 10 = 20, fewer than the month's 3 · 10 = 30."""
    found = forecast(1000, TEN_DAYS, [WEEK, MONTH], leaving=25)
    assert found
    assert (found.low, found.high) == (1000 + 100 - 25, 1000 + 200 - 30)


def test_expiring_cards_are_lost_at_the_low_end_and_replaced_at_the_high_one() -> None:
    found = forecast(1000, TEN_DAYS, [WEEK, MONTH], leaving=25, cards=20)
    assert found
    assert (found.low, found.high) == (1000 + 100 - 45, 1000 + 200 - 30)


def test_nobody_is_taken_off_twice() -> None:
    """Whom the pace of stopping foresees anyway is not taken off once more."""
    foreseen, known = (forecast(1000, TEN_DAYS, [MONTH], leaving=n) for n in (0, 30))
    assert foreseen
    assert known
    assert foreseen.low == known.low == 1170


def test_a_shrinking_newsroom_is_told_so_and_never_less_than_nobody() -> None:
    shrinking = Pace(7, 7.0, joined=0, stopped=70)
    found = forecast(50, TEN_DAYS, [shrinking], leaving=0)
    assert found
    assert (found.low, found.high) == (0, 0)
    found = forecast(500, TEN_DAYS, [shrinking], leaving=0)
    assert found
    assert found.low == 400


def test_part_of_a_day_counts_as_a_part() -> None:
    found = forecast(1000, timedelta(hours=12), [MONTH], leaving=0)
    assert found
    assert (found.low, found.high, found.days) == (1008, 1008, 0.5)  # 8.5 to the even 8


def test_a_goal_that_is_reached_is_forecast_beyond() -> None:
    assert needed_a_day(0, TEN_DAYS) == 0
    found = forecast(25_412, TEN_DAYS, [WEEK], leaving=0)
    assert found
    assert found.low == 25_492


@pytest.mark.parametrize("left", [timedelta(0), timedelta(seconds=-1), timedelta(days=-400)])
def test_after_the_deadline_there_is_neither_forecast_nor_need(left: timedelta) -> None:
    assert forecast(1000, left, [WEEK, MONTH], leaving=0) is None
    assert needed_a_day(500, left) is None
    assert whole_days(left) == 0


def test_without_a_day_of_history_nothing_is_forecast() -> None:
    assert forecast(1000, TEN_DAYS, [], leaving=0) is None
    assert forecast(3, TEN_DAYS, [Pace(7, 0.0, 3, 0), Pace(28, 0.9, 3, 0)], leaving=0) is None


def test_a_young_newsroom_is_forecast_from_the_days_it_has() -> None:
    """Three days, 30 joined: 10 a day by both windows, and so one number."""
    found = forecast(30, TEN_DAYS, [Pace(7, 3.0, 30, 0), Pace(28, 3.0, 30, 0)], leaving=0)
    assert found
    assert (found.low, found.high) == (130, 130)


def test_an_import_is_no_pace() -> None:
    pace = without(Pace(28, 28.0, joined=10_280, stopped=28), joined=10_000, stopped=0)
    assert (pace.joined_a_day, pace.stopped_a_day, pace.net_a_day) == (10.0, 1.0, 9.0)
    assert without(WEEK, joined=1000, stopped=1000) == Pace(7, 7.0, 0, 0)


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
