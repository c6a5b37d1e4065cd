"""A list of addresses that get complimentary memberships; staff must choose it.

It is never recognised automatically, because a list of payers has the same columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.sources.formats import File, Format, Row, give_name, read_rows
from fundraiser.sources.formats.table import mapped_columns
from fundraiser.sources.readings import FileRefusedError, Reading, RowError, Says, Why
from fundraiser.sources.tables import fold_heading
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.sources.readings import Context

_FIELDS = ("email", "name", "first_name", "last_name", "until")


def _read(file: File, context: Context) -> Iterator[Reading]:
    mapping = {
        ours: fold_heading(theirs)
        for ours, theirs in mapped_columns(file).items()
        if ours in _FIELDS
    }
    if "email" not in mapping:
        raise FileRefusedError(
            _(
                "We can’t tell which column holds the e-mail addresses. Choose it and "
                "read the file again."
            )
        )

    def read_row(row: Row, context: Context) -> Reading:
        return _read_row(row, context, mapping)

    yield from read_rows(
        file.table(),
        context,
        read_row,
        needed=list(mapping.values()),
        days=[mapping[name] for name in ("until",) if name in mapping],
    )


def _read_row(row: Row, context: Context, mapping: dict[str, str]) -> Reading:
    reading = row.reading

    def text(ours: str) -> str:
        return row.text(mapping[ours]) if ours in mapping else ""

    give_name(reading, f"{text('first_name')} {text('last_name')}".strip() or text("name"))
    reading.set_email(text("email"))
    reading.key = reading.address
    if not reading.key:
        raise RowError(Why.NO_ADDRESS)
    reading.currency = context.currency
    until = row.day(mapping["until"]) if "until" in mapping else None
    if until is not None:
        reading.counts_until = context.until(until)
        if reading.counts_until <= context.at:
            raise RowError(Why.END_IS_OVER)
    reading.says, reading.why = Says.GIVES, Why.COMPLIMENTARY
    return reading


def _notes() -> list[str]:
    return [
        _(
            "Each person gets a complimentary membership until the date in the column "
            "“Paid until”, or with no end date if that’s empty. We don’t count or "
            "e-mail anybody because of it."
        )
    ]


FORMAT = Format(
    "complimentary",
    "Complimentary memberships",
    lambda _file: False,
    _read,
    notes=_notes,
    aliases=("comp", "comps", "free"),
    is_mapped=True,
)
