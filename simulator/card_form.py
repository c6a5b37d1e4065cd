"""The fields of a payment method, as Checkout and the portal take them."""

import re
from collections.abc import Mapping

from simulator.api_checkout import EMAIL
from simulator.cards import IBANS
from simulator.checkout import Payer
from simulator.periods import at
from simulator.show import countries

FIELDS = ("email", "cardNumber", "cardExpiry", "cardCvc", "billingName", "billingCountry", "iban")
SHORTEST_NUMBER = 12


class Mistakes(Exception):  # noqa: N818 - the payer's, told beside each field
    """What is wrong with what was typed: a sentence for each field."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("; ".join(fields.values()))
        self.fields = fields


def read(form: Mapping[str, str], now: int, *, debit_allowed: bool) -> Payer:
    """What the payer typed; raises `Mistakes`."""
    mistakes: dict[str, str] = {}
    email, name = form.get("email", "").strip(), form.get("billingName", "").strip()
    country = form.get("billingCountry", "")
    if not EMAIL.fullmatch(email):
        mistakes["email"] = "Your email is incomplete."
    if not name:
        mistakes["billingName"] = "Enter the name of the account's holder."
    if country not in countries():
        mistakes["billingCountry"] = "Choose a country."
    if form.get("method") == "sepa_debit" and debit_allowed:
        iban = re.sub(r"\s", "", form.get("iban", "")).upper()
        if iban not in IBANS:
            mistakes["iban"] = f"Use one of the test IBANs: {' or '.join(IBANS)}."
        _refuse(mistakes)
        return Payer(email, name, country, "sepa_debit", iban)
    number = re.sub(r"\D", "", form.get("cardNumber", ""))
    if len(number) < SHORTEST_NUMBER:
        mistakes["cardNumber"] = "Your card number is incomplete."
    elif not luhn(number):
        mistakes["cardNumber"] = "Your card number is invalid."
    month, year = _expiry(form.get("cardExpiry", ""), now, mistakes)
    if not re.fullmatch(r"\d{3,4}", form.get("cardCvc", "").strip()):
        mistakes["cardCvc"] = "Your card's security code is incomplete."
    _refuse(mistakes)
    return Payer(email, name, country, "card", number, month, year)


def _refuse(mistakes: dict[str, str]) -> None:
    if mistakes:
        raise Mistakes(mistakes)


def _expiry(typed: str, now: int, mistakes: dict[str, str]) -> tuple[int, int]:
    found = re.fullmatch(r"\s*(\d{1,2})\s*/?\s*(?:20)?(\d{2})\s*", typed)
    if not found or not 1 <= int(found[1]) <= 12:  # noqa: PLR2004 - a year has twelve months
        mistakes["cardExpiry"] = "Your card's expiration date is incomplete."
        return 0, 0
    month, year = int(found[1]), 2000 + int(found[2])
    today = at(now)
    if (year, month) < (today.year, today.month):
        mistakes["cardExpiry"] = "Your card's expiration date is in the past."
    return month, year


def luhn(number: str) -> bool:
    """Whether the check digit is right."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
