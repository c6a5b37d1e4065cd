"""Patreon's member list: Relationship manager → Members → Export to CSV; or its API's answers.

The CSV's columns change over the years (30 today, 27 in 2023), so we find each by name. Older
lists don't say when the next charge is due, the oldest not even when the latest was.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from fundraiser.members.models import Interval
from fundraiser.sources.formats import File, Format, Row, give_name, has_columns, read_rows
from fundraiser.sources.formats.documents import is_document, members_of
from fundraiser.sources.formats.patreon_api import read_member
from fundraiser.sources.formats.patron import (
    OLD_STATUSES,
    STATUSES,
    Patron,
    end_of_charge,
    judge,
)
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
_NAMED = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")


def _read(file: File, context: Context) -> Iterator[Reading]:
    if is_document(file):
        for row, member in enumerate(members_of(file, "data"), 1):
            yield read_member(row, member, context)
        return
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
    status, charge = _read_status(row)
    patron = Patron(
        status=status,
        charge=charge,
        lifetime=lifetime,
        is_free=row.is_yes("free member"),
        is_trial=row.is_yes("free trial"),
        is_gifted=False,
        expires=row.day("access expiration"),
        due=row.day("next charge date"),
        charged=row.day("last charge date"),
    )
    if "next charge date" not in row.columns and patron.status == "active patron":
        patron = replace(patron, due=end_of_charge(patron, *rhythm))
    return judge(patron, reading, context)


def _read_status(row: Row) -> tuple[str, str]:
    """The patron's status and that of the latest charge; the oldest lists have one for both."""
    status = row.text("patron status", "status").lower()
    if "last charge status" in row.columns and status in STATUSES:
        return status, row.text("last charge status").lower()
    if "last charge status" not in row.columns and status in OLD_STATUSES:
        return OLD_STATUSES[status]
    raise RowError(Why.UNKNOWN_STATUS, Says.ASK)


def _list_at(file: File) -> str | None:
    """The latest "Last Updated", or the date in the file's name."""
    if is_document(file):
        return None
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
            "Patreon doesn’t say whether the amount of a yearly pledge is for a year "
            "or a month. We read it as a year’s: change that if yours are a month’s."
        )
    ]


def _is_ours(file: File) -> bool:
    if is_document(file):
        return is_document(file, b'"patron_status"')
    return has_columns("email", "patron status")(file) or has_columns(
        "firstname", "lastname", "email", "pledge", "lifetime", "status"
    )(file)


FORMAT = Format(
    "patreon",
    "Patreon",
    _is_ours,
    _read,
    list_at=_list_at,
    notes=_notes,
    aliases=("patreon-csv", "patreon-api"),
    may_lack_dates=True,
)
