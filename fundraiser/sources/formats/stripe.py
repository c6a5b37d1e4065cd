"""Stripe's list of subscriptions, from an account other than ours here.

For our own account, use ``fundraiser reconcile --adopt``.
"""

from __future__ import annotations

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

_UNTIL = ("current period end (utc)", "current period end")
_DAYS = (*_UNTIL, "canceled at (utc)", "start date (utc)", "start (utc)", "created (utc)")
_NOT_PAYING = {
    "trialing": Why.TRIAL,
    **dict.fromkeys(("incomplete", "incomplete_expired", "unpaid"), Why.NEVER_PAID),
    **dict.fromkeys(("canceled", "cancelled", "paused", "ended"), Why.NOT_ACTIVE),
}


def _recognise(file: File) -> bool:
    return any(has_columns("id", "customer id", "status", until)(file) for until in _UNTIL)


def _read(file: File, context: Context) -> Iterator[Reading]:
    table = file.table()
    until = _UNTIL[0] if _UNTIL[0] in table.columns else _UNTIL[1]
    needed = ["id", "customer id", "status", until]
    yield from read_rows(table, context, _read_row, needed=needed, days=_DAYS, amounts=["amount"])


def _read_row(row: Row, context: Context) -> Reading:
    reading = row.reading
    give_name(reading, row.text("customer name", "customer description"))
    reading.key = row.text("id")[:64]
    if not reading.key.startswith("sub_"):
        raise RowError(Why.NO_ADDRESS)
    reading.set_email(row.text("customer email"))
    reading.set_card(row.text("card last4", "customer card last4", "card last 4"))
    if row.text("ghost migrated to (metadata)"):
        # It goes on at another account, and counts there.
        return reading.is_not_paying(Why.MOVED)
    rhythm = read_interval(row.cell("interval")) or (Interval.MONTH, 1)
    reading.interval, reading.interval_count = rhythm
    amount = (row.amount("amount") or Decimal(0)) * (row.amount("quantity") or 1)
    reading.set_amount(amount, row.text("currency") or context.currency)
    until, canceled = row.day(*_UNTIL), row.day("canceled at (utc)")
    began = row.day("start date (utc)", "start (utc)", "created (utc)")
    if began:
        reading.started_at = context.since(began)
    if until:
        reading.counts_until = context.until(until)
    return _judge(row, reading, leaves=bool(canceled) or row.is_yes("cancel at period end"))


def _judge(row: Row, reading: Reading, *, leaves: bool) -> Reading:
    status = row.text("status").lower()
    if status in _NOT_PAYING:
        return reading.is_not_paying(_NOT_PAYING[status])
    if status == "past_due":
        return reading.ask(Why.PAST_DUE)
    if status != "active":
        raise RowError(Why.UNKNOWN_STATUS, Says.ASK)
    if reading.amount == 0:
        return reading.is_not_paying(Why.FREE)
    if reading.counts_until is None:
        return reading.ask(Why.NO_END)
    if leaves:
        reading.cancel_at = reading.counts_until
    return reading


def _notes() -> list[str]:
    return [
        _(
            "If these subscriptions are in the Stripe account you use here, don’t "
            "import them: run fundraiser reconcile --adopt, and Stripe itself keeps "
            "them up to date."
        )
    ]


FORMAT = Format(
    "stripe", "Stripe (another account)", _recognise, _read, notes=_notes, aliases=("stripe-csv",)
)
