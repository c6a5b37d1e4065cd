"""PayPal's activity report: one row a transaction; the subscription's reference (I-…) is the payer.

Headings, words and numbers are in the account's language.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

from fundraiser.sources.formats import File, Format, Row, check_columns, give_name, read_rows
from fundraiser.sources.formats.payments import Payer
from fundraiser.sources.readings import FileRefusedError, Reading, RowError, Says, Why
from fundraiser.sources.tables import fold_heading
from fundraiser.sources.values import read_interval
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.sources.readings import Context

# Our name of a column, and PayPal's in some languages.
_COLUMNS = {
    "date": ("date", "datum", "fecha", "data", "дата"),
    "time": ("time", "uhrzeit", "heure", "hora", "tijd", "ora", "godzina", "время", "час"),
    "zone": ("timezone", "time zone", "zeitzone", "fuseau horaire", "zona horaria"),
    "name": ("name", "nom", "nombre", "naam", "nome", "nazwa", "имя", "назва"),
    "type": ("type", "typ", "beschreibung", "tipo", "omschrijving", "description", "тип"),
    "status": ("status", "état", "estado", "stato", "состояние", "статус"),
    "currency": ("currency", "währung", "devise", "divisa", "valuta", "waluta", "валюта"),
    "gross": ("gross", "brutto", "avant commission", "bruto", "lordo", "сумма брутто"),
    "from": (
        *("from email address", "absender e-mail-adresse", "von e-mail-adresse"),
        *("de l'adresse email", "correo electrónico del remitente", "van e-mailadres"),
    ),
    "id": (
        *("transaction id", "transaktionscode", "numéro de transaction", "id. de transacción"),
        *("transactiereferentie", "codice transazione"),
    ),
    "reference": (
        *("reference txn id", "zugehöriger transaktionscode", "txn-referenzcode"),
        *("numéro de la transaction de référence", "id. de referencia de trans."),
        *("referentie txn-id", "riferimento id transazione"),
    ),
    "title": ("item title", "artikelbezeichnung", "titre de l'objet", "título del artículo"),
}
# A monthly statement has no status: only what is completed is in it.
_NEEDED = ("date", "currency", "gross", "id", "reference")
_DONE = {
    *("completed", "abgeschlossen", "effectué", "terminé", "completado", "completato"),
    *("voltooid", "zakończono", "завершено", "выполнено", "concluído"),
}
_WAITING = {"pending", "ausstehend", "en attente", "pendiente", "in sospeso", "in behandeling"}
_ZONES = {
    **dict.fromkeys(("PST", "AKDT"), -8),
    **dict.fromkeys(("PDT", "MST"), -7),
    **dict.fromkeys(("MDT", "CST"), -6),
    **dict.fromkeys(("CDT", "EST"), -5),
    "EDT": -4,
    "BST": 1,
    "CET": 1,
    "CEST": 2,
    "MEZ": 1,
    "MESZ": 2,
    "EET": 2,
    "EEST": 3,
}


@dataclass(slots=True)
class _Refund:
    at: datetime
    total: Decimal = Decimal(0)


def _names(columns: dict[str, int]) -> dict[str, str]:
    """Our column names and the file's."""
    found = {}
    for ours, theirs in _COLUMNS.items():
        for heading in theirs:
            if fold_heading(heading) in columns:
                found[ours] = fold_heading(heading)
                break
    return found


def _recognise(file: File) -> bool:
    try:
        names = _names(file.table().columns)
    except FileRefusedError:
        return False
    # Lists of other shops' payments may have these columns too, without either of those.
    return all(name in names for name in _NEEDED) and ("status" in names or "zone" in names)


def _read(file: File, context: Context) -> Iterator[Reading]:
    table = file.table()
    names = _names(table.columns)
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        # Says it in PayPal's own English words.
        check_columns(table, [_COLUMNS[missing[0]][0]])
    payers: dict[str, Payer] = {}
    refunds: dict[str, _Refund] = {}

    def read_row(row: Row, context: Context) -> Reading:
        return _read_row(row, context, names, payers, refunds)

    needed = [names[name] for name in _NEEDED if name in names]
    for reading in read_rows(
        table, context, read_row, needed=needed, days=[names["date"]], amounts=[names["gross"]]
    ):
        # A payer's own rows come at the end, as one.
        if reading.why is not Why.PAID:
            yield reading
    for payer in payers.values():
        refund = refunds.get(payer.reference)
        if refund and refund.total >= payer.gross:
            payer.refunded_at = refund.at
        yield payer.finish(context)


def _read_row(
    row: Row,
    context: Context,
    names: dict[str, str],
    payers: dict[str, Payer],
    refunds: dict[str, _Refund],
) -> Reading:
    def text(name: str) -> str:
        return row.text(names.get(name, name))

    reading = row.reading
    gross = row.notation.read_amount(row.cell(names["gross"])) or Decimal(0)
    reference = text("reference")[:64]
    status = text("status").lower() if "status" in names else "completed"
    if gross <= 0:
        # A conversion of the currency has nobody's name, and gives nothing back.
        if reference and status in _DONE and text("name"):
            refund = refunds.setdefault(reference, _Refund(_moment(row, names, context)))
            refund.total -= gross
        return reading.skip(Why.MONEY_OUT)
    if not reference.startswith("I-"):
        is_conversion = bool(reference) and not text("from")
        return reading.skip(Why.NOT_A_PAYMENT if is_conversion else Why.ONE_TIME)
    at = _moment(row, names, context)
    reading.set_email(text("from"))
    # Before anything is noted of the payer: a row that is refused is nobody's payment.
    reading.set_amount(gross, text("currency"))
    payer = payers.get(reference)
    if payer is None:
        payer = payers[reference] = Payer(reading)
        reading.key = reference
        give_name(reading, text("name"))
    else:
        payer.reading.lines += 1
    if found := read_interval(text("title")):
        payer.interval = found[0]
    if status in _WAITING:
        payer.pending = True
    if status in _DONE and payer.add_payment(at, text("id")[:64]):
        payer.gross = gross
        payer.reading.set_amount(gross, text("currency"))
        payer.reading.email, payer.reading.address = reading.email, reading.address
    return reading


def _moment(row: Row, names: dict[str, str], context: Context) -> datetime:
    day = row.day(names["date"])
    if day is None:
        raise RowError(Why.NO_DAY, Says.REFUSED)
    if isinstance(day, datetime):
        return context.since(day)
    clock = row.text(names.get("time", "time"))
    hours = _ZONES.get(row.text(names.get("zone", "timezone")).upper(), 0)
    return datetime.combine(day, _clock(clock), timezone(timedelta(hours=hours)))


def _clock(written: str) -> time:
    try:
        return time.fromisoformat(written)
    except ValueError:
        return time(12)


def _notes() -> list[str]:
    return [
        _(
            "Upload the last 13 months: a yearly payment older than the file’s first "
            "row isn’t in it, and that person isn’t counted."
        )
    ]


FORMAT = Format("paypal", "PayPal", _recognise, _read, notes=_notes, aliases=("paypal-activity",))
