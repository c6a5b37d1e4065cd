"""Any CSV or XLSX list; guesses each column from its heading.

Staff can change the mapping, and the source remembers it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.sources.formats import File, Format, Row, give_name, read_rows
from fundraiser.sources.readings import (
    TOO_FAR,
    FileRefusedError,
    Reading,
    RowError,
    Says,
    Why,
    add_interval,
)
from fundraiser.sources.tables import Table, fold_heading
from fundraiser.sources.values import read_interval
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.sources.readings import Context

# Our fields, in the order in which staff see them, and stems of headings that mean them.
FIELDS: dict[str, tuple[str, ...]] = {
    "email": (
        "e-mail",
        "email",
        "mail",
        "електронн",
        "пошта",
        "эл. почта",
        "электронн",
        "courriel",
    ),
    # Before the name: a user's name is found for that only if there is nothing better.
    "first_name": ("first name", "firstname", "vorname", "given name", "prénom"),
    "last_name": (
        *("last name", "lastname", "surname", "nachname", "family name", "прізвище", "фамилия"),
    ),
    "name": ("full name", "name", "ім'я", "піб", "имя", "фио", "nom", "nazw", "imię"),
    "amount": (
        *("amount", "сума", "сумма", "betrag", "montant", "kwota", "importe", "gross"),
        *("order total", "renewal price", "price", "fee", "preis", "ціна"),
    ),
    "currency": ("currency", "валюта", "währung", "devise", "moneda", "waluta"),
    "interval": (
        *("every", "frequency", "billing period", "interval", "period", "періодич", "периодич"),
        *("turnus", "rhythm", "fréquence", "frecuencia", "billing cycle", "term"),
    ),
    "until": (
        *("paid until", "paid through", "paid to", "valid until", "сплачено до", "оплачено до"),
        *("bezahlt bis", "expires", "expiry", "expiration", "next payment", "next charge", "дійсн"),
        *("renewal", "renews", "payé jusqu", "opłacone do", "period end"),
    ),
    "ends": ("cancelled on", "leaves on", "ends on", "end date"),
    "paid": (
        *("last payment", "paid on", "payment date", "donated at", "дата оплати", "date paid"),
        *("payment received", "received date"),
    ),
    "started": (
        *("member since", "joined", "start", "since", "дата вступу", "дата вступления"),
        *("eintritt", "created", "began", "signup", "sign-up", "subscribed"),
    ),
    "key": (
        "member id",
        "membership id",
        "subscription id",
        "user id",
        "member number",
        "contract",
    ),
    "card": ("card last4", "card last 4", "last4", "last 4", "last four", "останні 4", "letzte 4"),
    "status": ("status", "state", "стан", "статус"),
}
_DAYS = ("until", "ends", "paid", "started")
_TOTALS = {"total", "totals", "sum", "разом", "усього", "всього", "итого", "summe", "gesamt"}
_ONE_TIME = {"one time", "once", "single", "einmalig", "разово", "одноразово", "jednorazowo"}
_NO_DAY = {"never", "nie", "none", "null", "n/a", "-", "0"}
_REFUNDED = {"refunded", "chargeback", "reversed", "повернено"}
_LEAVING = {"cancelled", "canceled", "not_renewing", "not renewing", "pending-cancel", "скасовано"}
_WAITING = {"pending", "trial", "in_trial", "trialing", "on-hold", "failed", "unpaid", "incomplete"}


def guess_columns(table: Table) -> dict[str, str]:
    """Match headings to our fields, each used once; exact matches first."""
    left = {
        plain: heading
        for heading in table.headings
        if (plain := fold_heading(heading)) and not plain.startswith("trial")
    }
    found: dict[str, str] = {}
    for is_meant in (str.__eq__, str.startswith, str.__contains__):
        for ours, stems in FIELDS.items():
            if ours in found:
                continue
            hit = next((plain for stem in stems for plain in left if is_meant(plain, stem)), None)
            if hit is not None:
                found[ours] = left.pop(hit)
    return found


def mapped_columns(file: File) -> dict[str, str]:
    """The columns as mapped by staff, or as guessed."""
    return dict(file.options.columns) or guess_columns(file.table())


def _read(file: File, context: Context) -> Iterator[Reading]:
    table = file.table()
    mapping = {ours: fold_heading(theirs) for ours, theirs in mapped_columns(file).items()}
    if "email" not in mapping and "key" not in mapping:
        raise FileRefusedError(
            _("We can’t tell which column has the e-mail addresses. Choose it below.")
        )
    has_days = "until" in mapping or {"paid", "interval"} <= set(mapping)
    if not has_days and not context.options.paid_until:
        raise FileRefusedError(
            _(
                "We can’t tell which column says until when each person has paid. "
                "Choose it below, or the columns for the latest payment and how often "
                "they pay, or enter one date for all."
            )
        )
    default = _currency_in(mapping.get("amount", "")) or context.options.currency

    def read_row(row: Row, context: Context) -> Reading:
        return _read_row(row, context, mapping, default or context.currency)

    yield from read_rows(
        table,
        context,
        read_row,
        needed=list(mapping.values()),
        days=[mapping[name] for name in _DAYS if name in mapping],
        amounts=[mapping[name] for name in ("amount",) if name in mapping],
    )


def _currency_in(heading: str) -> str | None:
    """The currency in a heading or beside an amount, in lower case ("сума, грн")."""
    for word, code in (
        *(("грн", "UAH"), ("uah", "UAH"), ("₴", "UAH"), ("eur", "EUR"), ("€", "EUR")),
        *(("usd", "USD"), ("$", "USD"), ("gbp", "GBP"), ("£", "GBP"), ("zł", "PLN")),
    ):
        if word in heading:
            return code
    return None


def _read_row(row: Row, context: Context, mapping: dict[str, str], currency: str) -> Reading:
    reading = row.reading

    def text(ours: str) -> str:
        return row.text(mapping[ours]) if ours in mapping else ""

    give_name(reading, f"{text('first_name')} {text('last_name')}".strip() or text("name"))
    if (
        not text("email")
        and not text("key")
        and (reading.name or "").lower().rstrip(":") in _TOTALS
    ):
        return reading.skip(Why.NOT_A_PERSON)
    reading.set_email(text("email"))
    reading.key = text("key")[:64] or reading.address
    if not reading.key:
        raise RowError(Why.NO_ADDRESS)
    if not reading.email:
        reading.looks.append(Why.NO_ADDRESS_KNOWN)
    reading.set_card(text("card"))
    if fold_heading(text("interval").replace("-", " ")) in _ONE_TIME:
        return reading.skip(Why.ONE_TIME)
    if rhythm := read_interval(text("interval")):
        reading.interval, reading.interval_count = rhythm
    if "amount" in mapping:
        amount = row.amount(mapping["amount"])
        if amount is None:
            raise RowError(Why.NO_AMOUNT)
        # A dollar sign is that of many currencies.
        beside = _currency_in(text("amount").lower().replace("$", ""))
        reading.set_amount(amount, text("currency") or beside or currency)
        if reading.amount == 0:
            return reading.is_not_paying(Why.FREE)
    else:
        reading.set_price(context)
    _read_days(row, reading, context, mapping)
    return _judge(reading, text("status").lower(), context)


def _read_days(row: Row, reading: Reading, context: Context, mapping: dict[str, str]) -> None:
    days = {
        name: row.day(mapping[name])
        for name in _DAYS
        if name in mapping and row.text(mapping[name]).lower() not in _NO_DAY
    }
    if began := days.get("started"):
        reading.started_at = context.since(began)
    until, paid, ends = days.get("until"), days.get("paid"), days.get("ends")
    if until is None:
        until = ends  # who has left won't be charged again
    if until is None and paid is not None:
        if reading.interval is None:
            raise RowError(Why.NO_INTERVAL, Says.ASK)
        until = add_interval(paid, reading.interval, reading.interval_count)
        reading.started_at = reading.started_at or context.since(paid)
    if until is None:
        raise RowError(*_undated(context))
    reading.counts_until = context.until(until)
    if ends:
        reading.cancel_at = context.until(ends)


def _undated(context: Context) -> tuple[Why, Says]:
    """What to do about a row without a date: refuse it, unless staff gave one for all of them."""
    if context.options.paid_until:
        return Why.NO_END, Says.ASK
    return Why.NO_DAY, Says.REFUSED


def _judge(reading: Reading, status: str, context: Context) -> Reading:
    status = status.removeprefix("wc-")  # WooCommerce's own prefix
    if reading.counts_until and reading.counts_until > context.at + TOO_FAR:
        return reading.is_not_paying(Why.COMPLIMENTARY)
    if status in _REFUNDED:
        reading.refunded_at = context.list_at
        return reading.is_not_paying(Why.REFUNDED)
    if status in _WAITING:
        return reading.is_not_paying(Why.PENDING)
    if status in _LEAVING and reading.cancel_at is None:
        reading.cancel_at = reading.counts_until
    return reading


def _recognise(file: File) -> bool:
    try:
        found = guess_columns(file.table())
    except FileRefusedError:
        return False
    return "email" in found or "key" in found


FORMAT = Format(
    "table",
    "List (CSV or XLSX)",
    _recognise,
    _read,
    aliases=("csv", "xlsx", "list", "mapped", "spreadsheet", "other", "generic"),
    is_mapped=True,
    may_lack_dates=True,
    lacks_amounts=lambda file: "amount" not in mapped_columns(file),
)
