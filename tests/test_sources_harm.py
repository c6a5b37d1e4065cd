"""Files that are made to do harm: bombs, and values that no column, clock or spreadsheet holds."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import tracemalloc
import zipfile
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from fundraiser.sources.formats import File, recognise
from fundraiser.sources.models import ImportBatch, ImportRow
from fundraiser.sources.readings import FileRefusedError, Options
from fundraiser.sources.refusals import stream_refused
from fundraiser.sources.tables import open_table
from tests.sources import EXAMPLES, plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.db import Database

OOXML = "http://schemas.openxmlformats.org"
MAIN = f"{OOXML}/spreadsheetml/2006/main"
WORDS = [
    *("", "0", "-1", "9" * 30, "1e309", "NaN", "Infinity", "-0", "1e-400", "true", "=1+1"),
    *("0001-01-01", "9999-12-31", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
    *("2026-02-30", "2299-12-31", "1900-01-01", "99999", "20000", "31.12.9999", "\u2028"),
    *("e\u0301", "a@" + "b" * 300, "x" * 40_000, "BOOK", "CRDT", "active", "\u202eevil"),
]
VALUES: list[Any] = [
    *WORDS,
    *(None, True, 0, -1, 10**30, 10**18, 1.5, [], [[]], {}, {"id": 1}, "\ud800", "a\0b"),
]


def workbook(
    rows: bytes, *more: tuple[str, bytes], sheet: str = "xl/worksheets/sheet1.xml"
) -> bytes:
    """A workbook of one sheet with these rows, and these files beside it."""
    relation = f"{OOXML}/officeDocument/2006/relationships"
    link = f'<Relationships xmlns="{OOXML}/package/2006/relationships"><Relationship Id="r1" '
    end = "</Relationships>"
    sheets = '<sheets><sheet name="People" sheetId="1" r:id="r1"/></sheets>'
    files = [
        ("[Content_Types].xml", f'<Types xmlns="{OOXML}/package/2006/content-types"/>'),
        ("_rels/.rels", f'{link}Type="{relation}/officeDocument" Target="xl/workbook.xml"/>{end}'),
        (
            "xl/_rels/workbook.xml.rels",
            f'{link}Type="{relation}/worksheet" Target="{sheet.removeprefix("xl/")}"/>{end}',
        ),
        ("xl/workbook.xml", f'<workbook xmlns="{MAIN}" xmlns:r="{relation}">{sheets}</workbook>'),
        (sheet, f'<worksheet xmlns="{MAIN}"><sheetData>{rows.decode()}</sheetData></worksheet>'),
    ]
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
        for name, raw in more:
            archive.writestr(name, raw)
    return whole.getvalue()


def cell(where: str, text: str) -> bytes:
    return f'<c r="{where}" t="inlineStr"><is><t>{text}</t></is></c>'.encode()


HEADINGS = b'<row r="1">' + cell("A1", "E-mail") + cell("B1", "Paid until") + b"</row>"


def test_a_workbook_is_read_with_its_hidden_rows() -> None:
    hidden = b'<row r="2" hidden="1">' + cell("A2", "olena@example.org") + b"</row>"
    content = workbook(HEADINGS + hidden, ("xl/drawings/vmlDrawing1.vml", b"<xml><br></xml>"))
    table = open_table(io.BytesIO(content), Options())
    assert (table.headings, table.hidden_rows) == (["E-mail", "Paid until"], 1)


@pytest.mark.parametrize(
    "content",
    [
        workbook(HEADINGS + b"<row>" + cell("XFD1048576", "x") + b"</row>"),
        workbook(HEADINGS + b'<row r="1048576">' + cell("Z1048576", "x") + b"</row>"),
        workbook(HEADINGS + b"<row>" + cell("XFD1048576", "x") + b"</row>", sheet="xl/a.dat"),
        workbook(HEADINGS + b"<row>" + b"<c/>" * 600_000 + b"</row>" + b"<row/>" * 9),
        workbook(HEADINGS, ("xl/sharedStrings.xml", b"<sst>" + b"<si/>" * 10_000_001 + b"</sst>")),
        workbook(HEADINGS + b'<row r="99999999">' + cell("A1", "x") + b"</row>"),
        workbook(HEADINGS + b"<row>" + cell("A99999999999999999999", "x") + b"</row>"),
        workbook(HEADINGS + b"<row>"),
    ],
    ids=["far", "low", "named", "wide", "strings", "row", "cell", "broken"],
)
def test_a_workbook_that_would_fill_the_memory_is_refused_before_it_is_read(content: bytes) -> None:
    """Some of a few kilobytes would be billions of cells: who reads them ends the process."""
    assert len(content) < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(FileRefusedError, match="workbook"):
            open_table(io.BytesIO(content), Options())
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_a_file_is_opened_once_however_many_formats_look_at_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = []

    def refuse(*_: object) -> None:
        opened.append(1)
        raise FileRefusedError("It is too large.")

    monkeypatch.setattr("fundraiser.sources.formats.open_table", refuse)
    assert recognise(File(io.BytesIO(b"PK\x03\x04"), "a.xlsx", Options())) is None
    assert len(opened) == 1


def test_of_a_statement_only_its_entries_are_kept_in_memory() -> None:
    from fundraiser.sources.formats.camt053 import _entries

    content = b"<Document><!-- camt.053 -->" + b"<a><b/></a>" * 300_000 + b"<Ntry/></Document>"
    last = None
    for entry in _entries(File(io.BytesIO(content), "a.xml", Options())):
        last = entry
        parent = entry.getparent()
        assert parent is not None
        assert len(parent) < 3, "what stood before it is gone"
    assert last is not None


@pytest.mark.parametrize(
    "encoding", ["zip", "punycode", "idna", "rot13", "undefined", "unicode_escape"]
)
def test_what_is_no_alphabet_is_no_encoding(encoding: str) -> None:
    with pytest.raises(FileRefusedError, match="encoding"):
        open_table(io.BytesIO(b"E-mail,Paid until\n"), Options(encoding=encoding))


@pytest.mark.parametrize(
    "day", ["0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", "1066-10-14", "9999-12-31", "soon"]
)
def test_a_day_that_no_calendar_of_ours_has_is_no_day_of_a_list(
    database: Database, day: str
) -> None:
    with pytest.raises(FileRefusedError, match=re.escape(day[:10]) + "|to come"):
        plan(database, b"E-mail,Paid until\n", "a.csv", Options(as_of=day))


def csv_with(content: bytes, choice: random.Random) -> bytes:
    """The file, but for three cells."""
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    for _ in range(3):
        row = choice.choice(rows[1:])
        if row:
            row[choice.randrange(len(row))] = choice.choice(WORDS)
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()


def json_with(content: bytes, choice: random.Random) -> bytes:
    """The document, but for three of its values, at any depth."""
    document = json.loads(content)
    for _ in range(3):
        places = list(_places(document))
        holder, key = choice.choice(places)
        holder[key] = choice.choice(VALUES)
    return json.dumps(document).encode()


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in list(keys):
        yield node, key
        yield from _places(node[key])


def xml_with(content: bytes, choice: random.Random) -> bytes:
    """The document, but for three of its texts."""
    texts = re.split(r"(?<=>)([^<>]+)(?=<)", content.decode())
    for _ in range(3):
        at = choice.randrange(1, len(texts), 2)
        texts[at] = choice.choice(WORDS) if texts[at].strip() else texts[at]
    return "".join(texts).encode()


MUTATIONS = {".csv": csv_with, ".json": json_with, ".xml": xml_with}


@pytest.mark.parametrize(
    "name",
    [
        *("camt053.xml", "ghost.csv", "ghost_admin_api_members.json", "list_ua_utf8_bom.csv"),
        *("patreon.csv", "patreon_api_members.json", "paypal.csv", "steady.csv"),
        "substack_subscribers.csv",
    ],
)
def test_whatever_stands_in_a_known_file_it_is_planned_or_refused(
    database: Database, name: str
) -> None:
    """And what was kept of it can be read again."""
    choice = random.Random(name)  # noqa: S311 - no secret
    content = (EXAMPLES / name).read_bytes()
    mutate = MUTATIONS[name[name.rindex(".") :]]
    for _ in range(40):
        with suppress(FileRefusedError):
            plan(database, mutate(content, choice), name)
    with database.transaction() as session:
        assert session.scalars(select(ImportRow)).all()
        assert session.scalars(select(ImportBatch)).all()


def test_no_refused_cell_is_taken_for_a_formula_and_a_number_stays_one(database: Database) -> None:
    cells = ["\n=1+1", "＋1+1", '=HYPERLINK("x")', "+380 44 1", "-5.00", "+380441", "plain"]  # noqa: RUF001 - a wide form
    written = io.StringIO()
    csv.writer(written).writerows([["E-mail", "Paid until", *"ABCDEFG"], ["bad", "", *cells]])
    batch_id = plan(database, written.getvalue().encode(), "a.csv")
    with database.transaction() as session:
        batch = session.get_one(ImportBatch, batch_id)
        file = "".join(stream_refused(nullcontext(session), batch))
    row = list(csv.reader(io.StringIO(file)))[1]
    assert row[2:9] == [*(f"'{cell}" for cell in cells[:4]), *cells[4:]]
