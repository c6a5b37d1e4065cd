"""Read CSV and XLSX files into rows; detects encoding, delimiter and sheet."""

from __future__ import annotations

import codecs
import csv
import io
import re
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from typing import IO, TYPE_CHECKING, BinaryIO

from charset_normalizer import from_bytes
from lxml import etree
from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum

from fundraiser.sources.readings import FileRefusedError, Options
from fundraiser.sources.values import Cell, text_of
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from _csv import Reader
    from collections.abc import Iterator, Mapping, Sequence

_DELIMITERS = ";,\t|"
_PIECE = 1 << 20  # bytes
_SAMPLE = 1 << 16  # bytes by which an encoding is recognised
_LONGEST_CELL = 1 << 15  # characters; what a spreadsheet holds in one
_MOST_COLUMNS = 500
_MOST_HEADINGS = 20  # rows among which the headings are looked for
_MOST_UNPACKED = 200 << 20  # bytes of a workbook
_MOST_ENTRIES = 500  # files inside it
_MOST_CELLS = 3_000_000  # of a sheet, the empty ones too: a reader makes room for each
_MOST_ELEMENTS = 10_000_000  # of an XML file inside it
_CELL = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7})")
_ROW = re.compile(r"[0-9]{1,7}")
# Those in which lists of people come; guessed among all that there are, a short one may be Chinese.
_CYRILLIC = ["cp1251", "koi8_u", "koi8_r", "cp866", "mac_cyrillic", "iso8859_5"]
_LATIN = ["cp1252", "cp1250", "iso8859_2", "iso8859_15", "mac_roman", "cp1254", "cp1257"]
_ASCII = 0x80
_UNICODE = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]
_ENCODINGS = {
    codecs.lookup(name).name for name in (*_UNICODE, *_CYRILLIC, *_LATIN, "latin-1", "ascii")
}
_ZIP = b"PK\x03\x04"
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True, slots=True)
class Line:
    """A row: its number, its cells, and the line of text on which it ends."""

    row: int
    cells: list[Cell]
    line: int
    is_hidden: bool = False


@dataclass(slots=True)
class Table:
    """A file's headings and rows, read lazily.

    ``encoding``, ``delimiter`` and ``sheet`` are detected or given; ``other_sheets`` and
    ``hidden_rows`` are hints for staff.
    """

    headings: list[str]
    file: BinaryIO
    encoding: str = ""
    delimiter: str = ""
    sheet: str = ""
    other_sheets: list[str] = field(default_factory=list)
    hidden_rows: int = 0
    first_row: int = 1
    _sheet_rows: list[list[Cell]] = field(default_factory=list)
    _hidden: frozenset[int] = frozenset()

    def lines(self) -> Iterator[Line]:
        """The rows below the headings, without empty ones."""
        if self.encoding:
            yield from self._lines_of_text()
        else:
            for place, cells in enumerate(self._sheet_rows):
                row = self.first_row + place
                if any(text_of(cell).strip() for cell in cells):
                    yield Line(row, list(cells), row, row in self._hidden)

    def _lines_of_text(self) -> Iterator[Line]:
        reader = _csv_reader(self.file, self.encoding, self.delimiter)
        next(reader, None)
        row = 0
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    row += 1
                    yield Line(row, list(cells), reader.line_num)
        except csv.Error:
            raise FileRefusedError(
                _(
                    "A cell that starts before line %(line)s doesn’t end, or is "
                    "longer than any spreadsheet allows. Check the quotation marks "
                    "there and upload the file again.",
                    line=reader.line_num + 1,
                )
            ) from None

    @property
    def columns(self) -> dict[str, int]:
        """Each heading's position, by its normalised text.

        Raises:
            FileRefusedError: a heading occurs twice, so its column is ambiguous.
        """
        folded = [fold_heading(heading) for heading in self.headings]
        return {heading: place for place, heading in enumerate(folded) if heading}

    def repeated(self) -> set[str]:
        """Normalised headings that occur more than once."""
        counts = Counter(fold_heading(heading) for heading in self.headings)
        return {heading for heading, count in counts.items() if heading and count > 1}


def fold_heading(heading: str) -> str:
    """Normalise a heading: case, apostrophes and spaces."""
    plain = heading.replace("\ufeff", "").replace("’", "'").replace("`", "'").replace("_", " ")
    return " ".join(plain.split()).casefold()


def is_workbook(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(4) == _ZIP


def open_table(file: BinaryIO, options: Options) -> Table:
    """Read a file's headings and notation.

    Raises:
        FileRefusedError: it is unreadable.
    """
    file.seek(0)
    head = file.read(4)
    if not head:
        raise FileRefusedError(_("This file is empty. Export it again and upload that."))
    if head == _ZIP:
        return _open_workbook(file, options)
    if head == _OLD_EXCEL:
        raise FileRefusedError(
            _("This is an old Excel file (.xls). Save it as .xlsx or .csv and upload that.")
        )
    encoding = options.encoding or recognise_encoding(file)
    first = _first_line(file, encoding)
    told = _told_delimiter(first)
    delimiter = options.delimiter or told or _recognise_delimiter(first)
    table = Table([], file, encoding=_checked(encoding), delimiter=delimiter)
    try:
        table.headings = next(_csv_reader(file, encoding, delimiter), [])
    except csv.Error:
        table.headings = []
    if not any(heading.strip() for heading in table.headings) or "\0" in first:
        raise FileRefusedError(
            _(
                "We can’t find any column headings in this file. Upload a CSV or XLSX "
                "file with headings."
            )
        )
    _check_width(table.headings)
    return table


def _check_width(headings: Sequence[str]) -> None:
    if sum(bool(heading) for heading in headings) > _MOST_COLUMNS:
        raise FileRefusedError(
            _(
                "This file has more than %(most)s columns. Upload one with fewer.",
                most=_MOST_COLUMNS,
            )
        )


def recognise_encoding(file: BinaryIO) -> str:
    """UTF-8 if all of it is valid, otherwise the most likely code page.

    Raises:
        FileRefusedError: it starts as UTF-8 and isn't, so either reading may be wrong.
    """
    file.seek(0)
    start = file.read(4)
    if start[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        return "utf-16"
    is_marked = start.startswith(codecs.BOM_UTF8)
    if _is_utf8(file):
        return "utf-8-sig"
    sample = _telling_lines(file)
    guess = _guess(sample)
    if is_marked:
        line = sample[: sample.find(b"\n") if b"\n" in sample else 200]
        raise FileRefusedError(
            _(
                "This file is marked as UTF-8, but it isn’t: it reads “%(one)s” as "
                "UTF-8, and “%(other)s” as %(encoding)s. Save it again as CSV UTF-8, "
                "or choose the encoding.",
                one=line.decode("utf-8", "replace")[:60],
                other=line.decode(guess, "replace")[:60],
                encoding=guess,
            )
        )
    return guess


def _is_utf8(file: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    try:
        while piece := file.read(_PIECE):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _telling_lines(file: BinaryIO) -> bytes:
    """The lines with non-ASCII letters, from which to detect an encoding."""
    file.seek(0)
    sample = bytearray()
    while len(sample) < _SAMPLE and (line := file.readline(_SAMPLE)):
        if not line.isascii():
            sample += line.removeprefix(codecs.BOM_UTF8)
    return bytes(sample)


def _guess(sample: bytes) -> str:
    """The code page in which these letters form plausible words.

    In Cyrillic, whole words are non-ASCII; in Latin alphabets, single letters.
    """
    beyond = [sign >= _ASCII for sign in sample]
    together = sum(one and two for one, two in pairwise(beyond))
    pages = _CYRILLIC if together * 2 > sum(beyond) else _LATIN
    best = from_bytes(sample, cp_isolation=pages).best()
    return best.encoding if best else pages[0]


def _checked(encoding: str) -> str:
    """The codec's own name; refuses codecs for non-text, such as ZIP and Punycode."""
    try:
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        name = ""
    if name not in _ENCODINGS:
        raise FileRefusedError(
            _("We don’t know the encoding “%(encoding)s”.", encoding=encoding[:40])
        )
    return name


def _open_text(file: BinaryIO, encoding: str) -> io.TextIOWrapper:
    file.seek(0)
    return io.TextIOWrapper(
        _Unclosed(file), encoding=_checked(encoding), errors="strict", newline=""
    )


class _Unclosed(io.BufferedIOBase):
    """A file that stays open when a text wrapper is done with it."""

    name = ""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return self._file.read(-1 if size is None else size)

    def read1(self, size: int = -1, /) -> bytes:
        return self._file.read(_PIECE if size is None or size < 0 else size)


def _first_line(file: BinaryIO, encoding: str) -> str:
    try:
        return _open_text(file, encoding).readline(_SAMPLE)
    except UnicodeError:
        raise _wrong_encoding(encoding) from None


def _wrong_encoding(encoding: str) -> FileRefusedError:
    return FileRefusedError(
        _(
            "We can’t read this file as %(encoding)s. Choose another encoding, or "
            "save it as CSV UTF-8.",
            encoding=encoding,
        )
    )


def _told_delimiter(first: str) -> str | None:
    """The delimiter from Excel's own first line ("sep=;")."""
    words = first.lstrip("\ufeff").strip().strip('"')
    is_told = words.lower().startswith("sep=") and len(words) == len("sep=;")
    return words[-1] if is_told else None


def _recognise_delimiter(first: str) -> str:
    """The most frequent delimiter of the first line, outside quotation marks."""
    outside = "".join(first.split('"')[::2])
    found = max(_DELIMITERS, key=outside.count)
    return found if outside.count(found) else ","


def _csv_reader(file: BinaryIO, encoding: str, delimiter: str) -> Reader:
    """A reader that starts at the headings."""
    text = _decoded(_open_text(file, encoding), encoding)
    first = next(text, "")
    lines = text if _told_delimiter(first) else chain([first.lstrip("\ufeff")], text)
    return csv.reader(lines, delimiter=delimiter)


def _decoded(text: io.TextIOWrapper, encoding: str) -> Iterator[str]:
    try:
        while line := text.readline(_PIECE):
            yield line
    except UnicodeError:
        raise _wrong_encoding(encoding) from None


def _open_workbook(file: BinaryIO, options: Options) -> Table:
    hidden = _check_workbook(file)
    file.seek(0)
    try:
        workbook = CalamineWorkbook.from_filelike(file)
        names = [
            sheet.name for sheet in workbook.sheets_metadata if sheet.typ is SheetTypeEnum.WorkSheet
        ]
        name = options.sheet or (names[0] if names else "")
        if name not in names:
            raise FileRefusedError(_("This workbook has no sheet “%(name)s”.", name=name[:60]))
        rows = workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
    except CalamineError:
        raise FileRefusedError(
            _("We can’t read this workbook. Save it as CSV UTF-8 and upload that.")
        ) from None
    place = _find_headings(rows)
    table = Table([text_of(cell).strip() for cell in rows[place]], file, sheet=name)
    _check_width(table.headings)
    table.other_sheets = [other for other in names if other != name]
    table.first_row = place + 2
    table._sheet_rows = [list(row) for row in rows[place + 1 :]]  # noqa: SLF001 - its own maker
    table._hidden = hidden.get(names.index(name), frozenset())  # noqa: SLF001
    table.hidden_rows = sum(row >= table.first_row for row in table._hidden)  # noqa: SLF001
    return table


def _find_headings(rows: Sequence[Sequence[Cell]]) -> int:
    """The row with the most words among the first twenty; a title has only one."""

    def words(row: Sequence[Cell]) -> int:
        return sum(isinstance(cell, str) and bool(cell.strip()) for cell in row)

    first = rows[:_MOST_HEADINGS]
    if not any(words(row) for row in first):
        raise FileRefusedError(
            _(
                "We can’t find any column headings in this file. Upload a CSV or XLSX "
                "file with headings."
            )
        )
    # Headings are words only; a row under them has an address.
    plain = [
        place
        for place, row in enumerate(first)
        if words(row) > 1 and not any("@" in text_of(cell) for cell in row)
    ]
    return plain[0] if plain else max(range(len(first)), key=lambda place: words(first[place]))


def _check_workbook(file: BinaryIO) -> dict[int, frozenset[int]]:
    """Unpack the workbook in pieces to check its real size; returns the hidden rows.

    An archive may lie about its sizes, and a cell in a sheet's last corner makes seventeen billion
    cells for the reader: both show in what comes out of it.
    """
    sheets: dict[str, frozenset[int]] = {}
    left = _MOST_UNPACKED
    try:
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_ENTRIES or sum(one.file_size for one in entries) > left:
                raise _too_large()
            if "xl/workbook.xml" not in archive.namelist():
                raise FileRefusedError(
                    _("This is a ZIP file, not a workbook. Upload the CSV or XLSX file inside it.")
                )
            for entry in entries:
                with archive.open(entry) as packed:
                    extent = _Extent()
                    left -= _unpack(packed, left, extent, is_strict=not _is_drawing(entry.filename))
                if entry.filename.startswith("xl/worksheets/sheet"):
                    sheets[entry.filename] = frozenset(extent.hidden)
    except (
        *(zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError),
        *(zlib.error, etree.XMLSyntaxError),
    ):
        raise FileRefusedError(
            _("This workbook is damaged or locked. Save it as CSV UTF-8 and upload that.")
        ) from None
    in_order = sorted(sheets, key=lambda name: (len(name), name))
    return {place: sheets[name] for place, name in enumerate(in_order)}


def _unpack(packed: IO[bytes], most: int, extent: _Extent, *, is_strict: bool) -> int:
    """Read an archive's entry, and measure it if it is XML; returns its bytes."""
    size, parser = 0, None
    while piece := packed.read(_PIECE):
        if not size and piece.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            parser = etree.XMLParser(
                target=extent,  # type: ignore[arg-type]  # it needs two of a target's methods
                resolve_entities=False,
                no_network=True,
            )
        size += len(piece)
        if size > most:
            raise _too_large()
        if parser is not None:
            try:
                parser.feed(piece)
            except etree.XMLSyntaxError:
                if is_strict:
                    raise
                parser = None
    if parser is not None and is_strict:
        parser.close()
    return size


def _is_drawing(name: str) -> bool:
    """Whether it is a drawing, which Excel writes in looser XML."""
    return name.lower().endswith(".vml")


class _Extent:
    """An lxml target that finds how far a sheet's cells reach, and its hidden rows."""

    def __init__(self) -> None:
        self.hidden: set[int] = set()
        self._rows = self._columns = self._elements = self._in_row = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._elements += 1
        name = tag.rpartition("}")[2]
        if name == "c":
            self._in_row += 1
            found = _CELL.fullmatch(attributes.get("r", ""))
            if found:
                self._rows = max(self._rows, int(found[2]))
                self._columns = max(self._columns, _column_number(found[1]))
            elif "r" in attributes:
                raise ValueError(tag)
            self._columns = max(self._columns, self._in_row)
        elif name == "row":
            self._in_row = 0
            number = attributes.get("r", str(self._rows + 1))
            if not _ROW.fullmatch(number):
                raise ValueError(tag)
            self._rows = max(self._rows, int(number))
            if attributes.get("hidden") in {"1", "true"}:
                self.hidden.add(int(number))
        if self._elements > _MOST_ELEMENTS or self._rows * self._columns > _MOST_CELLS:
            raise _too_large()

    def close(self) -> None:
        """Called at the end of the document."""


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _too_large() -> FileRefusedError:
    return FileRefusedError(
        _("This workbook is too large once unpacked. Save it as CSV UTF-8 and upload that.")
    )


def preview(table: Table, most: int = 5) -> list[Line]:
    """The first rows, to show how we read the file."""
    return list(islice(table.lines(), most))
