"""Import formats, one file for each system: recognise its export and parse its rows.

A module here with a ``FORMAT`` is a source for staff's imports; there is no other list.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, BinaryIO

from fundraiser.sources.readings import FileRefusedError, Reading, RowError, Says, Why
from fundraiser.sources.tables import Line, Table, fold_heading, open_table
from fundraiser.sources.values import Cell, Notation, is_yes, text_of
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import date, datetime
    from decimal import Decimal

    from fundraiser.sources.readings import Context, Options

_LONGEST_CELL = 1 << 15


@dataclass(slots=True)
class File:
    """An uploaded file, its name, and its rows if it is a table."""

    content: BinaryIO
    name: str
    options: Options
    _table: Table | FileRefusedError | None = field(default=None, init=False, repr=False)

    def table(self) -> Table:
        """The file as a table, opened once for all formats.

        Raises:
            FileRefusedError: it is none.
        """
        if self._table is None:
            try:
                self._table = open_table(self.content, self.options)
            except FileRefusedError as error:
                self._table = error
        if isinstance(self._table, FileRefusedError):
            raise self._table
        return self._table


@dataclass(frozen=True, slots=True)
class Format:
    """How to recognise and read one system's export.

    ``recognise`` says whether a file is this system's. ``read`` yields what its rows prove, lazily.
    ``list_at`` finds the list's date in ISO 8601, if the file has one. ``notes`` are sentences for
    staff about all files of the system, ``aliases`` other names for the command line. If members
    can be without a date, ``may_lack_dates``; ``lacks_amounts`` says whether a file has none.
    """

    name: str
    label: str
    recognise: Callable[[File], bool]
    read: Callable[[File, Context], Iterator[Reading]]
    list_at: Callable[[File], str | None] = lambda _: None
    notes: Callable[[], list[str]] = list
    aliases: tuple[str, ...] = ()
    is_mapped: bool = False
    may_lack_dates: bool = False
    lacks_amounts: Callable[[File], bool] = lambda _: False


@cache
def formats() -> dict[str, Format]:
    """All formats by name; the generic table is last."""
    found = [
        module.FORMAT
        for one in sorted(pkgutil.iter_modules(__path__), key=lambda one: one.name)
        if hasattr(module := import_module(f"{__name__}.{one.name}"), "FORMAT")
    ]
    return {one.name: one for one in sorted(found, key=lambda one: one.is_mapped)}


def find_format(name: str) -> Format | None:
    """The format with this name or alias."""
    plain = name.strip().lower()
    return next((one for one in formats().values() if plain in {one.name, *one.aliases}), None)


def recognise(file: File) -> Format | None:
    """The system that a file comes from; None if unknown."""
    return next((one for one in formats().values() if one.recognise(file)), None)


def has_columns(*wanted: str) -> Callable[[File], bool]:
    """Whether a file is a table with all of these headings."""
    folded = {fold_heading(one) for one in wanted}

    def recognised(file: File) -> bool:
        try:
            return folded <= set(file.table().columns)
        except FileRefusedError:
            return False

    return recognised


class Row:
    """A row's cells by heading, with the file's notation."""

    __slots__ = ("columns", "line", "notation", "reading")

    def __init__(self, line: Line, columns: Mapping[str, int], notation: Notation) -> None:
        self.line, self.columns, self.notation = line, columns, notation
        self.reading = Reading(line.row, cells=line.cells)
        if line.is_hidden:
            self.reading.looks.append(Why.HIDDEN_ROW)

    def cell(self, *headings: str) -> Cell:
        """The first of these columns that the file has; None if it has none."""
        for heading in headings:
            place = self.columns.get(heading)
            if place is not None:
                return self.line.cells[place]
        return None

    def text(self, *headings: str) -> str:
        return text_of(self.cell(*headings)).strip()

    def is_yes(self, *headings: str) -> bool:
        return is_yes(self.cell(*headings))

    def day(self, *headings: str) -> date | datetime | None:
        return self.notation.read_day(self.cell(*headings), self.reading.looks)

    def amount(self, *headings: str) -> Decimal | None:
        return self.notation.read_amount(self.cell(*headings))


def read_rows(
    table: Table,
    context: Context,
    read_row: Callable[[Row, Context], Reading],
    *,
    needed: Iterable[str],
    days: Iterable[str] = (),
    amounts: Iterable[str] = (),
) -> Iterator[Reading]:
    """Parse each row with ``read_row``; unreadable rows are refused, the others go in.

    ``needed`` are normalised headings that must occur once; ``days`` and ``amounts`` are columns
    whose notation is detected before the first row.
    """
    columns = check_columns(table, needed)
    notation = Notation(context.options.date_order, context.options.decimal)
    day_places = [columns[name] for name in days if name in columns]
    amount_places = [columns[name] for name in amounts if name in columns]
    width = len(table.headings)
    for line in table.lines():
        notation.look_at_days(line.cells[at] for at in day_places if at < len(line.cells))
        notation.look_at_amounts(line.cells[at] for at in amount_places if at < len(line.cells))
    for line in table.lines():
        row = None
        try:
            _check_line(line, width)
            row = Row(line, columns, notation)
            yield read_row(row, context)
        except RowError as error:
            reading = row.reading if row else Reading(line.row, cells=line.cells)
            reading.says, reading.why = error.says, error.why
            yield reading


def check_columns(table: Table, needed: Iterable[str]) -> dict[str, int]:
    """The position of each column.

    Raises:
        FileRefusedError: one of ``needed`` is missing, or occurs twice.
    """
    columns, repeated = table.columns, table.repeated()
    for name in needed:
        if name not in columns:
            raise FileRefusedError(
                _(
                    "The column “%(name)s” is missing. Check that you chose the right "
                    "file and the right source.",
                    name=name,
                )
            )
        if name in repeated:
            raise FileRefusedError(
                _(
                    "The column “%(name)s” appears twice. Remove one of them and "
                    "upload the file again.",
                    name=name,
                )
            )
    return columns


def _check_line(line: Line, width: int) -> None:
    """Refuse a row with more or fewer cells than headings, since the cells may be shifted."""
    while len(line.cells) > width and not text_of(line.cells[-1]).strip():
        line.cells.pop()
    if len(line.cells) != width:
        raise RowError(Why.ROW_LENGTH)
    if any(isinstance(cell, str) and len(cell) > _LONGEST_CELL for cell in line.cells):
        raise RowError(Why.TOO_LONG)
    for place, cell in enumerate(line.cells):
        if isinstance(cell, str) and "\0" in cell:
            line.cells[place] = cell.replace("\0", "")


def give_name(reading: Reading, name: str, says: Says | None = None) -> None:
    """Set a name as typed, within the maximum length."""
    reading.name = " ".join(name.split())[:200] or None
    if says:
        reading.says = says
