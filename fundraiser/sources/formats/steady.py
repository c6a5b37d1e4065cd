"""Steady's list of members: steadyhq.com → Members → Export."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from fundraiser.members.models import Interval
from fundraiser.sources.formats import File, Format, Row, give_name, has_columns, read_rows
from fundraiser.sources.readings import Reading, RowError, Says, Why, next_anniversary
from fundraiser.sources.values import read_interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.sources.readings import Context

_DAYS = ("subscribed at", "trial ends at", "cancelled at", "expires at")


def _read(file: File, context: Context) -> Iterator[Reading]:
    needed = ["email", "subscription state", "subscribed at", "expires at"]
    yield from read_rows(file.table(), context, _read_row, needed=needed, days=_DAYS)


def _read_row(row: Row, context: Context) -> Reading:
    reading = row.reading
    give_name(reading, f"{row.text('first name')} {row.text('last name')}")
    reading.set_email(row.text("email"))
    if not reading.address:
        raise RowError(Why.NO_ADDRESS)
    reading.key = reading.address
    interval = (read_interval(row.cell("subscription period")) or (Interval.MONTH, 1))[0]
    # The amount is a month's, also of who pays once a year.
    cents = (row.amount("plan monthly amount cents") or Decimal(0)) * (
        12 if interval is Interval.YEAR else 1
    )
    reading.interval = interval
    reading.set_amount(cents / 100, context.options.currency or "EUR")
    began, expires = row.day("subscribed at"), row.day("expires at")
    if began:
        reading.started_at = context.since(began)
    return _judge(row, reading, began, expires, context)


def _judge(
    row: Row,
    reading: Reading,
    began: date | datetime | None,
    expires: date | datetime | None,
    context: Context,
) -> Reading:
    state = row.text("subscription state").lower()
    match state:
        case "in_trial":
            return reading.is_not_paying(Why.TRIAL)
        case "guest":
            return reading.is_not_paying(Why.GUEST)
    if expires:
        reading.counts_until = context.until(expires)
    if row.is_yes("gifted"):
        return reading.ask(Why.GIFT)
    match state:
        case "active":
            if began is None:
                return reading.ask(Why.NO_END)
            day = began.date() if isinstance(began, datetime) else began
            listed = context.list_at.astimezone(context.zone).date()
            end = next_anniversary(day, reading.interval or Interval.MONTH, listed)
            reading.counts_until = context.end_of(end)
            return reading
        case "not_renewing" | "cancelled":
            if expires is None:
                # A trial that was cancelled was never paid for.
                return reading.is_not_paying(
                    Why.TRIAL if row.text("trial ends at") else Why.NOT_ACTIVE
                )
            reading.cancel_at = reading.counts_until
            return reading
    raise RowError(Why.UNKNOWN_STATUS, Says.ASK)


FORMAT = Format(
    "steady",
    "Steady",
    has_columns("email", "subscription state", "subscribed at", "plan name"),
    _read,
    aliases=("steadyhq",),
)
