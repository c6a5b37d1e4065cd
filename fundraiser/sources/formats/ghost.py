"""Ghost's Admin API response (members.json); its CSV export proves nothing.

The CSV has no status, amount or end, and keeps a Stripe customer after people leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fundraiser.members.models import Interval
from fundraiser.sources.formats import File, Format, Row, give_name, has_columns, read_rows
from fundraiser.sources.formats.documents import is_document, members_of
from fundraiser.sources.readings import Reading, RowError, Says, Why
from fundraiser.sources.values import in_years
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.sources.readings import Context

_GUARDED = ("'=", "'+", "'-", "'@")
_INTERVALS = {"month": Interval.MONTH, "year": Interval.YEAR, "week": Interval.WEEK}
_LONGEST_DATE = 40
_LARGEST = 10**12  # in the currency's smallest unit


@dataclass(frozen=True, slots=True)
class _Paid:
    until: datetime
    started_at: datetime | None
    amount: int
    currency: str
    interval: Interval | None
    leaves: bool
    card: object


def _recognise(file: File) -> bool:
    if is_document(file):
        return is_document(file, b'"subscriptions"')
    return has_columns("id", "email", "complimentary plan", "stripe customer id")(file)


def _read(file: File, context: Context) -> Iterator[Reading]:
    if is_document(file):
        for row, member in enumerate(members_of(file, "members"), 1):
            yield read_member(row, member, context)
    else:
        table = file.table()
        yield from read_rows(table, context, _read_row, needed=["id", "email"])


def _read_row(row: Row, _context: Context) -> Reading:
    reading = row.reading
    name = row.text("name")
    # Ghost guards its cells against spreadsheets; what it put in front is no part of the name.
    give_name(reading, name[1:] if name.startswith(_GUARDED) else name)
    reading.set_email(row.text("email"))
    reading.key = row.text("id")[:64] or reading.address
    return reading.is_not_paying(Why.NO_PROOF)


def read_member(row: int, member: dict[str, Any], context: Context) -> Reading:
    """Parse one member of Ghost's Admin API."""
    reading = Reading(row, cells=[member.get(name) for name in ("id", "email", "name", "status")])
    try:
        give_name(reading, str(member.get("name") or ""))
        reading.set_email(str(member.get("email") or ""))
        reading.key = str(member.get("id") or "")[:64] or reading.address
        if not reading.key:
            raise RowError(Why.NO_ADDRESS)  # noqa: TRY301 - one place says what is refused
        _judge(reading, member, context)
    except RowError as error:
        reading.says, reading.why = error.says, error.why
    return reading


def _judge(reading: Reading, member: dict[str, Any], context: Context) -> None:
    listed = member.get("subscriptions")
    subscriptions = [_object(one) for one in listed] if isinstance(listed, list) else []
    paid = [found for one in subscriptions if (found := _read_subscription(one, context))]
    statuses = {str(one.get("status")) for one in subscriptions}
    if paid:
        best = max(paid, key=lambda one: one.until)
        reading.amount, reading.currency = best.amount, best.currency
        reading.interval, reading.started_at = best.interval, best.started_at
        reading.counts_until = best.until
        reading.cancel_at = best.until if best.leaves else None
        reading.set_card(best.card)
    elif "past_due" in statuses:
        # The period that Ghost names is the one that isn't paid; only Stripe knows since when.
        reading.ask(Why.PAST_DUE)
    elif "trialing" in statuses:
        reading.is_not_paying(Why.TRIAL)
    elif member.get("status") == "comped":
        reading.is_not_paying(Why.COMPLIMENTARY)
    elif "canceled" in statuses:
        reading.is_not_paying(Why.NOT_ACTIVE)
    else:
        reading.is_not_paying(Why.FREE)


def _read_subscription(one: dict[str, Any], context: Context) -> _Paid | None:
    """The active paid subscription; those that Ghost invents have no ID."""
    price = _object(one.get("price"))
    amount, until = price.get("amount"), _time(one.get("current_period_end"))
    if one.get("status") != "active" or not one.get("id") or not until:
        return None
    if not isinstance(amount, int) or isinstance(amount, bool) or amount <= 0:
        return None
    if amount > _LARGEST:
        raise RowError(Why.BAD_AMOUNT)
    if "ghost_migrated_to" in _object(one.get("metadata")):
        return None
    return _Paid(
        until=context.until(until),
        started_at=_time(one.get("start_date")),
        amount=amount,
        currency=str(price.get("currency") or context.currency).upper()[:3],
        interval=_INTERVALS.get(str(price.get("interval"))),
        leaves=bool(one.get("cancel_at_period_end")),
        card=one.get("default_payment_card_last4"),
    )


def _object(found: object) -> dict[str, Any]:
    """A JSON object, or an empty one if it is something else."""
    return found if isinstance(found, dict) else {}


def _time(written: object) -> datetime | None:
    if not isinstance(written, str) or not written or len(written) > _LONGEST_DATE:
        return None
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        raise RowError(Why.NO_SUCH_DAY, Says.REFUSED) from None
    if found.tzinfo is None:
        raise RowError(Why.NO_SUCH_DAY, Says.REFUSED)
    return in_years(found)


def _notes() -> list[str]:
    return [
        _(
            "Ghost’s CSV doesn’t say who pays, so nobody in it is counted. Upload the "
            "answer of Ghost’s Admin API instead "
            "(/ghost/api/admin/members/?filter=status:paid), or bring its subscribers "
            "over from Stripe: fundraiser reconcile --adopt."
        )
    ]


FORMAT = Format(
    "ghost", "Ghost", _recognise, _read, notes=_notes, aliases=("ghost-api", "ghost-csv")
)
