"""Amounts, intervals, dates and countries as the pages show them."""

from functools import cache

from babel import Locale
from babel.numbers import format_currency

from simulator.core.accounts import LABELS
from simulator.core.periods import at
from simulator.core.shapes import Object

ZERO_DECIMAL = {
    *("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga"),
    *("pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"),
}


def money(amount: int, currency: str) -> str:
    units = amount if currency in ZERO_DECIMAL else amount / 100
    return str(format_currency(units, currency.upper(), locale="en_GB"))


def interval(price: Object) -> str:
    """'per month', 'every 3 months', or nothing for a single payment."""
    recurring = price.get("recurring")
    if not recurring:
        return ""
    count, unit = recurring["interval_count"], recurring["interval"]
    return f"per {unit}" if count == 1 else f"every {count} {unit}s"


def moment(seconds: int | None) -> str:
    return f"{at(seconds):%-d %B %Y, %H:%M} UTC" if seconds else ""


def day(seconds: int | None) -> str:
    return f"{at(seconds):%-d %B %Y}" if seconds else ""


@cache
def countries() -> dict[str, str]:
    names = Locale("en").territories
    real = {code: name for code, name in names.items() if len(code) == 2 and code.isalpha()}  # noqa: PLR2004 - ISO 3166 codes have two letters
    for code in ("ZZ", "EU", "EZ", "UN", "XA", "XB", "QO"):
        real.pop(code, None)
    return dict(sorted(real.items(), key=lambda pair: pair[1]))


def method_words(method: Object | None) -> str:
    """'Visa ending in 4242', 'SEPA direct debit ending in 3000'."""
    if method is None:
        return "no payment method"
    kind = method["type"]
    if kind != "card":
        last4 = method[kind].get("last4")
        return f"{LABELS[kind]} ending in {last4}" if last4 else LABELS[kind]
    card = method["card"]
    return f"{card['brand'].title()} ending in {card['last4']}"
