"""Exports as CSV, streamed in constant memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, text

from fundraiser.config import current_settings
from fundraiser.dashboard.columns import Cells, chosen_in_file, in_file
from fundraiser.dashboard.finance.columns import MOVEMENT_COLUMNS
from fundraiser.dashboard.members.columns import COLUMNS
from fundraiser.dashboard.members.listing import all_members
from fundraiser.members.models import Member, Membership
from fundraiser.payments.models import BalanceTransaction, Payment, Payout
from fundraiser.spreadsheets import BYTE_ORDER_MARK, write_rows
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from zoneinfo import ZoneInfo

    from sqlalchemy import ColumnElement, Engine, Row, Select
    from sqlalchemy.orm import Session

    from fundraiser.dashboard.columns import Column
    from fundraiser.dashboard.members.filters import Filters

_AT_ONCE = 500


def stream_members(
    session: Session, engine: Engine, filters: Filters, zone: ZoneInfo
) -> Iterator[bytes]:
    """Stream the members' file, a few hundred rows at a time, from one snapshot.

    It reads after the request's transaction has ended, on its own connection. A slow download keeps
    that connection, for at most ten minutes between two reads.
    """
    statement, newest = all_members(session, filters, zone)
    columns = chosen_in_file(COLUMNS, filters.column_names())
    statement = statement.add_columns(
        *(
            getattr(newest, value.key) if getattr(value, "class_", None) is Membership else value
            for column in columns
            for value in column.of
        )
    )
    return _stream(engine, statement, columns, zone)


def stream_movements(engine: Engine, which: ColumnElement[bool], zone: ZoneInfo) -> Iterator[bytes]:
    """Stream Stripe's balance transactions, oldest first, like ``stream_members``."""
    columns = in_file(MOVEMENT_COLUMNS)
    statement = (
        select(*(value for column in columns for value in column.of))
        .select_from(BalanceTransaction)
        .outerjoin(Payment, Payment.charge_id == BalanceTransaction.charge_id)
        .outerjoin(Member, Member.id == Payment.member_id)
        .outerjoin(Payout, Payout.id == BalanceTransaction.payout_id)
        .where(which)
        .order_by(BalanceTransaction.created_at, BalanceTransaction.id)
    )
    return _stream(engine, statement, columns, zone)


def _stream(
    engine: Engine, statement: Select[*tuple[Any, ...]], columns: Sequence[Column], zone: ZoneInfo
) -> Iterator[bytes]:
    """The file's parts; translates labels now, because the request ends before the download."""
    heading = [_(column.title) for column in columns]
    cells = Cells(zone, current_settings().vat_rate)
    return _rows(engine, statement, columns, heading, cells)


def _rows(
    engine: Engine,
    statement: Select[*tuple[Any, ...]],
    columns: Sequence[Column],
    heading: list[str],
    cells: Cells,
) -> Iterator[bytes]:
    yield (BYTE_ORDER_MARK + write_rows([heading])).encode()
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '10min'"))
        # The first rows at once, rather than all of them as soon as possible.
        connection.execute(text("SET LOCAL cursor_tuple_fraction = 0.01"))
        wanted = statement.execution_options(yield_per=_AT_ONCE)
        with connection.execute(wanted) as result:
            for part in result.partitions():
                yield write_rows(_cells(row, columns, cells) for row in part).encode()


def _cells(row: Row[*tuple[Any, ...]], columns: Sequence[Column], cells: Cells) -> list[str]:
    values = iter(row)
    return [column.cell(cells, *(next(values) for _value in column.of)) for column in columns]
