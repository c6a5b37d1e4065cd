"""Members in Patreon's API v2 (docs.patreon.com, "Member").

It has no end of a cancelled membership: we use the end of the latest charge's period.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from fundraiser.members.models import Interval
from fundraiser.money import decimals
from fundraiser.sources.formats import give_name
from fundraiser.sources.formats.patron import STATUSES, Patron, end_of_charge, judge
from fundraiser.sources.readings import Reading, RowError, Says, Why

if TYPE_CHECKING:
    from fundraiser.sources.readings import Context

_LONGEST = 40
_YEARS = range(1900, 2300)
_MONTHS_OF_A_YEAR = 12


def read_member(row: int, member: dict[str, Any], context: Context) -> Reading:
    """Parse one member of Patreon's API."""
    found = member.get("attributes")
    attributes: dict[str, Any] = found if isinstance(found, dict) else {}
    reading = Reading(
        row,
        cells=[
            member.get("id"),
            *(attributes.get(name) for name in ("email", "full_name", "patron_status")),
            *(attributes.get(name) for name in ("last_charge_status", "next_charge_date")),
        ],
    )
    try:
        _read(member, attributes, reading, context)
    except RowError as error:
        reading.says, reading.why = error.says, error.why
    return reading


def _read(
    member: dict[str, Any], attributes: dict[str, Any], reading: Reading, context: Context
) -> None:
    give_name(reading, _word(attributes.get("full_name")))
    reading.set_email(_word(attributes.get("email")))
    reading.key = key_of(member)
    if not reading.key:
        raise RowError(Why.NO_ADDRESS)
    if not reading.email:
        reading.looks.append(Why.NO_ADDRESS_KNOWN)
    if "patron_status" not in attributes:
        # Only what is asked for comes: an answer without it says nothing of paying.
        raise RowError(Why.UNKNOWN_STATUS, Says.ASK)
    reading.interval, reading.interval_count = _rhythm(attributes.get("pledge_cadence"))
    _read_amount(attributes, reading, context)
    if began := _time(attributes.get("pledge_relationship_start")):
        reading.started_at = context.since(began)
    patron = _patron(attributes)
    if patron.status not in STATUSES:
        raise RowError(Why.UNKNOWN_STATUS, Says.ASK)
    if patron.status == "former patron" or patron.due is None:
        patron = _with_end(patron, reading)
    judge(patron, reading, context)


def _patron(attributes: dict[str, Any]) -> Patron:
    lifetime = attributes.get("campaign_lifetime_support_cents")
    if lifetime is None:
        lifetime = attributes.get("lifetime_support_cents")
    return Patron(
        status=_word(attributes.get("patron_status")).lower().replace("_", " "),
        charge=_word(attributes.get("last_charge_status")).lower(),
        lifetime=Decimal(_cents(lifetime)),
        is_free=False,
        is_trial=attributes.get("is_free_trial") is True,
        is_gifted=attributes.get("is_gifted") is True,
        expires=None,
        due=_time(attributes.get("next_charge_date")),
        charged=_time(attributes.get("last_charge_date")),
    )


def _with_end(patron: Patron, reading: Reading) -> Patron:
    """Set the end of a membership that has ended or won't be charged again."""
    is_former = patron.status == "former patron"
    end = None
    if reading.interval is not None and not (is_former and reading.amount == 0):
        end = end_of_charge(patron, reading.interval, reading.interval_count)
    return replace(patron, expires=end, due=None)


def key_of(member: dict[str, Any]) -> str | None:
    """The user's number, as in the CSV; a member without one gets another key."""
    found: Any = member
    for step in ("relationships", "user", "data", "id"):
        found = found.get(step) if isinstance(found, dict) else None
    if isinstance(found, str | int) and not isinstance(found, bool) and str(found).strip():
        return str(found).strip()[:64]
    own = _word(member.get("id"))[:64]
    return f"member {own}" if own else None


def _read_amount(attributes: dict[str, Any], reading: Reading, context: Context) -> None:
    """The current amount: a year's for a yearly pledge. Cents are the smallest unit."""
    cents = _cents(attributes.get("currently_entitled_amount_cents"))
    code = context.options.currency or context.currency
    reading.set_amount(Decimal(cents).scaleb(-decimals(code)), code)


def _rhythm(cadence: object) -> tuple[Interval, int]:
    """The months between two charges, which Patreon sometimes writes as text."""
    written = str(cadence) if isinstance(cadence, str | int) else ""
    months = int(written) if written.isascii() and written.isdigit() and len(written) <= 3 else 1  # noqa: PLR2004 - digits
    if months and months % _MONTHS_OF_A_YEAR == 0:
        return Interval.YEAR, months // _MONTHS_OF_A_YEAR
    return Interval.MONTH, max(months, 1)


def _cents(value: object) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise RowError(Why.BAD_AMOUNT)
    return value


def _word(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _time(written: object) -> datetime | None:
    if written is None or written == "":
        return None
    if not isinstance(written, str) or len(written) > _LONGEST:
        raise RowError(Why.NO_SUCH_DAY)
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        raise RowError(Why.NO_SUCH_DAY) from None
    if found.year not in _YEARS:
        raise RowError(Why.NO_SUCH_DAY)
    return found
