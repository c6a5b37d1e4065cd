"""Controls of money: what a bank, a payer or Stripe does to payments, as JSON or from the page."""

from typing import Any

from werkzeug.wrappers import Response

from simulator.core import balance, disputes, engine, legacy, microdeposits, refunds
from simulator.core.errors import refused
from simulator.core.events import update
from simulator.core.shapes import public
from simulator.pages.checkout import world
from simulator.pages.control import done, pages, read_given, whole_number


@pages.post("/_simulator/refunds")
def refund() -> Response:
    """Refund a `charge`, or bring a pending `refund` to its `outcome`: succeeds or fails."""
    given, account = read_given(), world()
    amount = whole_number(given["amount"], "amount") if "amount" in given else None
    with account.store.transaction():
        if "refund" in given:
            found, succeeds = account.must("refund", str(given["refund"])), _succeeds(given)
            made = refunds.settle_refund(account, found, succeeds=succeeds, at=account.now())
            return done(public(made), f"The refund has {made['status']}.")
        charge = account.must("charge", str(given.get("charge", "")))
        made = refunds.refund(account, charge, at=account.now(), amount=amount)
    return done(public(made), "The payment is refunded.")


def _succeeds(given: dict[str, Any]) -> bool:
    return given.get("outcome") != "fails"


@pages.post("/_simulator/disputes")
def dispute() -> Response:
    """Open a dispute over a `charge` (`inquiry`: the bank only asks), or move a `dispute` on.

    `escalate` turns an inquiry into a dispute; `outcome` is won, lost or warning_closed.
    """
    given, account = read_given(), world()
    with account.store.transaction():
        if "charge" in given:
            charge = account.must("charge", str(given["charge"]))
            asks = bool(given.get("inquiry"))
            made = disputes.open_dispute(account, charge, account.now(), inquiry=asks)
            return done(public(made), "The payment is disputed.")
        found = account.must("dispute", str(given.get("dispute", "")))
        outcome = given.get("outcome")
        if given.get("escalate"):
            made = disputes.escalate(account, found, account.now())
        elif outcome == "warning_closed":
            made = disputes.end(account, found, "warning_closed", account.now())
        else:
            made = disputes.close_dispute(account, found, won=outcome == "won", at=account.now())
    return done(public(made), f"The dispute is {made['status']}.")


@pages.post("/_simulator/payouts")
def payout() -> Response:
    """Have the bank send a `payout` back."""
    given, account = read_given(), world()
    with account.store.transaction():
        found = account.must("payout", str(given.get("payout", "")))
        made = balance.fail_payout(account, found, account.now())
    return done(public(made), "The payout has failed.")


@pages.post("/_simulator/fees")
def take_fee() -> Response:
    """Let Stripe take a fee that belongs to no payment: `amount`, `currency`, `description`."""
    given, account = read_given(), world()
    with account.store.transaction():
        made = balance.enter(
            account,
            "stripe_fee",
            source=None,
            amount=-whole_number(given.get("amount"), "amount"),
            currency=str(given.get("currency", "eur")),
            at=account.now(),
            description=str(given.get("description", "Billing: usage fee")),
        )
    return done(balance.shown(account, made), "The fee is taken.")


@pages.post("/_simulator/debits")
def debit() -> Response:
    """Bring a direct debit in process to its end: `payment_intent`, `outcome` succeeds or fails."""
    given, account = read_given(), world()
    with account.store.transaction():
        intent = account.must("payment_intent", str(given.get("payment_intent", "")))
        if intent["status"] != "processing":
            raise refused(f"{intent['id']} is {intent['status']}, not processing.")
        engine.settle_debit(account, intent, succeeds=_succeeds(given), at=account.now())
    return done(public(account.store.one(intent["id"])), "The direct debit is settled.")


@pages.post("/_simulator/old-charges")
def forget_intent() -> Response:
    """Make a paid `invoice` look as before payment intents: a bare charge has paid it."""
    given, account = read_given(), world()
    with account.store.transaction():
        invoice = account.must("invoice", str(given.get("invoice", "")))
        charge = legacy.forget_intent(account, invoice)
    return done(public(charge), "The charge has no payment intent any more.")


@pages.post("/_simulator/microdeposits")
def verify_microdeposits() -> Response:
    """The payer of a `payment_intent` verifies the account, or its `outcome` is that it fails."""
    given, account = read_given(), world()
    with account.store.transaction():
        intent = account.must("payment_intent", str(given.get("payment_intent", "")))
        succeeds = _succeeds(given)
        made = microdeposits.verify(account, intent, succeeds=succeeds, at=account.now())
    return done(public(made), f"The payment is {made['status']}.")


@pages.post("/_simulator/card-updates")
def update_card() -> Response:
    """The bank gives the card of a `payment_method` another expiry, and perhaps `last4`."""
    given, account = read_given(), world()
    with account.store.transaction():
        found = account.must("payment_method", str(given.get("payment_method", "")))
        if found["type"] != "card":
            raise refused("Only a card is updated by its bank.", "payment_method")
        card = {
            **found["card"],
            "exp_month": whole_number(given.get("exp_month", 12), "exp_month"),
            "exp_year": whole_number(given.get("exp_year"), "exp_year"),
            "last4": str(given.get("last4", found["card"]["last4"])),
        }
        kind = "payment_method.automatically_updated"
        made = update(account, kind, found, account.now(), card=card)
    return done(public(made), "The card is updated.")
