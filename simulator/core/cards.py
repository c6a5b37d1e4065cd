"""Stripe's test cards and test bank accounts, and what each does."""

from dataclasses import dataclass
from typing import Literal

from simulator.core.shapes import CHECKS, Object


@dataclass(frozen=True)
class Decline:
    """Why a bank declines, in Stripe's words; a hard decline is never retried."""

    code: str
    message: str
    decline_code: str
    hard: bool = False


GENERIC = Decline("card_declined", "Your card was declined.", "generic_decline")
NOT_A_TEST_CARD = Decline(
    "card_declined",
    "Your card was declined. Your request was in test mode, but used a non test card."
    " For a list of valid test cards, visit: https://docs.stripe.com/testing.",
    "test_mode_live_card",
)
NOT_AUTHENTICATED = Decline(
    "payment_intent_authentication_failure",
    "We are unable to authenticate your payment method."
    " Please choose a different payment method and try again.",
    "authentication_failed",
)
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
    "authentication_required",
    hard=True,
)
DEBIT_REFUSED = Decline(
    "charge_exceeds_source_limit",
    "The bank refused the debit: the account could not be charged.",
    "debit_not_authorized",
    hard=True,
)
NO_METHOD = Decline(
    "payment_method_required", "There is no payment method to charge.", "none", hard=True
)


@dataclass(frozen=True)
class TestCard:
    """A test card; `secure` says whether the bank asks once, at each payment, or never."""

    __test__ = False

    number: str
    says: str
    brand: str = "visa"
    decline: Decline | None = None
    secure: Literal["never", "once", "always"] = "never"
    charges_fail: bool = False
    later: Literal["nothing", "dispute", "inquiry", "refund fails", "refund pending"] = "nothing"


CHARGES_FAIL = "4000000000000341"
CARDS = {
    card.number: card
    for card in (
        TestCard("4242424242424242", "Succeeds"),
        TestCard("5555555555554444", "Succeeds", brand="mastercard"),
        TestCard("4000002500003155", "3-D Secure, once", secure="once"),
        TestCard("4000002760003184", "3-D Secure, at each payment", secure="always"),
        TestCard("4000008400001629", "3-D Secure, then declined", decline=GENERIC, secure="always"),
        TestCard("4000000000000002", "Declined", decline=GENERIC),
        TestCard(
            "4000000000009995",
            "Declined: insufficient funds",
            decline=Decline(
                "card_declined",
                "Your card has insufficient funds. Try a different card.",
                "insufficient_funds",
            ),
        ),
        TestCard(
            "4000000000009987",
            "Declined: lost card",
            decline=Decline("card_declined", "Your card was declined.", "lost_card", hard=True),
        ),
        TestCard(
            "4000000000009979",
            "Declined: stolen card",
            decline=Decline("card_declined", "Your card was declined.", "stolen_card", hard=True),
        ),
        TestCard(
            "4000000000000069",
            "Declined: expired card",
            decline=Decline("expired_card", "Your card has expired.", "expired_card"),
        ),
        TestCard(
            "4000000000000127",
            "Declined: wrong CVC",
            decline=Decline(
                "incorrect_cvc", "Your card's security code is incorrect.", "incorrect_cvc"
            ),
        ),
        TestCard(
            "4000000000000119",
            "Declined: processing error",
            decline=Decline(
                "processing_error",
                "An error occurred while processing your card. Try again in a little bit.",
                "processing_error",
            ),
        ),
        TestCard(CHARGES_FAIL, "Attaches, then every charge fails", charges_fail=True),
        TestCard("4000000000000259", "Succeeds, then is disputed", later="dispute"),
        TestCard("4000000000001976", "Succeeds; then its bank asks (an inquiry)", later="inquiry"),
        TestCard("4000000000007726", "Succeeds; its refund is pending", later="refund pending"),
        TestCard("4000000000005126", "Succeeds; its refund fails later", later="refund fails"),
    )
}

# Stripe's ids of ready-made payment methods: each use of one makes a new payment method.
TEST_METHODS = {
    "pm_card_visa": "4242424242424242",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_authenticationRequired": "4000002760003184",
    "pm_card_chargeCustomerFail": "4000000000000341",
    "pm_card_chargeDeclined": "4000000000000002",
    "pm_card_createDispute": "4000000000000259",
    "pm_card_createDisputeInquiry": "4000000000001976",
    "pm_card_pendingRefund": "4000000000007726",
    "pm_card_refundFail": "4000000000005126",
}

IBAN_SUCCEEDS = "DE89370400440532013000"
IBAN_FAILS = "DE62370400440532013001"
IBANS = {IBAN_SUCCEEDS: "Settles after three days", IBAN_FAILS: "Fails after three days"}


def card_details(number: str, exp_month: int, exp_year: int, country: str) -> Object:
    """The `card` of a payment method."""
    brand = CARDS[number].brand if number in CARDS else "visa"
    return {
        "brand": brand,
        "checks": CHECKS,
        "country": country,
        "display_brand": brand,
        "exp_month": exp_month,
        "exp_year": exp_year,
        "fingerprint": f"Fp{number[-10:]}",
        "funding": "credit",
        "generated_from": None,
        "last4": number[-4:],
        "networks": {"available": [brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def debit_details(iban: str) -> Object:
    """The `sepa_debit` of a payment method."""
    return {
        "bank_code": iban[4:12],
        "branch_code": "",
        "country": iban[:2],
        "fingerprint": f"Fp{iban[-10:]}",
        "generated_from": {"charge": None, "setup_attempt": None},
        "last4": iban[-4:],
    }
