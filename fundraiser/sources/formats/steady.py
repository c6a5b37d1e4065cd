"""Steady's list of members: steadyhq.com → Members → Export."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from fundraiser.members.models import Interval
from fundraiser.sources.formats import File, Format, Row, give_name, read_rows
from fundraiser.sources.readings import (
    FileRefusedError,
    Reading,
    RowError,
    Says,
    Why,
    next_anniversary,
)
from fundraiser.sources.values import read_interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fundraiser.sources.readings import Context

# Steady's name of a column, and other ones, as of a list that was translated.
_COLUMNS = {
    "first name": ("vorname",),
    "last name": ("nachname",),
    "email": ("e-mail", "e-mail-adresse"),
    "plan name": ("paketname", "paket", "name des pakets", "mitgliedschaftspaket"),
    "plan monthly amount cents": (
        *("monatlicher paketpreis in cent", "monatlicher betrag in cent", "monatsbetrag in cent"),
        "paketpreis pro monat in cent",
    ),
    "gifted": ("geschenk", "geschenkt", "verschenkt", "geschenkmitgliedschaft"),
    "subscription period": ("zahlungsweise", "laufzeit", "abrechnungszeitraum", "zahlungsrhythmus"),
    "subscription state": ("status", "mitgliedsstatus", "status der mitgliedschaft", "abo-status"),
    "subscribed at": ("mitglied seit", "abonniert am", "beginn", "beigetreten am"),
    "trial ends at": ("testphase endet am", "ende der testphase", "probezeit endet am"),
    "cancelled at": ("gekündigt am", "kündigungsdatum"),
    "expires at": ("läuft ab am", "endet am", "ablaufdatum", "läuft aus am", "gültig bis"),
}
_NEEDED = ("email", "subscription state", "subscribed at", "expires at")
_DAYS = ("subscribed at", "trial ends at", "cancelled at", "expires at")
_STATES = {
    "aktiv": "active",
    **dict.fromkeys(("testphase", "in testphase", "probezeit"), "in_trial"),
    "gast": "guest",
    **dict.fromkeys(("gekündigt", "beendet"), "cancelled"),
    **dict.fromkeys(("läuft aus", "nicht verlängernd", "wird nicht verlängert"), "not_renewing"),
    "not renewing": "not_renewing",
    "in trial": "in_trial",
}


def _names(columns: Mapping[str, int]) -> dict[str, str]:
    """Steady's columns and what they are called in this file."""
    found = {}
    for ours, others in _COLUMNS.items():
        theirs = next((one for one in (ours, *others) if one in columns), None)
        if theirs:
            found[ours] = theirs
    return found


def _recognise(file: File) -> bool:
    try:
        return {*_NEEDED, "plan name"} <= set(_names(file.table().columns))
    except FileRefusedError:
        return False


def _read(file: File, context: Context) -> Iterator[Reading]:
    names = _names(file.table().columns)

    def read_row(row: Row, context: Context) -> Reading:
        # Under Steady's own names from here on.
        row.columns = {**row.columns, **{ours: row.columns[name] for ours, name in names.items()}}
        return _read_row(row, context)

    yield from read_rows(
        file.table(),
        context,
        read_row,
        needed=[names.get(one, one) for one in _NEEDED],
        days=[names[one] for one in _DAYS if one in names],
    )


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
    state = _STATES.get(state, state)
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
    _recognise,
    _read,
    aliases=("steadyhq",),
)
