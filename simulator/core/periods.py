"""Billing periods: adding months without losing the anchor's day."""

import calendar
from datetime import UTC, datetime, timedelta
from typing import Literal

Interval = Literal["day", "week", "month", "year"]
DAYS = {"day": 1, "week": 7}
MONTHS = {"month": 1, "year": 12}


def next_end(anchor: int, start: int, interval: Interval, count: int) -> int:
    """The end of the period that begins at `start`, on the anchor's day of the month and time."""
    if interval in DAYS:
        return int((at(start) + timedelta(days=DAYS[interval] * count)).timestamp())
    begin, first = at(start), at(anchor)
    months = begin.year * 12 + begin.month - 1 + MONTHS[interval] * count
    year, month = divmod(months, 12)
    day = min(first.day, calendar.monthrange(year, month + 1)[1])
    return int(first.replace(year=year, month=month + 1, day=day).timestamp())


def at(moment: int) -> datetime:
    return datetime.fromtimestamp(moment, UTC)
