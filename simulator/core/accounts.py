"""Test payment methods other than cards: bank debits, bank redirects, Link, PayPal.

A bank debit succeeds days later. A redirect (iDEAL, Bancontact) is paid at once at the payer's bank
and can't be charged again; it leaves a SEPA debit for that. Link and PayPal can be charged again
and have no `card`; some need confirmation each time.
"""

from dataclasses import dataclass
from typing import Any, Literal

from simulator.core.cards import CARDS, DEBIT_REFUSED, IBAN_FAILS, IBAN_SUCCEEDS, Decline
from simulator.core.due import DAY, DEBIT_SETTLES_AFTER
from simulator.core.objects import billing_details, build_debit, new_id
from simulator.core.shapes import Object

ACH_SETTLES_AFTER = 4 * DAY
REDIRECTS = {"ideal", "bancontact"}
NOT_REUSABLE = Decline(
    "payment_method_unactivated",
    "This payment method was used once, and can't be charged again.",
    "none",
    hard=True,
)


@dataclass(frozen=True)
class Account:
    """A test account; `asks` says whether the payer confirms once, at each payment, or never."""

    number: str
    type: str
    says: str
    asks: Literal["never", "once", "always"] = "never"
    decline: Decline | None = None
    verifies: bool = True
    later: Literal["nothing", "dispute"] = "nothing"
    becomes: str = IBAN_SUCCEEDS
    settles_after: int = DEBIT_SETTLES_AFTER


def _bank(number: str, says: str, **more: Any) -> Account:  # noqa: ANN401 - any field of an account
    return Account(number, "us_bank_account", says, settles_after=ACH_SETTLES_AFTER, **more)


def _returned(code: str, message: str) -> Decline:
    return Decline(code, message, code, hard=True)


ACCOUNTS = {
    account.number: account
    for account in (
        Account(IBAN_SUCCEEDS, "sepa_debit", "Settles after three days"),
        Account(IBAN_FAILS, "sepa_debit", "Fails after three days", decline=DEBIT_REFUSED),
        _bank("000123456789", "ACH: settles after four days"),
        _bank(
            "000111111116",
            "ACH: fails after four days, there is no such account",
            decline=_returned("no_account", "The bank could not find the account."),
        ),
        _bank(
            "000222222227",
            "ACH: fails after four days, insufficient funds",
            decline=_returned("insufficient_funds", "The account has insufficient funds."),
        ),
        _bank("000666666661", "ACH: its micro-deposits fail", verifies=False),
        _bank("000555555559", "ACH: settles, then is disputed", later="dispute"),
        Account("ideal", "ideal", "iDEAL; its SEPA debit succeeds", asks="once"),
        Account(
            "ideal-fails-later",
            "ideal",
            "iDEAL; its SEPA debit fails",
            asks="once",
            becomes=IBAN_FAILS,
        ),
        Account("bancontact", "bancontact", "Bancontact; its SEPA debit succeeds", asks="once"),
        Account("link", "link", "Link"),
        Account("link-asks", "link", "Link, confirmed at each payment", asks="always"),
        Account("paypal", "paypal", "PayPal", asks="once"),
        Account("paypal-asks", "paypal", "PayPal, confirmed at each payment", asks="always"),
    )
}
LABELS = {
    "card": "Card",
    "sepa_debit": "SEPA direct debit",
    "us_bank_account": "US bank account",
    "ideal": "iDEAL",
    "bancontact": "Bancontact",
    "link": "Link",
    "paypal": "PayPal",
}
# What Checkout offers for a currency; for any other: a card and what goes with every currency.
OFFERED = {
    "eur": ["card", "sepa_debit", "ideal", "bancontact"],
    "usd": ["card", "us_bank_account"],
}
EVERYWHERE = ["link", "paypal"]


def later_of(number: str) -> str:
    """What happens after a successful payment with this test card or account."""
    found = CARDS.get(number) or ACCOUNTS.get(number)
    return found.later if found else "nothing"


def build_account(
    *,
    number: str,
    customer: str | None,
    created: int,
    email: str | None = None,
    name: str | None = None,
    country: str | None = None,
) -> Object:
    """Build the payment method of a test account; `number` is a key of `ACCOUNTS`."""
    kind, identity = ACCOUNTS[number].type, new_id("payment_method")
    if kind == "sepa_debit":
        return build_debit(
            id=identity,
            customer=customer,
            created=created,
            iban=number,
            email=email,
            name=name,
            country=country,
        )
    return {
        "id": identity,
        "object": "payment_method",
        "created": created,
        "customer": customer,
        "type": kind,
        kind: _details(kind, number, email, country),
        "billing_details": billing_details(email, name, country),
        "_number": number,
    }


def _details(kind: str, number: str, email: str | None, country: str | None) -> Object:
    match kind:
        case "us_bank_account":
            return {
                "account_holder_type": "individual",
                "account_type": "checking",
                "bank_name": "STRIPE TEST BANK",
                "financial_connections_account": None,
                "fingerprint": f"Fp{number[-10:]}",
                "last4": number[-4:],
                "networks": {"preferred": "ach", "supported": ["ach"]},
                "routing_number": "110000000",
                "status_details": {},
            }
        case "ideal":
            return {"bank": "ing", "bic": "INGBNL2A"}
        case "link":
            return {"email": email}
        case "paypal":
            return {"country": country, "payer_email": email, "payer_id": "SIMULATEDPAYER"}
        case _:
            return {}


def debit_of(redirect: Object, charge: Object, customer: str, at: int) -> Object:
    """The SEPA debit that a paid redirect leaves for later payments."""
    details = redirect["billing_details"]
    made = build_debit(
        id=new_id("payment_method"),
        customer=customer,
        created=at,
        iban=ACCOUNTS[redirect["_number"]].becomes,
        email=details["email"],
        name=details["name"],
    )
    told = {"charge": charge["id"], "setup_attempt": None}
    return {**made, "sepa_debit": {**made["sepa_debit"], "generated_from": told}}
