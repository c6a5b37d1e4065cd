"""Export refused rows with their original columns and the reason, to fix and import again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.sources.labels import why
from fundraiser.sources.models import ImportBatch, ImportRow, Outcome
from fundraiser.sources.readings import Why
from fundraiser.spreadsheets import BYTE_ORDER_MARK, safe_cell, write_rows
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy.orm import Session

_AT_ONCE = 500


def stream_refused(opened: AbstractContextManager[Session], batch: ImportBatch) -> Iterator[str]:
    """Stream the file, some hundred rows at a time; the last column gives the reason.

    Labels are translated now, because the request may end before the download. ``opened`` is a
    context manager for the download.
    """
    heading = [*map(_safe, batch.headings), _("Why it wasn’t imported")]
    return _rows(opened, batch.id, heading, {one.value: why(one) for one in Why})


def _rows(
    opened: AbstractContextManager[Session],
    batch_id: int,
    heading: list[str],
    reasons: dict[str, str],
) -> Iterator[str]:
    yield BYTE_ORDER_MARK + write_rows([heading])
    width, after = len(heading) - 1, 0
    with opened as session:
        while rows := session.execute(
            select(ImportRow.number, ImportRow.cells, ImportRow.why)
            .where(
                ImportRow.batch_id == batch_id,
                ImportRow.outcome == Outcome.REFUSED,
                ImportRow.number > after,
            )
            .order_by(ImportRow.number)
            .limit(_AT_ONCE)
        ).all():
            yield write_rows(
                [*map(_safe, _padded(cells or [], width)), reasons.get(reason, reason)]
                for _number, cells, reason in rows
            )
            after = rows[-1].number


def _padded(cells: list[str], width: int) -> list[str]:
    return [*cells, *[""] * (width - len(cells))]


def _safe(cell: str) -> str:
    """Escape a cell, except for a signed number, so that the file can be imported again."""
    is_number = cell[1:].replace(".", "", 1).replace(",", "", 1).isdigit()
    return cell if cell.startswith(("+", "-")) and is_number else safe_cell(cell)
