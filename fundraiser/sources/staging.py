"""Read a file into database rows with COPY, in constant memory."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, cast

from psycopg.types.json import Jsonb
from sqlalchemy import delete, select, text

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.members.forwarding import hashes_of_address
from fundraiser.sources.formats import Format, formats
from fundraiser.sources.models import ErasedAddress, ImportBatch, ImportRow
from fundraiser.sources.readings import (
    LONGEST_TEXT,
    Context,
    FileRefusedError,
    Reading,
    RowError,
    Says,
    Why,
)
from fundraiser.sources.values import in_years, text_of
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    import psycopg
    from sqlalchemy.orm import Session

    from fundraiser.sources.formats import File

MOST_ROWS = 2_000_000
_LONGEST_CELL = 2_000  # characters that are kept of a cell
_COLUMNS = (
    *("batch_id", "number", "lines", "says", "why", "looks", "cells", "key", "email", "address"),
    *("name", "amount", "currency", "interval", "interval_count", "card_last4", "started_at"),
    *("counts_until", "cancel_at", "refunded_at"),
)


def stage(session: Session, batch: ImportBatch, file: File, form: Format) -> None:
    """Read all rows of a file, replacing those of an earlier attempt.

    Raises:
        FileRefusedError: it is unreadable, or older than the source's latest list.
    """
    session.execute(text("SET LOCAL statement_timeout = 0"))
    session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '10min'"))
    session.execute(delete(ImportRow).where(ImportRow.batch_id == batch.id))
    options = file.options
    batch.list_at = list_day(form, file)
    batch.notes = form.notes()
    if not _is_document(file):
        table = file.table()
        batch.headings = table.headings[:500]
        batch.options = options.to_json() | {
            "encoding": table.encoding or None,
            "delimiter": table.delimiter or None,
            "sheet": table.sheet or None,
        }
        if table.other_sheets:
            batch.notes = [
                *batch.notes,
                _(
                    "We read the sheet “%(sheet)s” and none of the others: %(others)s.",
                    sheet=table.sheet,
                    others=", ".join(table.other_sheets[:10]),
                ),
            ]
        if table.hidden_rows:
            batch.notes = [
                *batch.notes,
                _(
                    "Hidden rows in this workbook: %(count)s. We read them like the others.",
                    count=table.hidden_rows,
                ),
            ]
    settings = current_settings()
    context = Context(
        zone=settings.newsroom_timezone,
        currency=options.currency or settings.newsroom_currency,
        at=now(),
        list_at=batch.list_at or now(),
        options=options,
    )
    erased = set(session.scalars(select(ErasedAddress.hash)))
    session.flush()
    readings = _dated(form.read(file, context), _paid_until(context))
    batch.rows = _copy(session, batch, _asked_about(readings, erased))
    if batch.rows == 0:
        raise FileRefusedError(_("This file has no rows. Export it again and upload that."))


def _is_document(file: File) -> bool:
    """Whether it is an XML or JSON document instead of a table."""
    file.content.seek(0)
    return file.content.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"{", b"["))


def list_day(form: Format, file: File) -> datetime | None:
    """The list's date: from staff, or from the file; None if unknown.

    Raises:
        FileRefusedError: it is in the future.
    """
    told = file.options.as_of or form.list_at(file)
    if not told:
        return None
    try:
        day = in_years(datetime.fromisoformat(told.strip()))
    except (ValueError, RowError):
        if file.options.as_of:
            raise FileRefusedError(
                _("“%(day)s” isn’t a date. Write it like 2026-11-29.", day=told[:40])
            ) from None
        return None
    day = day if day.tzinfo else day.replace(tzinfo=UTC)
    if day.date() > date.fromordinal(now().date().toordinal() + 1):
        raise FileRefusedError(
            _("This list is dated %(day)s, which is in the future.", day=day.date().isoformat())
        )
    return day


def _paid_until(context: Context) -> datetime | None:
    """Until when members without a date have paid, as staff say.

    Raises:
        FileRefusedError: what they say is no date.
    """
    told = context.options.paid_until
    try:
        return context.end_of(in_years(date.fromisoformat(told.strip()))) if told else None
    except (ValueError, RowError):
        raise FileRefusedError(
            _("“%(day)s” isn’t a date. Write it like 2026-11-29.", day=(told or "")[:40])
        ) from None


def _dated(readings: Iterator[Reading], until: datetime | None) -> Iterator[Reading]:
    """Set one end for all whose own the file doesn't give, so that nobody is asked row by row."""
    for reading in readings:
        if until and reading.why is Why.NO_END:
            reading.says, reading.why, reading.counts_until = Says.PAID, Why.PAID, until
        yield reading


def _asked_about(readings: Iterator[Reading], erased: set[str]) -> Iterator[Reading]:
    """Have staff decide about erased people, whom a list must not bring back silently."""
    for reading in readings:
        is_back = bool(
            erased and reading.address and not erased.isdisjoint(hashes_of_address(reading.address))
        )
        if is_back and reading.says is Says.PAID:
            reading.ask(Why.ERASED)
        elif is_back and reading.says is Says.GIVES:
            reading.says, reading.why = Says.REFUSED, Why.ERASED
        yield reading


def _copy(session: Session, batch: ImportBatch, readings: Iterator[Reading]) -> int:
    """Write the rows; returns how many lines of the file they cover."""
    connection = cast("psycopg.Connection[Any]", session.connection().connection.driver_connection)
    statement = f"COPY import_row ({', '.join(_COLUMNS)}) FROM STDIN"
    prefix = f"{batch.source}:"
    lines = 0
    with connection.cursor() as cursor:
        copying: AbstractContextManager[psycopg.Copy] = cursor.copy(statement)
        with copying as copy:
            for reading in readings:
                lines += reading.lines
                if lines > MOST_ROWS:
                    raise FileRefusedError(
                        _(
                            "This file has more than %(most)s rows. Upload it in parts.",
                            most=MOST_ROWS,
                        )
                    )
                copy.write_row(_row(batch.id, prefix, reading))
    return lines


def _row(batch_id: int, prefix: str, reading: Reading) -> tuple[Any, ...]:
    return (
        batch_id,
        reading.row,
        reading.lines,
        reading.says.value,
        str(reading.why),
        Jsonb([str(look) for look in dict.fromkeys(reading.looks)]),
        Jsonb([_cell(cell) for cell in reading.cells]),
        prefix + _kept(reading.key[:LONGEST_TEXT]) if reading.key else None,
        reading.email,
        reading.address,
        _kept(reading.name) if reading.name else None,
        reading.amount,
        reading.currency,
        reading.interval.value if reading.interval else None,
        reading.interval_count,
        reading.card_last4,
        reading.started_at,
        reading.counts_until,
        reading.cancel_at,
        reading.refunded_at,
    )


def _cell(cell: object) -> str:
    return _kept(text_of(cell)[:_LONGEST_CELL])  # type: ignore[arg-type] # a cell of any format


def _kept(written: str) -> str:
    """Remove what JSON allows and PostgreSQL doesn't: NUL and unpaired surrogates."""
    return written.replace("\0", "").encode(errors="replace").decode()


def named(name: str) -> Format:
    """Find the format with this name.

    Raises:
        FileRefusedError: there is none.
    """
    form = formats().get(name)
    if form is None:
        raise FileRefusedError(_("We don’t know the format “%(name)s”.", name=name[:40]))
    return form
