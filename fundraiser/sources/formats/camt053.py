"""Bank statements in CAMT.053 (ISO 20022); only a payment's text says what it is for.

An entry may hold many payments; the payer is the debtor's account. Staff decide about payments
without one, and about accounts from which people of different names pay.
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
from fundraiser.sources.tables import fold_heading
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
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_LONGEST_TEXT = 300
_LONGEST_VALUE = 40
_DOCUMENT = b"camt.053"


@dataclass(frozen=True, slots=True)
class _Return:
    """A payment that went back to its payer."""

    at: datetime
    amount: Decimal


@dataclass(slots=True)
class _Books:
    """The payers by account, and the latest return to each account.

    Several people may pay from one account: a couple, or a service that pays for its customers.
    """

    payers: dict[str, list[Payer]] = field(default_factory=dict)
    returned: dict[str, _Return] = field(default_factory=dict)

    def find_payer(self, account: str, name: str) -> Payer | None:
        """The payer of this account whose name has all words of this one, or only such words."""
        words = _words_of(name)
        for payer in self.payers.get(account, ()):
            theirs = _words_of(payer.name)
            if words <= theirs or theirs <= words:
                payer.name = payer.name or name
                return payer
        return None


def _words_of(name: str) -> set[str]:
    """The words of a name without initials, as banks abbreviate and reorder it."""
    return set(re.findall(r"\w{2,70}", name.casefold()))


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
    for account, payers in books.payers.items():
        for payer in payers:
            yield _finish(payer, account, books, context, is_alone=len(payers) == 1)


def _finish(
    payer: Payer, account: str, books: _Books, context: Context, *, is_alone: bool
) -> Reading:
    came_back = books.returned.get(account)
    is_returned = bool(came_back and payer.at and came_back.at >= payer.at)
    if came_back and is_returned:
        payer.refunded_at = came_back.at
    payer.reading.looks.append(Why.BY_ITS_TEXT)
    reading = payer.finish(context)
    if not is_alone:
        reading.key = f"{account} {fold_heading(reading.name or '')}"[:64].strip()
        return reading.ask(Why.SHARED_ACCOUNT)
    if came_back and is_returned and came_back.amount < payer.gross:
        reading.refunded_at = None
        return reading.ask(Why.PARTLY_REFUNDED)
    return reading


def _read_payment(
    reading: Reading,
    entry: Element,
    detail: Element,
    books: _Books,
    context: Context,
) -> None:
    words = _words(detail)
    is_credit = _text(entry, "CdtDbtInd") == "CRDT"
    name, account = _party(detail, "Dbtr")
    if not is_credit and not account:
        # What goes back to a payer names them as its creditor.
        name, account = _party(detail, "Cdtr")
    amount, currency = _amount(entry, detail)
    reading.cells = [name, account, str(amount), currency, words]
    at = context.since(_day_of(entry))
    is_reversal = _text(entry, "RvslInd").lower() in {"true", "1"}
    if not is_credit:
        if account and (is_reversal or detail.find("{*}RtrInf") is not None):
            books.returned[account] = _Return(at, amount)
        reading.skip(Why.MONEY_OUT)
        return
    if is_reversal:  # of something that we paid
        reading.skip(Why.NOT_A_PAYMENT)
        return
    if (_text(entry, "Sts", "Cd") or _text(entry, "Sts")) != "BOOK":
        reading.skip(Why.PENDING)
        return
    if not any(stem in words.lower() for stem in _MEMBERSHIP):
        reading.skip(Why.ONE_TIME)
        return
    # Before anything is noted of the payer: a payment that can't be read is nobody's.
    reading.set_amount(amount, currency)
    if not account:
        give_name(reading, name)
        reading.key = _key_without_account(name, words)
        reading.started_at = at
        raise RowError(Why.NO_PAYER, Says.ASK)
    payer = books.find_payer(account, name)
    if payer is None:
        payer = Payer(reading, name=name)
        books.payers.setdefault(account, []).append(payer)
        reading.key = account
        give_name(reading, name or words)
    else:
        payer.reading.lines += 1
    is_yearly = any(stem in words.lower() for stem in _YEARLY)
    payer.interval = Interval.YEAR if is_yearly else Interval.MONTH
    if payer.add_payment(at, _text(detail, "Refs", "AcctSvcrRef"), is_day=True):
        payer.gross = amount
        payer.reading.set_amount(amount, currency)


def _words(detail: Element) -> str:
    """What the payer wrote, free or structured."""
    found = [
        *detail.findall("{*}RmtInf/{*}Ustrd"),
        *detail.findall("{*}RmtInf/{*}Strd/{*}AddtlRmtInf"),
        *detail.findall("{*}RmtInf/{*}Strd/{*}CdtrRefInf/{*}Ref"),
    ]
    return " ".join((one.text or "").strip() for one in found)[:_LONGEST_TEXT]


def _party(detail: Element, role: str) -> tuple[str, str]:
    """The name and the account of a payment's debtor or creditor, empty if not given."""
    name = next(
        filter(
            None,
            (
                _text(detail, "RltdPties", *path, "Nm")
                for one in (f"Ultmt{role}", role)
                for path in ((one, "Pty"), (one,))
            ),
        ),
        "",
    )
    account = _text(detail, "RltdPties", f"{role}Acct", "Id", "IBAN") or _text(
        detail, "RltdPties", f"{role}Acct", "Id", "Othr", "Id"
    )
    return name, "".join(account.split()).upper()[:64]


def _key_without_account(name: str, words: str) -> str | None:
    """A name with the number in the text; None if there aren't both: it may be anybody."""
    number = next((one for one in _NUMBER.findall(words) if not _YEAR.fullmatch(one)), "")
    return f"no. {number} {fold_heading(name)}"[:64].strip() if number else None


def _day_of(entry: Element) -> date:
    """The day on which an entry was booked, otherwise its value date."""
    for name in ("BookgDt", "ValDt"):
        if written := _text(entry, name, "Dt") or _text(entry, name, "DtTm")[:10]:
            return _day(written)
    raise RowError(Why.NO_SUCH_DAY)


def _amount(entry: Element, detail: Element) -> tuple[Decimal, str]:
    """A payment's amount and currency; the entry's only if it holds no other payment.

    Raises:
        RowError: it is none, or the bank gives only the sum of several payments.
    """
    found = detail.find("{*}Amt")
    if found is None:
        found = detail.find("{*}AmtDtls/{*}TxAmt/{*}Amt")
    if found is None:
        if len(entry.findall("{*}NtryDtls/{*}TxDtls")) > 1:
            raise RowError(Why.NO_AMOUNT)
        found = entry.find("{*}Amt")
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
