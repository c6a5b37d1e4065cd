"""Donorbox's list of donations; those of a recurring plan are memberships."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from fundraiser.members.models import Interval
from fundraiser.sources.formats import File, Format, Row, give_name, has_columns, read_rows
from fundraiser.sources.readings import Reading, RowError, Why, add_interval
from fundraiser.sources.values import read_interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.sources.readings import Context

_NEEDED = ["donor email", "amount", "currency", "donated at", "recurring plan id"]


def _read(file: File, context: Context) -> Iterator[Reading]:
    yield from read_rows(
        file.table(),
        context,
        _read_row,
        needed=_NEEDED,
        days=["donated at"],
        amounts=["amount"],
    )


def _read_row(row: Row, context: Context) -> Reading:
    """Parse a payment, which proves its interval; a plan's latest row is used."""
    reading = row.reading
    give_name(
        reading,
        row.text("name", "donor name")
        or f"{row.text('donor first name')} {row.text('donor last name')}",
    )
    amount = row.amount("amount") or Decimal(0)
    plan = row.text("recurring plan id")[:64]
    if amount <= 0:
        return reading.skip(Why.MONEY_OUT)
    if not plan:
        return reading.skip(Why.ONE_TIME)
    reading.key = plan
    reading.set_email(row.text("donor email"))
    reading.set_amount(amount, row.text("currency"))
    paid = row.day("donated at")
    if paid is None:
        raise RowError(Why.NO_DAY)
    reading.started_at = context.since(paid)
    status = row.text("status", "donation status").lower()
    rhythm = read_interval(row.cell("donation type", "recurring plan interval", "frequency"))
    interval, count = rhythm or (Interval.MONTH, 1)
    reading.interval, reading.interval_count = interval, count
    reading.counts_until = context.until(add_interval(paid, interval, count))
    if "refund" in status:
        reading.refunded_at = context.since(paid)
        return reading.is_not_paying(Why.REFUNDED)
    if status in {"pending", "failed", "canceled", "cancelled"}:
        return reading.is_not_paying(Why.PENDING)
    return reading


FORMAT = Format("donorbox", "Donorbox", has_columns(*_NEEDED), _read)
