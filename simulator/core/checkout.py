"""Checkout sessions: from payment to all resulting objects."""

from dataclasses import asdict, dataclass
from typing import Any

from simulator.core import billing, checkout_sums, methods, payments
from simulator.core.accounts import ACCOUNTS, REDIRECTS, build_account, debit_of
from simulator.core.cards import (
    CARDS,
    CHARGES_FAIL,
    IBANS,
    NOT_A_TEST_CARD,
    NOT_AUTHENTICATED,
    Decline,
)
from simulator.core.due import DEPOSITS_WAIT_FOR
from simulator.core.events import emit, update
from simulator.core.objects import build_card, build_customer, new_id
from simulator.core.shapes import ADDRESS, Object
from simulator.core.world import World


@dataclass(frozen=True)
class Payer:
    """What the payer typed; `number` is a test card's or account's."""

    email: str
    name: str
    country: str
    method: str
    number: str
    exp_month: int = 12
    exp_year: int = 2034
    verification: str = "instant"


class Declined(Exception):  # noqa: N818 - it is the bank's word, not an error of ours
    """The payment was declined; the message is for the payer."""

    def __init__(self, decline: Decline) -> None:
        super().__init__(decline.message)
        self.decline = decline


class AsksTheBank(Exception):  # noqa: N818 - a turn on the way, not an error
    """3-D Secure: the payer must confirm at the bank first."""


def pay(world: World, session: Object, payer: Payer, *, confirmed: bool = False) -> Object:
    """Complete an open session; raises `Declined` or `AsksTheBank`, and then creates nothing."""
    at = world.now()
    if payer.number not in (CARDS if payer.method == "card" else ACCOUNTS):
        raise Declined(NOT_A_TEST_CARD)
    customer = world.named(session, "customer")
    draft = method_of(payer, customer["id"] if customer else None, at)
    if payer.verification == "microdeposits" and world.on("microdeposits"):
        draft["_unverified"] = True
    outcome = payments.judge(draft, confirmed=confirmed)
    if not session["amount_total"] and payer.number == CHARGES_FAIL:
        outcome = payments.Outcome("succeeded")
    if outcome.status == "requires_action":
        world.store.put({**session, "_pending": asdict(payer)})
        raise AsksTheBank
    if outcome.decline:
        world.store.put({**session, "_pending": None})
        if session["amount_total"]:
            payments.tell_of_decline(world, session, draft, outcome.decline, at)
        raise Declined(outcome.decline)
    return _complete(world, session, payer, draft=draft, outcome=outcome, at=at)


def confirm_at_bank(world: World, session: Object, *, confirms: bool) -> Object:
    """Complete a session after the bank's page; raises `Declined` if the bank refused."""
    payer = Payer(**session["_pending"])
    if not confirms:
        world.store.put({**session, "_pending": None})
        raise Declined(NOT_AUTHENTICATED)
    return pay(world, session, payer, confirmed=True)


def method_of(payer: Payer, customer: str | None, at: int) -> Object:
    common: dict[str, Any] = {
        "customer": customer,
        "created": at,
        "email": payer.email,
        "name": payer.name,
        "country": payer.country,
    }
    if payer.method != "card":
        return build_account(number=payer.number, **common)
    return build_card(
        id=new_id("payment_method"),
        number=payer.number,
        exp_month=payer.exp_month,
        exp_year=payer.exp_year,
        **common,
    )


def _complete(
    world: World,
    session: Object,
    payer: Payer,
    *,
    draft: Object,
    outcome: payments.Outcome,
    at: int,
) -> Object:
    customer = _customer(world, session, payer, at)
    once = draft["type"] in REDIRECTS
    method = methods.save(world, draft, customer["id"] if customer and not once else None, at)
    done: Object = {"status": "complete", "_pending": None, "url": None}
    if customer:
        done["customer"] = customer["id"]
    if session["mode"] == "subscription" and customer:
        done |= _subscribe(world, session, customer, method=method, outcome=outcome, at=at)
    elif session["mode"] == "payment":
        done |= _pay_once(world, session, customer, method=method, outcome=outcome, at=at)
    else:
        done |= _set_up(world, session, customer, method, at)
    address = {**ADDRESS, "country": payer.country}
    done["customer_details"] = {
        "address": address,
        "business_name": None,
        "email": payer.email,
        "individual_name": None,
        "name": payer.name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }
    if outcome.status == "succeeded":
        paid = "paid" if session["amount_total"] else "no_payment_required"
        done["payment_status"] = paid
    completed = world.store.put({**session, **done})
    emit(world, "checkout.session.completed", completed, at)
    return completed


def _customer(world: World, session: Object, payer: Payer, at: int) -> Object | None:
    if session["customer"]:
        return world.store.one(session["customer"])
    if session["mode"] == "payment" and session["customer_creation"] != "always":
        return None
    made = world.store.put(
        build_customer(
            id=new_id("customer"),
            email=payer.email,
            created=at,
            name=payer.name,
            country=payer.country,
            locale=session["locale"] if session["locale"] not in {None, "auto"} else None,
        )
    )
    emit(world, "customer.created", made, at)
    return made


def _subscribe(
    world: World,
    session: Object,
    customer: Object,
    *,
    method: Object,
    outcome: payments.Outcome,
    at: int,
) -> Object:
    subscription = billing.start(
        world,
        customer=customer,
        method=method,
        outcome=outcome,
        at=at,
        **checkout_sums.start_fields(world, session, customer["id"], at),
    )
    if outcome.status == "verifying" and world.choice("microdeposits_wait") == "10 days":
        world.store.put({**subscription, "_incomplete_until": at + DEPOSITS_WAIT_FOR})
    if method["type"] in REDIRECTS and world.on("bank_redirects"):
        _leave_a_debit(world, subscription, method, at)
    return {"subscription": subscription["id"], "invoice": subscription["latest_invoice"]}


def _leave_a_debit(world: World, subscription: Object, redirect: Object, at: int) -> None:
    """Save a SEPA debit from a bank redirect, for renewals."""
    charges = world.store.find("charge", where={"customer": subscription["customer"]}, limit=1)
    if not charges:
        return
    charge, kind = charges[0], redirect["type"]
    debit = debit_of(redirect, charge, subscription["customer"], at)
    methods.save(world, debit, debit["customer"], at)
    paid_with = charge["payment_method_details"]
    told = {"generated_sepa_debit": debit["id"], "iban_last4": debit["sepa_debit"]["last4"]}
    world.store.put(
        {**charge, "payment_method_details": {**paid_with, kind: {**paid_with[kind], **told}}}
    )
    changed = "customer.subscription.updated"
    update(world, changed, subscription, at, default_payment_method=debit["id"])


def _pay_once(
    world: World,
    session: Object,
    customer: Object | None,
    *,
    method: Object,
    outcome: payments.Outcome,
    at: int,
) -> Object:
    told = session["_payment_intent_data"]
    intent = payments.open_intent(
        customer=customer["id"] if customer else None,
        amount=session["amount_total"],
        currency=session["currency"],
        at=at,
        metadata=told.get("metadata"),
        description=told.get("description"),
    )
    payments.confirm(world, intent, method, outcome, at)
    return {"payment_intent": intent["id"]}


def _set_up(
    world: World, session: Object, customer: Object | None, method: Object, at: int
) -> Object:
    intent = world.store.put(
        {
            "id": new_id("setup_intent"),
            "object": "setup_intent",
            "created": at,
            "customer": customer["id"] if customer else None,
            "payment_method": method["id"],
            "payment_method_types": [method["type"]],
            "metadata": session["_setup_intent_data"].get("metadata", {}),
        }
    )
    return {"setup_intent": intent["id"]}


def debit_settled(
    world: World, intent: Object, invoice: Object | None, *, succeeds: bool, at: int
) -> None:
    """Update the session that waited for a direct debit."""
    if invoice is None:
        found = world.store.find("checkout.session", where={"key": intent["id"]}, limit=1)
    else:
        subscription = invoice["parent"]["subscription_details"]["subscription"]
        found = world.store.find("checkout.session", where={"parent": subscription}, limit=1)
        found = [one for one in found if one["invoice"] == invoice["id"]]
    for session in found:
        ended = world.store.put({**session, "payment_status": "paid" if succeeds else "unpaid"})
        how = "succeeded" if succeeds else "failed"
        emit(world, f"checkout.session.async_payment_{how}", ended, at)


def expire(world: World, session: Object, at: int) -> Object:
    expired = world.store.put({**session, "status": "expired", "url": None, "_pending": None})
    emit(world, "checkout.session.expired", expired, at)
    return expired


def filled(typed: dict[str, str]) -> dict[str, str]:
    """The payer's input with the test card or account resolved."""
    number = typed.pop("fill")
    if number in ACCOUNTS and number not in IBANS:
        return {**typed, "method": ACCOUNTS[number].type, "account": number}
    if number in IBANS:
        return {**typed, "method": "sepa_debit", "iban": number}
    return {
        **typed,
        "method": "card",
        "cardNumber": number,
        "cardExpiry": typed.get("cardExpiry") or "12 / 34",
        "cardCvc": typed.get("cardCvc") or "123",
    }
