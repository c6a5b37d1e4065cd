"""Files for a spreadsheet: streamed, so that a million rows need no more than one."""

from __future__ import annotations

import csv
from decimal import Decimal
from io import StringIO
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, text

from fundraiser.dashboard.members.listing import all_members
from fundraiser.members.models import Member
from fundraiser.money import decimals
from fundraiser.payments.models import BalanceTransaction
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from sqlalchemy import ColumnElement, Engine, Row, Select

    from fundraiser.dashboard.members.listing import Filters

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
    )

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

    return _stream(engine, statement, heading, cells)


def stream_movements(engine: Engine, which: ColumnElement[bool], zone: ZoneInfo) -> Iterator[bytes]:
    """What moved the balance at Stripe, the first of it first, as ``stream_members``."""
    found = BalanceTransaction
    statement = select(found).where(which).order_by(found.created_at, found.id)

    def cells(row: Row[*tuple[object, ...]]) -> list[str]:
        one = row._asdict()
        at: datetime = one["created_at"].astimezone(zone)
        return [
            _cell(one["id"]),
            f"{at:%Y-%m-%d %H:%M:%S}",
            _cell(one["category"]),
            _cell(one["kind"]),
            _cell(one["tier"]),
            _cell(one["currency"]),
            *(_amount(one[name], one["currency"]) for name in ("amount", "fee", "net")),
            _day(one["available_at"], zone),
            *(_cell(one[name]) for name in ("charge_id", "source_id", "payout_id", "description")),
        ]

    heading = [
        _("Movement at Stripe"),
        _("When"),
        _("Category"),
        _("Paid for"),
        _("Tier"),
        _("Currency"),
        _("Gross"),
        _("Fee"),
        _("Net"),
        _("Available on"),
        _("Charge at Stripe"),
        _("Source at Stripe"),
        _("Payout at Stripe"),
        _("Description"),
    ]
    columns = statement.with_only_columns(*found.__table__.columns, maintain_column_froms=True)
    return _stream(engine, columns, heading, cells)


def _stream(
    engine: Engine,
    statement: Select[*tuple[Any, ...]],
    heading: list[str],
    cells: Callable[[Row[*tuple[Any, ...]]], list[str]],
) -> Iterator[bytes]:
    """The file, from a connection of its own and as the database was when it began."""
    yield (_BYTE_ORDER_MARK + _written([heading])).encode()
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '10min'"))
        # The first rows at once, rather than all of them as soon as possible.
        connection.execute(text("SET LOCAL cursor_tuple_fraction = 0.01"))
        wanted = statement.execution_options(yield_per=_AT_ONCE)
        with connection.execute(wanted) as result:
            for part in result.partitions():
                yield _written(cells(row) for row in part).encode()


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
    return str(Decimal(amount).scaleb(-decimals(currency)))
