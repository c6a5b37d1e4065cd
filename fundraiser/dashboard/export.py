"""Members as a file for a spreadsheet: streamed, so that a million rows need no more than one."""

from __future__ import annotations

import csv
from decimal import Decimal
from io import StringIO
from typing import TYPE_CHECKING

from babel.numbers import get_currency_precision
from sqlalchemy import text

from fundraiser.dashboard.listing import all_members
from fundraiser.members.models import Member
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from sqlalchemy import Engine, Row

    from fundraiser.dashboard.listing import Filters

_AT_ONCE = 500
# What a spreadsheet takes for the beginning of a formula, also in its wide forms.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - the wide forms
_BYTE_ORDER_MARK = "\ufeff"  # without it Excel takes UTF-8 for something else


def stream_members(engine: Engine, filters: Filters, zone: ZoneInfo) -> Iterator[bytes]:
    """The file, a few hundred rows at a time, as the database was when it began.

    It is read after the request's own transaction has ended, on a connection of its own. Whoever
    downloads slowly keeps that connection waiting, for ten minutes at most between two reads.
    """
    heading, yes, no = _heading(), _("yes"), _("no")
    statement, newest = all_members(filters, zone)
    statement = statement.add_columns(
        Member.number,
        Member.name,
        Member.email,
        Member.country,
        Member.language,
        Member.counting,
        Member.first_counted_at,
        newest.source,
        newest.tier,
        newest.amount,
        newest.currency,
        newest.interval,
        newest.status,
        newest.started_at,
        newest.period_end,
        newest.cancel_at,
        newest.ended_at,
        newest.campaign,
        newest.ref,
        newest.utm,
        newest.customer_id,
        newest.reference,
    ).execution_options(yield_per=_AT_ONCE)

    def cells(row: Row[*tuple[object, ...]]) -> list[str]:
        found = row._asdict()
        return [
            _cell(found["number"]),
            _cell(found["name"]),
            _cell(found["email"]),
            _cell(found["country"]),
            _cell(found["language"]),
            yes if found["counting"] else no,
            _day(found["first_counted_at"], zone),
            _cell(found["source"]),
            _cell(found["tier"]),
            _amount(found["amount"], found["currency"]),
            _cell(found["currency"]),
            _cell(found["interval"]),
            _cell(found["status"]),
            *(
                _day(found[name], zone)
                for name in ("started_at", "period_end", "cancel_at", "ended_at")
            ),
            _cell(found["campaign"]),
            _cell(found["ref"]),
            _cell(found["utm"]),
            _cell(found["customer_id"]),
            _cell(found["reference"]),
        ]

    def lines() -> Iterator[bytes]:
        yield (_BYTE_ORDER_MARK + _written([heading])).encode()
        with engine.connect() as connection:
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '10min'"))
            # The first rows at once, rather than all of them as soon as possible.
            connection.execute(text("SET LOCAL cursor_tuple_fraction = 0.01"))
            with connection.execute(statement) as result:
                for part in result.partitions():
                    yield _written(cells(row) for row in part).encode()

    return lines()


def safe_cell(value: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if value.lstrip(" \xa0").startswith(_FORMULA) else value


def _heading() -> list[str]:
    return [
        _("Number"),
        _("Name"),
        _("E-mail address"),
        _("Country"),
        _("Language"),
        _("Counts"),
        _("First counted"),
        _("Source"),
        _("Tier"),
        _("Amount"),
        _("Currency"),
        _("Interval"),
        _("State"),
        _("Began"),
        _("Paid until"),
        _("Leaves"),
        _("Ended"),
        _("Campaign"),
        _("Came from"),
        _("Tags of the link (UTM)"),
        _("Customer at Stripe"),
        _("Subscription at Stripe"),
    ]


def _written(rows: Iterable[list[str]]) -> str:
    page = StringIO()
    csv.writer(page).writerows(rows)
    return page.getvalue()


def _cell(value: object) -> str:
    return "" if value is None else safe_cell(str(value))


def _day(at: datetime | None, zone: ZoneInfo) -> str:
    return at.astimezone(zone).date().isoformat() if at else ""


def _amount(amount: int | None, currency: str | None) -> str:
    """In the currency's main unit, with a point, as every spreadsheet can be told to read it."""
    if amount is None or currency is None:
        return ""
    return str(Decimal(amount).scaleb(-get_currency_precision(currency)))
