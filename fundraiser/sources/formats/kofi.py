"""Ko-fi's transactions: Settings → Payments → Download."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from fundraiser.members.models import Interval
from fundraiser.sources.formats import File, Format, Row, give_name, has_columns, read_rows
from fundraiser.sources.readings import Reading, RowError, Why, add_interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.sources.readings import Context

_NEEDED = ("datetime (utc)", "received", "currency", "transactiontype")
_EMAILS = ("buyeremail", "email")  # the latter in older files


def _recognise(file: File) -> bool:
    return any(has_columns(*_NEEDED, one)(file) for one in _EMAILS)


def _read(file: File, context: Context) -> Iterator[Reading]:
    table = file.table()
    email = _EMAILS[0] if _EMAILS[0] in table.columns else _EMAILS[1]
    yield from read_rows(
        table,
        context,
        _read_row,
        needed=[*_NEEDED, email],
        days=["datetime (utc)"],
        amounts=["received", "given"],
    )


def _read_row(row: Row, context: Context) -> Reading:
    """Parse a payment, which proves a month; a payer's latest row is used."""
    reading = row.reading
    give_name(reading, row.text("from"))
    kind = row.text("transactiontype").lower()
    received = row.amount("received") or Decimal(0)
    if received <= 0:
        return reading.skip(Why.MONEY_OUT)
    if not any(word in kind for word in ("subscription", "membership", "monthly")):
        return reading.skip(Why.ONE_TIME)
    reading.set_email(row.text(*_EMAILS))
    if not reading.address:
        raise RowError(Why.NO_ADDRESS)
    reading.key = reading.address
    reading.set_amount(received, row.text("currency"))
    paid = row.day("datetime (utc)")
    if paid is None:
        raise RowError(Why.NO_DAY)
    reading.interval = Interval.MONTH
    reading.started_at = context.since(paid)
    reading.counts_until = context.until(add_interval(paid, Interval.MONTH))
    return reading


FORMAT = Format("kofi", "Ko-fi", _recognise, _read, aliases=("ko-fi",))
