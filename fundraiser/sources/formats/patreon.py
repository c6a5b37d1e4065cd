"""Patreon's member list: Relationship manager → Members → Export to CSV.

Its columns have changed over the years (30 today, 27 in 2023), so each is found by its name.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from fundraiser.members.models import Interval
from fundraiser.sources.formats import File, Format, Row, give_name, has_columns, read_rows
from fundraiser.sources.readings import Reading, RowError, Says, Why
from fundraiser.sources.values import read_interval
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.sources.readings import Context

_DAYS = (
    *("patronage since date", "last charge date", "access expiration", "next charge date"),
    *("last updated", "start"),
)
_AMOUNTS = ("pledge amount", "pledge $", "pledge", "lifetime amount", "lifetime $", "lifetime")
_PAID = {"paid", "refund declined"}
_NOT_THROUGH = {"declined": Why.NEVER_PAID, "pending": Why.PENDING}
_NO = {
    "free trial": Why.TRIAL,
    "refunded": Why.REFUNDED,
    "refunded by patreon": Why.REFUNDED,
    "fraud": Why.FRAUD,
    "deleted": Why.NOT_ACTIVE,
}
_ASK = {
    "partially refunded": Why.PARTLY_REFUNDED,
    "refund pending": Why.PARTLY_REFUNDED,
    "other": Why.UNKNOWN_CHARGE,
}
_STATUSES = {"active patron", "declined patron", "former patron", ""}
_NAMED = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")


def _read(file: File, context: Context) -> Iterator[Reading]:
    needed = ["email", "patron status"] if _is_new(file) else ["email", "status"]
    yield from read_rows(
        file.table(), context, _read_row, needed=needed, days=_DAYS, amounts=_AMOUNTS
    )


def _is_new(file: File) -> bool:
    return "patron status" in file.table().columns


def _read_row(row: Row, context: Context) -> Reading:
    reading = row.reading
    give_name(reading, row.text("name") or f"{row.text('firstname')} {row.text('lastname')}")
    reading.set_email(row.text("email"))
    user = row.text("user id")[:64]
    reading.key = user or reading.address
    if not reading.key:
        raise RowError(Why.NO_ADDRESS)
    if not reading.email:
        reading.looks.append(Why.NO_ADDRESS_KNOWN)
    pledge = row.amount("pledge amount", "pledge $", "pledge") or Decimal(0)
    lifetime = row.amount("lifetime amount", "lifetime $", "lifetime") or Decimal(0)
    rhythm = read_interval(row.cell("charge frequency")) or (Interval.MONTH, 1)
    reading.interval, reading.interval_count = rhythm
    if reading.interval is Interval.YEAR and context.options.annual == "month":
        pledge *= 12
    reading.set_amount(pledge, row.text("currency") or context.options.currency or "USD")
    if began := row.day("patronage since date", "start"):
        reading.started_at = context.since(began)
    if row.text("patron status", "status").lower() not in _STATUSES:
        raise RowError(Why.UNKNOWN_STATUS, Says.ASK)
    return _judge(row, reading, lifetime, context)


def _judge(row: Row, reading: Reading, lifetime: Decimal, context: Context) -> Reading:
    status = row.text("patron status", "status").lower()
    charge = row.text("last charge status").lower()
    if free := _why_free(row, reading, status, lifetime):
        return reading.is_not_paying(free)
    _read_ends(row, reading, status, context)
    if charge in _NO:
        if charge.startswith(("refunded", "fraud")):
            reading.refunded_at = _last_charge(row, context)
        return reading.is_not_paying(_NO[charge])
    if charge in _ASK:
        return reading.ask(_ASK[charge])
    if charge in _NOT_THROUGH and lifetime <= 0:
        return reading.is_not_paying(_NOT_THROUGH[charge])
    if status == "former patron" and reading.counts_until is None:
        return reading.is_not_paying(Why.NOT_ACTIVE)
    if charge not in _PAID and charge not in _NOT_THROUGH:
        return reading.ask(Why.UNKNOWN_CHARGE)
    if reading.counts_until is None:
        return reading.ask(Why.NO_END)
    if charge in _PAID and not reading.cancel_at and reading.counts_until <= context.list_at:
        # Paid, and due since, and nobody tried to charge it: the creator may have paused.
        reading.looks.append(Why.NOT_CHARGED)
    return reading


def _why_free(row: Row, reading: Reading, status: str, lifetime: Decimal) -> Why | None:
    """Why nothing is paid, whatever the status says: the flags and the amount decide."""
    if row.is_yes("free member") or not status:
        return Why.FREE
    if row.is_yes("free trial"):
        return Why.TRIAL
    if reading.amount == 0:
        return Why.GIFTED if lifetime == 0 else Why.FREE
    return None


def _read_ends(row: Row, reading: Reading, status: str, context: Context) -> None:
    """An access that expires was cancelled: it ends then, without a grace."""
    expires, due = row.day("access expiration"), row.day("next charge date")
    if end := expires or due:
        reading.counts_until = context.until(end)
        if expires or status == "former patron":
            reading.cancel_at = reading.counts_until


def _last_charge(row: Row, context: Context) -> datetime:
    charged = row.day("last charge date")
    return context.since(charged) if charged else context.list_at


def _list_at(file: File) -> str | None:
    """The newest "Last Updated", else the day in the file's own name."""
    table = file.table()
    place = table.columns.get("last updated")
    newest = ""
    if place is not None:
        for line in table.lines():
            cell = line.cells[place] if place < len(line.cells) else None
            written = cell.isoformat() if isinstance(cell, datetime) else str(cell or "").strip()
            if len(written) <= len("2026-11-29 09:15:02.000000"):
                newest = max(newest, written)
    if newest:
        return newest
    named = _NAMED.search(file.name[:80])
    return "-".join(named.groups()) if named else None


def _notes() -> list[str]:
    return [
        _(
            "Patreon doesn’t say whether a yearly pledge is a year’s amount or a month’s. We read "
            "it as a year’s: choose otherwise if yours are a month’s."
        )
    ]


def _is_ours(file: File) -> bool:
    return has_columns("email", "patron status")(file) or has_columns(
        "firstname", "lastname", "email", "pledge", "lifetime", "status"
    )(file)


FORMAT = Format(
    "patreon", "Patreon", _is_ours, _read, list_at=_list_at, notes=_notes, aliases=("patreon-csv",)
)
