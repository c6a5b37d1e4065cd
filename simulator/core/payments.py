"""Money moving, or not: payment intents and their charges.

Refunds and disputes are in modules of their own, and can be asked for here too.
"""

from dataclasses import dataclass
from typing import Literal

from simulator.core import accounts, cards
from simulator.core.balance import enter
from simulator.core.disputes import close_dispute, open_dispute
from simulator.core.due import DEPOSITS_ARRIVE_AFTER
from simulator.core.events import emit
from simulator.core.objects import new_id
from simulator.core.payment_objects import DEBITS, build_charge, build_payment_intent, is_card
from simulator.core.refunds import fail_refund, refund
from simulator.core.shapes import Object, full, public
from simulator.core.world import World

__all__ = ["close_dispute", "fail_refund", "open_dispute", "refund"]


@dataclass(frozen=True)
class Outcome:
    """What the bank answers to one try."""

    status: Literal["succeeded", "processing", "failed", "requires_action", "verifying"]
    decline: cards.Decline | None = None


def judge(method: Object | None, *, confirmed: bool = False, off_session: bool = False) -> Outcome:
    """What a charge on this payment method comes to; `confirmed`: 3-D Secure was passed."""
    if method is None:
        return Outcome("failed", cards.NO_METHOD)
    account = accounts.ACCOUNTS.get(method["_number"])
    if account:
        return _judge_account(method, account, confirmed=confirmed, off_session=off_session)
    card = cards.CARDS.get(method["_number"])
    if card is None:
        return Outcome("failed", cards.NOT_A_TEST_CARD)
    asks = card.secure == "always" or (card.secure == "once" and not off_session)
    if asks and not confirmed:
        return Outcome("requires_action", cards.AUTHENTICATION_REQUIRED)
    if card.decline or card.charges_fail:
        return Outcome("failed", card.decline or cards.GENERIC)
    return Outcome("succeeded")


def _judge_account(
    method: Object, account: accounts.Account, *, confirmed: bool, off_session: bool
) -> Outcome:
    """As `judge`, for what is no card."""
    if account.type in DEBITS:
        return Outcome("verifying" if method.get("_unverified") else "processing")
    if account.type in accounts.REDIRECTS and off_session:
        return Outcome("failed", accounts.NOT_REUSABLE)
    asks = account.asks == "always" or (account.asks == "once" and not off_session)
    if asks and not confirmed:
        return Outcome("requires_action", cards.AUTHENTICATION_REQUIRED)
    return Outcome("succeeded")


def open_intent(
    *,
    customer: str | None,
    amount: int,
    currency: str,
    at: int,
    metadata: dict[str, str] | None = None,
    description: str | None = None,
) -> Object:
    """A new payment intent, not stored yet: `confirm` does that."""
    return full(
        build_payment_intent(
            id=new_id("payment_intent"),
            customer=customer,
            amount=amount,
            currency=currency,
            created=at,
            metadata=metadata,
            description=description,
        )
    )


def confirm(
    world: World, intent: Object, method: Object | None, outcome: Outcome, at: int
) -> Object:
    """Charge the payment method, with the outcome given; returns the payment intent."""
    if method is None:
        return world.store.put(intent)
    intent = {**intent, "payment_method": method["id"], "payment_method_types": [method["type"]]}
    if outcome.status in {"requires_action", "verifying"}:
        return _asked(world, intent, outcome, at)
    made = {"succeeded": "succeeded", "processing": "pending"}.get(outcome.status, "failed")
    charge = build_charge(
        id=new_id("charge"), intent=intent, method=method, created=at, status=made
    )
    intent |= {"latest_charge": charge["id"], "next_action": None, "processing": None}
    if outcome.status == "succeeded":
        charge = book(world, charge, at)
        intent |= _succeeded(intent)
        charge |= _disputed_later(method, at)
    elif outcome.status == "processing":
        settles_at = at + accounts.ACCOUNTS[method["_number"]].settles_after
        intent |= {"status": "processing", "_settles_at": settles_at}
    else:
        decline = outcome.decline or cards.GENERIC
        charge |= _failed(decline)
        intent |= {
            "status": "requires_payment_method",
            "last_payment_error": last_error(decline, method, charge["id"]),
        }
    world.store.put(charge)
    if outcome.status in {"succeeded", "processing"}:
        emit(world, f"charge.{made}", charge, at)
    if outcome.status == "processing" and world.on("payment_intent_processing"):
        emit(world, "payment_intent.processing", intent, at)
    return world.store.put(intent)


def _asked(world: World, intent: Object, outcome: Outcome, at: int) -> Object:
    """The intent waits for the payer: to confirm at the bank, or to tell what was deposited."""
    if outcome.status == "verifying":
        action: Object = {
            "type": "verify_with_microdeposits",
            "verify_with_microdeposits": {
                "arrival_date": at + DEPOSITS_ARRIVE_AFTER,
                "hosted_verification_url": f"{world.base_url}/verify/{intent['id']}",
                "microdeposit_type": "descriptor_code",
            },
        }
    else:
        links = world.store.find("invoice_payment", where={"key": intent["id"]}, limit=1)
        page = f"{world.base_url}/" + (f"invoice/{links[0]['invoice']}" if links else "")
        action = {
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": None, "url": page},
        }
    waiting = world.store.put({**intent, "status": "requires_action", "next_action": action})
    emit(world, "payment_intent.requires_action", waiting, at)
    return waiting


def _disputed_later(method: Object, at: int) -> Object:
    later = accounts.later_of(method["_number"]) in {"dispute", "inquiry"}
    return {"_disputed_at": at + 1} if later else {}


def cancel_intent(world: World, intent: Object, at: int) -> Object:
    """The invoice is void, so its intent takes no payment any more; one in process goes on."""
    if intent["status"] in {"succeeded", "processing", "canceled"}:
        return intent
    canceled = world.store.put(
        {
            **intent,
            "status": "canceled",
            "canceled_at": at,
            "cancellation_reason": "void_invoice",
            "next_action": None,
        }
    )
    emit(world, "payment_intent.canceled", canceled, at)
    return canceled


def settle(world: World, intent: Object, *, succeeds: bool, at: int) -> Object:
    """A direct debit in process comes to its end; returns the payment intent."""
    charge = world.store.one(intent["latest_charge"])
    method = world.store.one(intent["payment_method"])
    intent = {**intent, "processing": None, "_settles_at": None}
    if succeeds:
        later = _disputed_later(method, at)
        charge = {**book(world, charge, at), "status": "succeeded", "paid": True, **later}
        emit(world, "charge.succeeded", world.store.put(charge), at)
        return world.store.put({**intent, **_succeeded(intent)})
    refusal = refused_with(method)
    world.store.put({**charge, **_failed(refusal), "status": "failed"})
    error = last_error(refusal, method, charge["id"])
    return world.store.put(
        {**intent, "status": "requires_payment_method", "last_payment_error": error}
    )


def refused_with(method: Object) -> cards.Decline:
    """Why the bank refuses a debit of this account."""
    return accounts.ACCOUNTS[method["_number"]].decline or cards.DEBIT_REFUSED


def last_error(decline: cards.Decline, method: Object, charge: str | None = None) -> Object:
    error = {
        "code": decline.code,
        "decline_code": decline.decline_code,
        "message": decline.message,
        "payment_method": public(method),
        "type": "card_error",
    }
    return {**error, "charge": charge} if charge else error


def book(world: World, charge: Object, at: int) -> Object:
    """Write the charge into the balance; returns the charge, not yet stored."""
    entry = enter(
        world,
        "charge" if is_card(charge) else "payment",
        source=charge["id"],
        amount=charge["amount"],
        currency=charge["currency"],
        at=at,
        description=charge.get("description"),
    )
    return {**charge, "balance_transaction": entry["id"], "amount_captured": charge["amount"]}


def _succeeded(intent: Object) -> Object:
    return {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "last_payment_error": None,
        "_settles_at": None,
    }


def tell_of_decline(
    world: World, session: Object, method: Object, decline: cards.Decline, at: int
) -> None:
    """Tell of a charge that failed on the hosted page, of which nothing else remains."""
    intent = open_intent(
        customer=session["customer"],
        amount=session["amount_total"],
        currency=session["currency"],
        at=at,
    )
    charge = build_charge(
        id=new_id("charge"), intent=intent, method=method, created=at, status="failed"
    )
    emit(world, "charge.failed", charge | _failed(decline), at)


def _failed(decline: cards.Decline) -> Object:
    return {
        "captured": False,
        "amount_captured": 0,
        "paid": False,
        "failure_code": decline.code,
        "failure_message": decline.message,
    }
