"""Money as integers in a currency's smallest unit: parsing, formatting, fees."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal

from babel.core import Locale
from babel.numbers import format_decimal, get_currency_symbol

_SIGNS = {"€": "EUR", "£": "GBP", "$": "USD", "₴": "UAH"}
_SIGN = r"([€£$₴]|[A-Za-z]{3})?"
_TYPED = re.compile(rf"{_SIGN}\s{{0,2}}(\d[\d\s'’.,]{{0,20}}?)\s{{0,2}}{_SIGN}")
_PLAIN = re.compile(r"(\d{1,12})(?:[.,](\d{0,3}))?")
_GROUPED = re.compile(r"(\d{1,3}([\s'’.,])\d{3}(?:\2\d{3}){0,3})(?:(?!\2)[.,](\d{1,3}))?")
# Stripe counts these in whole units or in thousandths, and all others in hundredths: also those
# whose hundredths are no longer used (ISK, UGX). https://docs.stripe.com/currencies
_WHOLE = frozenset(
    {
        *("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"),
        *("PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"),
    }
)
_THOUSANDTHS = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the smallest unit of ``currency`` (ISO 4217, upper case)."""

    amount: int
    currency: str

    def __str__(self) -> str:
        return format_money(self, "en")


@dataclass(frozen=True, slots=True)
class FeeRate:
    """A card payment's fee: basis points and a fixed amount in the smallest unit."""

    basis_points: int
    fixed: int


# Stripe's published standard prices for a domestic card; staff check theirs under "Fees" at Stripe.
CARD_FEES = {
    "EUR": FeeRate(150, 25),
    "GBP": FeeRate(150, 20),
    "USD": FeeRate(290, 30),
}


def tax_included(money: Money, rate: Decimal) -> Money:
    """The tax in an amount that includes ``rate`` percent of it, rounded half up."""
    tax = (money.amount * rate / (100 + rate)).quantize(Decimal(1), ROUND_HALF_UP)
    return Money(int(tax), money.currency)


def decimals(currency: str) -> int:
    """How many decimals Stripe's amounts have in this currency (ISO 4217, upper case)."""
    return 0 if currency in _WHOLE else 3 if currency in _THOUSANDTHS else 2


def format_money(money: Money, locale: str) -> str:
    """Format an amount for people: whole units without decimals (£10), others with (£10.50)."""
    digits = decimals(money.currency)
    value = Decimal(money.amount).scaleb(-digits)
    is_whole = value == value.to_integral_value()
    return _written(value, money.currency, 0 if is_whole else digits, locale)


def format_exact(money: Money, locale: str) -> str:
    """Format an amount for the books: always with decimals, and a real minus sign."""
    digits = decimals(money.currency)
    written = _written(Decimal(abs(money.amount)).scaleb(-digits), money.currency, digits, locale)
    return f"\N{MINUS SIGN}{written}" if money.amount < 0 else written


def _written(value: Decimal, currency: str, digits: int, locale: str) -> str:
    """Add the currency sign before or after the number, as the language does."""
    pattern = Locale.parse(locale).currency_formats["standard"].pattern.partition(";")[0]
    # Babel writes GBP for £ in Ukrainian: readers know the sign.
    sign = f"'{get_currency_symbol(currency, locale='en')}'"
    number = "0." + "0" * digits if digits else "0"
    return format_decimal(
        value, format=pattern.replace("0.00", number).replace("¤", sign), locale=locale
    )


def parse_amount(text: str, currency: str) -> int | None:
    """Parse a typed amount ("12", "12,50 €", "1 000.50", "1.000,50") into the smallest unit.

    Returns None if it isn't a positive amount of that currency, or may mean two amounts: "1,000"
    is a thousand to some readers, and one to others.
    """
    found = _TYPED.fullmatch(text.strip())
    if found is None or currency_typed(text) not in {None, currency}:
        return None
    if plain := _PLAIN.fullmatch(found[2]):
        whole, rest = plain[1], plain[2] or ""
    elif grouped := _GROUPED.fullmatch(found[2]):
        whole, rest = re.sub(r"\D", "", grouped[1]), grouped[3] or ""
    else:
        return None
    digits = decimals(currency)
    if len(rest) > digits:
        return None
    return int(Decimal(f"{whole}.{rest or 0}").scaleb(digits)) or None


def currency_typed(text: str) -> str | None:
    """The currency whose sign or code stands beside a typed amount, if any."""
    found = _TYPED.fullmatch(text.strip())
    sign = (found[1] or found[3] or "").upper() if found else ""
    return _SIGNS.get(sign, sign) or None


def may_mean_thousands(text: str) -> bool:
    """Whether a typed amount is like "1,000", which is a thousand or one with three decimals."""
    found = _TYPED.fullmatch(text.strip())
    return bool(found and re.fullmatch(r"\d{1,3}[.,]\d{3}", found[2]))


def write_amount(money: Money) -> str:
    """Format an amount for an input: 12 or 12.50."""
    digits = decimals(money.currency)
    value = Decimal(money.amount).scaleb(-digits)
    return str(int(value)) if value == int(value) else str(value)


def fee_to_cover(money: Money) -> int:
    """How much to add so that ``money.amount`` is left after the card's fee."""
    rate = CARD_FEES[money.currency]
    gross = Decimal(money.amount + rate.fixed) / (1 - Decimal(rate.basis_points) / 10_000)
    return int(gross.to_integral_value(rounding=ROUND_CEILING)) - money.amount
