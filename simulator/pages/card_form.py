"""The fields of a payment method, as Checkout and the portal take them."""

import re
from collections.abc import Collection, Mapping

from simulator.api.checkout import EMAIL
from simulator.core.accounts import ACCOUNTS, EVERYWHERE, REDIRECTS
from simulator.core.cards import IBANS
from simulator.core.checkout import Payer
from simulator.core.periods import at
from simulator.pages.show import countries

FIELDS = (
    *("email", "cardNumber", "cardExpiry", "cardCvc", "billingName", "billingCountry", "iban"),
    *("account", "verification"),
)
SHORTEST_NUMBER = 12


class Mistakes(Exception):  # noqa: N818 - the payer's, told beside each field
    """What is wrong with what was typed: a sentence for each field."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("; ".join(fields.values()))
        self.fields = fields


def read(
    form: Mapping[str, str], now: int, *, allowed: Collection[str], only_saves: bool = False
) -> Payer:
    """What the payer typed; raises `Mistakes`.

    `allowed` are types of payment methods; `only_saves`: nothing is paid now.
    """
    mistakes: dict[str, str] = {}
    email, name = form.get("email", "").strip(), form.get("billingName", "").strip()
    country = form.get("billingCountry", "")
    if not EMAIL.fullmatch(email):
        mistakes["email"] = "Your email is incomplete."
    if not name:
        mistakes["billingName"] = "Enter the name of the account's holder."
    if country not in countries():
        mistakes["billingCountry"] = "Choose a country."
    method = form.get("method") or "card"  # a page with one method alone asks for none
    if method not in allowed:
        mistakes["method"] = "Choose another payment method."
    if method in {"us_bank_account", *REDIRECTS, *EVERYWHERE}:
        number, how = _account(form, method, mistakes, only_saves=only_saves)
        _refuse(mistakes)
        return Payer(email, name, country, method, number, verification=how)
    if method == "sepa_debit":
        iban = re.sub(r"\s", "", form.get("iban", "")).upper()
        if iban not in IBANS:
            mistakes["iban"] = f"Use one of the test IBANs: {' or '.join(IBANS)}."
        _refuse(mistakes)
        return Payer(email, name, country, "sepa_debit", iban)
    number, month, year = _card(form, now, mistakes)
    _refuse(mistakes)
    return Payer(email, name, country, "card", number, month, year)


def _card(form: Mapping[str, str], now: int, mistakes: dict[str, str]) -> tuple[str, int, int]:
    number = re.sub(r"\D", "", form.get("cardNumber", ""))
    if len(number) < SHORTEST_NUMBER:
        mistakes["cardNumber"] = "Your card number is incomplete."
    elif not luhn(number):
        mistakes["cardNumber"] = "Your card number is invalid."
    month, year = _expiry(form.get("cardExpiry", ""), now, mistakes)
    if not re.fullmatch(r"\d{3,4}", form.get("cardCvc", "").strip()):
        mistakes["cardCvc"] = "Your card's security code is incomplete."
    return number, month, year


def _account(
    form: Mapping[str, str], method: str, mistakes: dict[str, str], *, only_saves: bool
) -> tuple[str, str]:
    """The test account, and how it is verified."""
    number, how = form.get("account", "").strip() or method, form.get("verification", "instant")
    known = [one.number for one in ACCOUNTS.values() if one.type == method]
    if number not in known:
        mistakes["account"] = f"Use one of the test accounts: {', '.join(known)}."
    if only_saves and how == "microdeposits":
        mistakes["verification"] = "The simulator verifies no account that is only saved."
    return number, how


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
