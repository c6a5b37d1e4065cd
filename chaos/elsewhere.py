"""Who counts by Patreon's own state and by files: a second reading, which knows nothing of ours.

A patron counts while the latest charge is paid, until the next one and the grace period after it;
one who has left until what was paid for is over. A row of a file counts until its day and the grace
period, one that leaves until its day. Of several files the newest row of a key holds, unless its
file was undone. People whom staff merged are one.
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from chaos.oracle import Elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NOT_THROUGH = {"Declined", "Pending"}
_MONTH = timedelta(days=31)


def of_patrons(patrons: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Elsewhere]:
    """By what Patreon has: of each patron the user's number and the attributes."""
    return [found for user, one in patrons if (found := _of_patron(user, one))]


def _of_patron(user: str, one: Mapping[str, Any]) -> Elsewhere | None:
    status, charge = one.get("patron_status"), one.get("last_charge_status")
    amount = one.get("currently_entitled_amount_cents") or 0
    if not status or not amount or one.get("is_free_trial") or one.get("is_gifted"):
        return None
    paid_before = (one.get("campaign_lifetime_support_cents") or 0) > 0
    if charge != "Paid" and not (charge in _NOT_THROUGH and paid_before):
        return None
    leaves = status == "former_patron"
    written = one["last_charge_date"] if leaves else one["next_charge_date"]
    until = datetime.fromisoformat(written)
    if leaves:
        if charge != "Paid":
            return None
        until = _a_month_later(until)
    address = (one.get("email") or f"user {user}").casefold()
    return Elsewhere(address, "import", amount, until, leaves=leaves)


def _a_month_later(at: datetime) -> datetime:
    year, month = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)  # noqa: PLR2004 - months
    for day in (at.day, 30, 29, 28):
        try:
            return at.replace(year=year, month=month, day=min(day, at.day))
        except ValueError:
            continue
    return at + _MONTH


def of_files(files: Iterable[bytes]) -> list[Elsewhere]:
    """By files that were brought in and not undone, the oldest first."""
    rows: dict[str, Elsewhere] = {}
    for content in files:
        for row in csv.DictReader(io.StringIO(content.decode())):
            address = row["E-mail"].casefold()
            day = datetime.fromisoformat(row["Paid until"]).replace(tzinfo=UTC)
            leaves = bool(row["Leaves on"])
            rows[address] = Elsewhere(address, "import", 1, day + timedelta(days=1), leaves=leaves)
    return list(rows.values())


def people(
    memberships: Iterable[Elsewhere],
    merged: Mapping[str, str],
    at: int,
    grace_seconds: int,
) -> set[str]:
    """The addresses of those who count; of merged people that of who was kept."""
    return {
        merged.get(one.address, one.address) for one in memberships if one.counts(at, grace_seconds)
    }
