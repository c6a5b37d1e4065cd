"""Refused rows as a file in their own columns, with the reason: to mend and to send again."""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.sources.labels import why
from fundraiser.sources.models import ImportBatch, ImportRow, Outcome
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

_AT_ONCE = 500
_BYTE_ORDER_MARK = "\ufeff"  # without it Excel takes UTF-8 for something else
# What a spreadsheet takes for the beginning of a formula. A number may begin with a sign.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\N{FULLWIDTH EQUALS SIGN}")


def stream_refused(session: Session, batch: ImportBatch) -> Iterator[str]:
    """The file, some hundred rows at a time; its last column says why each was refused."""
    yield _BYTE_ORDER_MARK + _written([[*map(_safe, batch.headings), _("Why it wasn’t taken in")]])
    width, after = len(batch.headings), 0
    while rows := session.scalars(
        select(ImportRow)
        .where(
            ImportRow.batch_id == batch.id,
            ImportRow.outcome == Outcome.REFUSED,
            ImportRow.number > after,
        )
        .order_by(ImportRow.number)
        .limit(_AT_ONCE)
    ).all():
        yield _written([*map(_safe, _padded(row.cells or [], width)), why(row.why)] for row in rows)
        after = rows[-1].number


def _padded(cells: list[str], width: int) -> list[str]:
    return [*cells, *[""] * (width - len(cells))]


def _safe(cell: str) -> str:
    is_number = cell[1:].replace(".", "", 1).replace(",", "", 1).isdigit()
    return f"'{cell}" if cell.lstrip(" \xa0").startswith(_FORMULA) and not is_number else cell


def _written(rows: object) -> str:
    page = StringIO()
    csv.writer(page).writerows(rows)  # type: ignore[arg-type] # rows of words
    return page.getvalue()
