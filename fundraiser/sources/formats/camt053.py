"""Bank statements in CAMT.053 (ISO 20022); only a payment's text says what it is for.

An entry may hold many payments; the payer is the debtor's account, or a number in the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from lxml import etree

from fundraiser.members.models import Interval
from fundraiser.sources.formats import File, Format, give_name
from fundraiser.sources.formats.payments import Payer
from fundraiser.sources.readings import FileRefusedError, Reading, RowError, Says, Why
from fundraiser.sources.values import in_years
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml.etree import _Element as Element

    from fundraiser.sources.readings import Context

# What payers write where the payment is for a membership.
_MEMBERSHIP = ("member", "mitglied", "adhésion", "cotisation", "członk", "член", "учасни", "socio")
_YEARLY = ("year", "annual", "jahr", "jähr", "рік", "річн", "rok", "annuel")
_NUMBER = re.compile(r"[0-9]{3,12}")
_LONGEST_TEXT = 300
_LONGEST_VALUE = 40
_DOCUMENT = b"camt.053"


@dataclass(slots=True)
class _Books:
    """The payers by key, and when the latest payment of each was returned."""

    payers: dict[str, Payer] = field(default_factory=dict)
    returned: dict[str, datetime] = field(default_factory=dict)


def _recognise(file: File) -> bool:
    file.content.seek(0)
    head = file.content.read(1 << 12)
    return _DOCUMENT in head and b"<" in head[:64]


def _entries(file: File) -> Iterator[Element]:
    """Each booked or pending entry; frees memory as it reads."""
    file.content.seek(0)
    try:
        events = etree.iterparse(
            file.content,
            events=("start", "end"),
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
        )
        is_first, entry = True, None
        for event, element in events:
            if is_first:
                is_first = False
                if element.getroottree().docinfo.doctype:
                    raise FileRefusedError(
                        _(
                            "This XML file contains definitions of its own, which no "
                            "bank’s statement does, so we didn’t read it."
                        )
                    )
            if event == "start":
                entry = element if entry is None and _name(element) == "Ntry" else entry
            elif entry is None or entry is element:
                if entry is not None:
                    yield entry
                entry = None
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
    except etree.XMLSyntaxError:
        raise FileRefusedError(
            _("This XML file is damaged or incomplete. Download the statement again and upload it.")
        ) from None


def _name(element: Element) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def _text(element: Element, *path: str) -> str:
    """The text at this path, in any version of the standard."""
    found = element.find("/".join(f"{{*}}{step}" for step in path))
    return (found.text or "").strip()[:_LONGEST_TEXT] if found is not None else ""


def _read(file: File, context: Context) -> Iterator[Reading]:
    books = _Books()
    row = 0
    for entry in _entries(file):
        details = entry.findall("{*}NtryDtls/{*}TxDtls") or [entry]
        for detail in details:
            row += 1
            reading = Reading(row)
            try:
                _read_payment(reading, entry, detail, books, context)
            except RowError as error:
                reading.says, reading.why = error.says, error.why
            if reading.why is not Why.PAID:
                yield reading
    if not row:
        raise FileRefusedError(_("This statement has no entries."))
    for key, payer in books.payers.items():
        came_back = books.returned.get(key)
        if came_back and payer.at and came_back >= payer.at:
            payer.refunded_at = came_back
        payer.reading.looks.append(Why.BY_ITS_TEXT)
        yield payer.finish(context)


def _read_payment(
    reading: Reading,
    entry: Element,
    detail: Element,
    books: _Books,
    context: Context,
) -> None:
    words = " ".join((one.text or "").strip() for one in detail.findall("{*}RmtInf/{*}Ustrd"))[
        :_LONGEST_TEXT
    ]
    name = _text(detail, "RltdPties", "Dbtr", "Pty", "Nm") or _text(
        detail, "RltdPties", "Dbtr", "Nm"
    )
    account = _text(detail, "RltdPties", "DbtrAcct", "Id", "IBAN") or _text(
        detail, "RltdPties", "DbtrAcct", "Id", "Othr", "Id"
    )
    amount, currency = _amount(detail if detail.find("{*}Amt") is not None else entry)
    reading.cells = [name, account, str(amount), currency, words]
    key = account.replace(" ", "")[:64] or _number_in(words)
    day = _day(_text(entry, "BookgDt", "Dt") or _text(entry, "BookgDt", "DtTm")[:10])
    status = _text(entry, "Sts", "Cd") or _text(entry, "Sts")
    at = context.since(day)
    is_reversal = _text(entry, "RvslInd").lower() in {"true", "1"}
    if _text(entry, "CdtDbtInd") != "CRDT":
        if key and (is_reversal or detail.find("{*}RtrInf") is not None):
            books.returned[key] = at
        reading.skip(Why.MONEY_OUT)
        return
    if status != "BOOK":
        reading.skip(Why.PENDING)
        return
    if not any(stem in words.lower() for stem in _MEMBERSHIP):
        reading.skip(Why.ONE_TIME)
        return
    if not account:
        reading.key = key
        give_name(reading, name)
        reading.set_amount(amount, currency)
        reading.started_at = at
        raise RowError(Why.NO_PAYER, Says.ASK)
    # Before anything is noted of the payer: a payment that can't be read is nobody's.
    reading.set_amount(amount, currency)
    payer = books.payers.get(key)
    if payer is None:
        payer = books.payers[key] = Payer(reading)
        reading.key = key
        give_name(reading, name or words)
    else:
        payer.reading.lines += 1
    is_yearly = any(stem in words.lower() for stem in _YEARLY)
    payer.interval = Interval.YEAR if is_yearly else Interval.MONTH
    if payer.add_payment(at, _text(detail, "Refs", "AcctSvcrRef"), is_day=True):
        payer.reading.set_amount(amount, currency)


def _amount(element: Element) -> tuple[Decimal, str]:
    found = element.find("{*}Amt")
    written = (found.text or "").strip() if found is not None else ""
    try:
        amount = Decimal(written[:_LONGEST_VALUE])
    except InvalidOperation:
        raise RowError(Why.BAD_AMOUNT) from None
    return amount, (found.get("Ccy") or "") if found is not None else ""


def _day(written: str) -> date:
    try:
        day = datetime.fromisoformat(written[:_LONGEST_VALUE]).replace(tzinfo=UTC).date()
    except ValueError:
        raise RowError(Why.NO_SUCH_DAY) from None
    return in_years(day)


def _number_in(words: str) -> str:
    found = _NUMBER.search(words)
    return f"no. {found[0]}" if found else ""


def _list_at(file: File) -> str | None:
    file.content.seek(0)
    head = file.content.read(1 << 13).decode("utf-8", "replace")
    _before, found, after = head.partition("<CreDtTm>")
    return after[: len("2026-11-30T06:00:00+02:00")].split("<")[0] if found else None


def _notes() -> list[str]:
    return [
        _(
            "A bank statement shows payments, not memberships. We read a payment as a "
            "membership if its text says so (“membership”, “Mitgliedschaft”, "
            "“членство”), monthly unless it mentions a year. Check them before you go "
            "on."
        )
    ]


FORMAT = Format(
    "camt053",
    "Bank statement (CAMT.053)",
    _recognise,
    _read,
    list_at=_list_at,
    notes=_notes,
    aliases=("camt", "camt.053", "camt-053", "bank", "bank-statement"),
)
