"""How a file is read: five sample rows and the options that staff can change."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from fundraiser.sources.formats import File, formats
from fundraiser.sources.formats.table import FIELDS, mapped_columns
from fundraiser.sources.readings import FileRefusedError, Options
from fundraiser.sources.tables import preview
from fundraiser.sources.values import text_of
from fundraiser.texts import gettext as _, language

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.datastructures import MultiDict

    from fundraiser.sources.models import ImportBatch

_WIDEST = 60  # characters that are shown of a cell
_LONGEST = 100
_MOST_KEPT = 32  # files, of whose rows five are kept
ENCODINGS = ("utf-8", "utf-16", "cp1251", "cp1252", "cp1250", "koi8_u", "cp866", "iso8859_2")
DELIMITERS = {",": ",", ";": ";", "tab": "\t", "|": "|"}


@dataclass(frozen=True, slots=True)
class ReadingPage:
    """The file as read now, and the options; ``error`` if it can't be read."""

    options: Options
    headings: list[str]
    rows: list[list[str]]
    encoding: str
    delimiter: str
    sheets: list[str]
    mapping: dict[str, str]
    fields: list[tuple[str, str]]
    is_table: bool
    asks_for_prices: bool = False
    asks_for_end: bool = False
    error: str | None = None


# Parsing a large workbook takes seconds, and staff look at its page again and again.
_kept: dict[tuple[str, ...], ReadingPage] = {}
_keeping = Lock()


def page_of_options(batch: ImportBatch, load: Callable[[], bytes]) -> ReadingPage:
    """Five rows of the file, and how we read them; parsed once for each way of reading it.

    ``load`` gets the file's bytes, if they are needed.
    """
    options = json.dumps(batch.options, sort_keys=True)
    key = (batch.hash, batch.file_name, batch.format, options, language())
    page = _kept.get(key)
    if page is None:
        page = _read(batch, load())
        with _keeping:
            while len(_kept) >= _MOST_KEPT:
                del _kept[next(iter(_kept))]
            _kept[key] = page
    return page


def _read(batch: ImportBatch, content: bytes) -> ReadingPage:
    options = Options.from_json(batch.options)
    form = formats()[batch.format]
    file = File(io.BytesIO(content), batch.file_name, options)
    fields = field_labels() if form.is_mapped else []
    if content[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"{", b"[")):
        return ReadingPage(options, [], [], "", "", [], {}, fields, is_table=False)
    try:
        table = file.table()
        mapping = mapped_columns(file) if form.is_mapped else {}
        rows = [[text_of(cell)[:_WIDEST] for cell in line.cells] for line in preview(table)]
    except FileRefusedError as error:
        return ReadingPage(
            options,
            [],
            [],
            options.encoding or "",
            "",
            [],
            {},
            fields,
            is_table=True,
            asks_for_end=form.may_lack_dates,
            error=str(error),
        )
    return ReadingPage(
        options,
        table.headings,
        rows,
        table.encoding,
        next((name for name, sign in DELIMITERS.items() if sign == table.delimiter), ""),
        [table.sheet, *table.other_sheets] if table.sheet else [],
        mapping,
        fields,
        is_table=True,
        asks_for_prices=form.lacks_amounts(file),
        asks_for_end=form.may_lack_dates,
    )


def field_labels() -> list[tuple[str, str]]:
    """Our fields with their labels."""
    words = {
        "email": _("E-mail address"),
        "name": _("Name"),
        "first_name": _("First name"),
        "last_name": _("Last name"),
        "amount": _("Amount"),
        "currency": _("Currency"),
        "interval": _("How often"),
        "until": _("Paid until"),
        "ends": _("Ends on"),
        "paid": _("Latest payment"),
        "started": _("Member since"),
        "key": _("Membership ID"),
        "card": _("Last four digits of the card"),
        "status": _("Status"),
    }
    return [(name, words[name]) for name in FIELDS]


def read_options(options: Options, typed: MultiDict[str, str]) -> Options:
    """Parse the options; an empty one means automatic."""
    columns = {
        name: typed[f"column-{name}"][:_LONGEST]
        for name in FIELDS
        if typed.get(f"column-{name}", "").strip()
    }
    return Options(
        encoding=typed.get("encoding", "")[:_LONGEST] or None,
        delimiter=DELIMITERS.get(typed.get("delimiter", "")),
        date_order=typed.get("date_order") if typed.get("date_order") in {"dmy", "mdy"} else None,
        decimal=typed.get("decimal") if typed.get("decimal") in {".", ","} else None,
        sheet=typed.get("sheet", "")[:_LONGEST] or None,
        columns=columns or options.columns,
        as_of=typed.get("as_of", "").strip()[:_LONGEST] or options.as_of,
        currency=typed.get("currency", "").strip().upper()[:3] or None,
        annual="month" if typed.get("annual") == "month" else "year",
        paid_until=typed.get("paid_until", "").strip()[:_LONGEST] or None,
        prices={
            name: typed[f"price-{name}"].strip()[:_LONGEST]
            for name in ("month", "year")
            if typed.get(f"price-{name}", "").strip()
        },
        whole_list=typed.get("whole_list") == "yes",
    )
