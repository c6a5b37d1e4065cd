"""Substack's e-mail list of all readers, and its shorter list of payers.

Both identify people only by address, so the second corrects the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.members.models import Interval
from fundraiser.sources.formats import File, Format, Row, has_columns, read_rows
from fundraiser.sources.readings import TOO_FAR, Reading, RowError, Why
from fundraiser.sources.values import read_interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.sources.readings import Context

_FORGOTTEN = "@deletion-request.substack.com"
# The files have no amounts: the smallest unit says only that it isn't nothing.
_SOMETHING = 1


def _recognise(file: File) -> bool:
    return has_columns("email", "active subscription", "expiry")(file) or has_columns(
        "email", "expiry", "type"
    )(file)


def _read(file: File, context: Context) -> Iterator[Reading]:
    table = file.table()
    is_list = "active subscription" in table.columns
    needed = ["email", "expiry", "active subscription" if is_list else "type"]
    days = ["expiry", "first payment at", "created at"]
    read_row = _read_reader if is_list else _read_payer
    yield from read_rows(table, context, read_row, needed=needed, days=days)


def _begin(row: Row, context: Context) -> Reading:
    reading = row.reading
    written = row.text("email")
    if written.lower().endswith(_FORGOTTEN):
        reading.cells = []  # they asked to be forgotten
        return reading.skip(Why.DELETED)
    reading.set_email(written)
    if not reading.address:
        raise RowError(Why.NO_ADDRESS)
    reading.key = reading.address
    reading.amount, reading.currency = _SOMETHING, context.options.currency or context.currency
    if expiry := row.day("expiry"):
        reading.counts_until = context.until(expiry)
    return reading


def _is_given(reading: Reading, context: Context) -> bool:
    return reading.counts_until is not None and reading.counts_until > context.at + TOO_FAR


def _read_reader(row: Row, context: Context) -> Reading:
    reading = _begin(row, context)
    if reading.key is None:
        return reading
    first = row.day("first payment at")
    reading.interval = (read_interval(row.cell("plan", "stripe plan")) or (Interval.MONTH, 1))[0]
    if first:
        reading.started_at = context.since(first)
    if not row.is_yes("active subscription"):
        if not (first and reading.counts_until):
            return reading.is_not_paying(Why.FREE)
        # Substack has given up, or the reader has: no grace.
        reading.cancel_at = reading.counts_until
        return reading.is_not_paying(Why.NOT_ACTIVE)
    if _is_given(reading, context):
        return reading.is_not_paying(Why.COMPLIMENTARY)
    if reading.counts_until is None:
        return reading.ask(Why.NO_END)
    if first is None and "first payment at" in row.columns:
        return reading.ask(Why.GIFT)
    return reading


def _read_payer(row: Row, context: Context) -> Reading:
    reading = _begin(row, context)
    if reading.key is None:
        return reading
    kind = row.text("type").lower()
    if kind in {"comp", "free"} or _is_given(reading, context):
        return reading.is_not_paying(Why.COMPLIMENTARY if kind != "free" else Why.FREE)
    if kind == "gift":
        return reading.ask(Why.GIFT)
    if kind not in {"paid", "ios_app", "app", "android_app"}:
        return reading.ask(Why.UNKNOWN_STATUS)
    if reading.counts_until is None:
        return reading.ask(Why.NO_END)
    if kind == "paid" and not row.text("stripe connected customer id"):
        reading.looks.append(Why.SEAT)
    return reading


FORMAT = Format("substack", "Substack", _recognise, _read, aliases=("substack-csv",))
