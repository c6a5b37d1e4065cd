"""Money moving, or not: payment intents, charges, refunds, disputes."""

from dataclasses import dataclass
from typing import Literal

from simulator import cards
from simulator.balance import DISPUTE_FEES, enter, shown
from simulator.due import DEBIT_SETTLES_AFTER, REFUND_FAILS_AFTER
from simulator.errors import StripeError, refused
from simulator.events import emit, update
from simulator.objects import new_id
from simulator.payment_objects import build_charge, build_payment_intent
from simulator.shapes import Object, full, public
from simulator.world import World


@dataclass(frozen=True)
class Outcome:
    """What the bank answers to one try."""

    status: Literal["succeeded", "processing", "failed", "requires_action"]
    decline: cards.Decline | None = None


def judge(method: Object | None, *, confirmed: bool = False, off_session: bool = False) -> Outcome:
    """What a charge on this payment method comes to; `confirmed`: 3-D Secure was passed."""
    if method is None:
        return Outcome("failed", cards.NO_METHOD)
    if method["type"] == "sepa_debit":
        return Outcome("processing")
    card = cards.CARDS.get(method["_number"])
    if card is None:
        return Outcome("failed", cards.NOT_A_TEST_CARD)
    asks = card.secure == "always" or (card.secure == "once" and not off_session)
    if asks and not confirmed:
        return Outcome("requires_action", cards.AUTHENTICATION_REQUIRED)
    if card.decline or card.charges_fail:
        return Outcome("failed", card.decline or cards.GENERIC)
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
    if outcome.status == "requires_action":
        return world.store.put(
            {
                **intent,
                "status": "requires_action",
                "next_action": {
                    "type": "redirect_to_url",
                    "redirect_to_url": {"return_url": None, "url": f"{world.base_url}/"},
                },
            }
        )
    made = {"succeeded": "succeeded", "processing": "pending"}.get(outcome.status, "failed")
    charge = build_charge(
        id=new_id("charge"), intent=intent, method=method, created=at, status=made
    )
    intent |= {"latest_charge": charge["id"], "next_action": None, "processing": None}
    if outcome.status == "succeeded":
        charge = book(world, charge, at)
        intent |= _succeeded(intent)
        if cards.CARDS[method["_number"]].later == "dispute":
            charge["_disputed_at"] = at + 1
    elif outcome.status == "processing":
        intent |= {"status": "processing", "_settles_at": at + DEBIT_SETTLES_AFTER}
        intent["processing"] = {"type": "card"} if method["type"] == "card" else None
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
    return world.store.put(intent)


def settle(world: World, intent: Object, *, succeeds: bool, at: int) -> Object:
    """A direct debit in process comes to its end; returns the payment intent."""
    charge = world.store.one(intent["latest_charge"])
    intent = {**intent, "processing": None, "_settles_at": None}
    if succeeds:
        charge = world.store.put({**book(world, charge, at), "status": "succeeded", "paid": True})
        emit(world, "charge.succeeded", charge, at)
        return world.store.put({**intent, **_succeeded(intent)})
    method = world.store.one(intent["payment_method"])
    world.store.put({**charge, **_failed(cards.DEBIT_REFUSED), "status": "failed"})
    error = last_error(cards.DEBIT_REFUSED, method, charge["id"])
    return world.store.put(
        {**intent, "status": "requires_payment_method", "last_payment_error": error}
    )


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
        "payment" if is_debit(charge) else "charge",
        source=charge["id"],
        amount=charge["amount"],
        currency=charge["currency"],
        at=at,
        description=charge.get("description"),
    )
    return {**charge, "balance_transaction": entry["id"], "amount_captured": charge["amount"]}


def is_debit(charge: Object) -> bool:
    return bool(charge["payment_method_details"]["type"] == "sepa_debit")


def _succeeded(intent: Object) -> Object:
    return {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "last_payment_error": None,
        "_settles_at": None,
    }


def _failed(decline: cards.Decline) -> Object:
    return {
        "captured": False,
        "amount_captured": 0,
        "paid": False,
        "failure_code": decline.code,
        "failure_message": decline.message,
    }


def refund(
    world: World,
    charge: Object,
    *,
    at: int,
    amount: int | None = None,
    reason: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Object:
    """Give money back, all that is left of the charge unless told otherwise."""
    left = charge["amount"] - charge["amount_refunded"]
    if charge["status"] != "succeeded":
        raise refused(f"Charge {charge['id']} has not succeeded, so it cannot be refunded.")
    if left == 0:
        raise refused(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if charge["disputed"]:
        raise refused(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    amount = left if amount is None else amount
    if amount <= 0:
        raise StripeError(
            "Invalid positive integer", param="amount", code="parameter_invalid_integer"
        )
    if amount > left:
        raise refused(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            param="amount",
        )
    refund_id = new_id("refund")
    entry = enter(
        world,
        "payment_refund" if is_debit(charge) else "refund",
        source=refund_id,
        amount=-amount,
        currency=charge["currency"],
        at=at,
    )
    method = world.named(charge, "payment_method")
    card = cards.CARDS.get(method["_number"]) if method else None
    fails = card is not None and card.later == "refund fails"
    made = world.store.put(
        {
            "id": refund_id,
            "object": "refund",
            "created": at,
            "amount": amount,
            "balance_transaction": entry["id"],
            "charge": charge["id"],
            "currency": charge["currency"],
            "metadata": metadata or {},
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "_fails_at": at + REFUND_FAILS_AFTER if fails else None,
        }
    )
    back = charge["amount_refunded"] + amount
    update(
        world,
        "charge.refunded",
        charge,
        at,
        amount_refunded=back,
        refunded=back == charge["amount"],
    )
    return made


def fail_refund(world: World, made: Object, at: int) -> Object:
    """The bank could not take the money back: the charge stands as before."""
    back = enter(
        world,
        "refund_failure",
        source=made["id"],
        amount=made["amount"],
        currency=made["currency"],
        at=at,
    )
    failed = world.store.put(
        {
            **made,
            "failure_balance_transaction": back["id"],
            "status": "failed",
            "failure_reason": "expired_or_canceled_card",
            "_fails_at": None,
        }
    )
    charge = world.store.one(made["charge"])
    left = charge["amount_refunded"] - made["amount"]
    world.store.put({**charge, "amount_refunded": left, "refunded": False})
    emit(world, "refund.failed", failed, at)
    return failed


def open_dispute(world: World, charge: Object, at: int, reason: str = "fraudulent") -> Object:
    """The payer disputes the charge with the bank."""
    if charge["disputed"] or charge["status"] != "succeeded":
        raise refused(f"Charge {charge['id']} cannot be disputed (again).")
    dispute_id = new_id("dispute")
    taken = enter(
        world,
        "dispute",
        source=dispute_id,
        amount=-charge["amount"],
        currency=charge["currency"],
        at=at,
        fee=DISPUTE_FEES.get(charge["currency"], DISPUTE_FEES["eur"]),
        description=f"Chargeback withdrawal for {charge['id']}",
    )
    made = world.store.put(
        {
            "id": dispute_id,
            "object": "dispute",
            "created": at,
            "balance_transactions": [shown(world, taken)],
            "amount": charge["amount"],
            "charge": charge["id"],
            "currency": charge["currency"],
            "evidence_details": {
                "due_by": at + 9 * 86400,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "payment_intent": charge["payment_intent"],
            "reason": reason,
        }
    )
    world.store.put({**charge, "disputed": True, "_disputed_at": None})
    emit(world, "charge.dispute.created", made, at)
    return made


def close_dispute(world: World, dispute: Object, *, won: bool, at: int) -> Object:
    if dispute["status"] in {"won", "lost"}:
        raise refused(f"Dispute {dispute['id']} is closed already.")
    moved = dispute["balance_transactions"]
    if won:  # the fee of a dispute stays with Stripe, whoever wins
        back = enter(
            world,
            "dispute_reversal",
            source=dispute["id"],
            amount=dispute["amount"],
            currency=dispute["currency"],
            at=at,
            description=f"Chargeback reversal for {dispute['charge']}",
        )
        moved = [*moved, shown(world, back)]
    return update(
        world,
        "charge.dispute.closed",
        dispute,
        at,
        status="won" if won else "lost",
        balance_transactions=moved,
    )
