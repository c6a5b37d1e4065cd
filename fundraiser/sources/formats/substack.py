"""Substack's exports: the e-mail list, the shorter list of payers, and all columns of subscribers.

All identify people only by address, so each corrects the one before. None has amounts.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from fundraiser.members.models import Interval
from fundraiser.sources.formats import File, Format, Row, give_name, has_columns, read_rows
from fundraiser.sources.readings import TOO_FAR, Reading, RowError, Why
from fundraiser.sources.values import read_interval
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.sources.readings import Context

_FORGOTTEN = "@deletion-request.substack.com"
_PRICE = re.compile(r"[$€£]\s?([0-9]{1,6}(?:\.[0-9]{2})?)(?![0-9.,])")
_LIST = ("email", "active subscription", "expiry")
_PAYERS = ("email", "expiry", "type")
_SUBSCRIBERS = ("email", "type", "stripe plan", "start date")
_STARTED = ("first payment at", "first paid date", "paid upgrade date")
_DAYS = (*_STARTED, "expiry", "expiration date")
_GIVEN = {"comp": Why.COMPLIMENTARY, "free": Why.FREE, "author": Why.FREE, "free trial": Why.TRIAL}
_PAID = {"paid", "founding", "ios app", "app", "android app", "iap"}


def _recognise(file: File) -> bool:
    return any(has_columns(*needed)(file) for needed in (_LIST, _PAYERS, _SUBSCRIBERS))


def _read(file: File, context: Context) -> Iterator[Reading]:
    table = file.table()
    is_list = "active subscription" in table.columns
    payers = _PAYERS if "expiry" in table.columns else _SUBSCRIBERS
    yield from read_rows(
        table,
        context,
        _read_reader if is_list else _read_payer,
        needed=_LIST if is_list else payers,
        days=_DAYS,
        amounts=("amount", "plan amount"),
    )


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
    give_name(reading, row.text("name"))
    started = (row.day(name) for name in _STARTED)
    if began := next(filter(None, started), None):
        reading.started_at = context.since(began)
    if expiry := row.day("expiry", "expiration date"):
        reading.counts_until = context.until(expiry)
    plan = row.text("plan", "stripe plan")
    rhythm = read_interval(row.cell("subscription interval")) or read_interval(plan)
    default = Interval.YEAR if "founding" in plan.lower() else Interval.MONTH
    reading.interval = rhythm[0] if rhythm else default
    amount = row.amount("amount", "plan amount")
    if amount is None and (price := _PRICE.search(plan[:200])):
        amount = Decimal(price[1])
    if amount:
        currency = row.text("currency", "plan currency") or context.options.currency
        reading.set_amount(amount, currency or context.currency)
    else:
        reading.set_price(context)
    return reading


def _is_given(reading: Reading, context: Context) -> bool:
    return reading.counts_until is not None and reading.counts_until > context.at + TOO_FAR


def _read_reader(row: Row, context: Context) -> Reading:
    reading = _begin(row, context)
    if reading.key is None:
        return reading
    if not row.is_yes("active subscription"):
        if not (reading.started_at and reading.counts_until):
            return reading.is_not_paying(Why.FREE)
        # Substack has given up, or the reader has: no grace.
        reading.cancel_at = reading.counts_until
        return reading.is_not_paying(Why.NOT_ACTIVE)
    if _is_given(reading, context):
        return reading.is_not_paying(Why.COMPLIMENTARY)
    if reading.counts_until is None:
        return reading.ask(Why.NO_END)
    if reading.started_at is None and "first payment at" in row.columns:
        return reading.ask(Why.GIFT)
    return reading


def _read_payer(row: Row, context: Context) -> Reading:
    reading = _begin(row, context)
    if reading.key is None:
        return reading
    kind = row.text("type").lower().replace("_", " ")
    if kind in _GIVEN or _is_given(reading, context):
        return reading.is_not_paying(_GIVEN.get(kind, Why.COMPLIMENTARY))
    if kind == "gift":
        return reading.ask(Why.GIFT)
    if "subscriber" in kind and read_interval(kind):  # "Monthly subscriber"
        kind = "paid"
    if kind not in _PAID:
        return reading.ask(Why.UNKNOWN_STATUS)
    if reading.counts_until is None:
        return reading.ask(Why.NO_END)
    if row.text("cancel date"):
        reading.cancel_at = reading.counts_until
    if (
        kind == "paid"
        and "stripe connected customer id" in row.columns
        and not row.text("stripe connected customer id")
    ):
        reading.looks.append(Why.SEAT)
    return reading


def _notes() -> list[str]:
    return [
        _(
            "Substack doesn’t say how much people pay. We use the prices that you enter; "
            "without them these members add nothing to your income figures."
        )
    ]


FORMAT = Format(
    "substack",
    "Substack",
    _recognise,
    _read,
    notes=_notes,
    aliases=("substack-csv",),
    may_lack_dates=True,
    lacks_amounts=lambda _: True,
)
