"""Refunds: made, in process, failed afterwards, or refused for want of balance."""

from simulator.core import cards, disputes
from simulator.core.balance import enter
from simulator.core.due import REFUND_FAILS_AFTER, REFUND_SETTLES_AFTER
from simulator.core.errors import StripeError, refused
from simulator.core.events import emit, update
from simulator.core.objects import new_id
from simulator.core.payment_objects import is_card, is_debit
from simulator.core.shapes import Object
from simulator.core.world import World
from simulator.pages.show import money


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
    amount = _allowed(world, charge, amount)
    refund_id = new_id("refund")
    funds = world.choice("balance_for_refunds")
    if funds == "short":
        raise StripeError(
            "Insufficient funds in your Stripe balance to refund this amount.",
            code="balance_insufficient",
        )
    card = _test_card(world, charge)
    made: Object = {
        "id": refund_id,
        "object": "refund",
        "created": at,
        "amount": amount,
        "charge": charge["id"],
        "currency": charge["currency"],
        "metadata": metadata or {},
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        **_destination(charge),
    }
    slow = is_debit(charge) or (card and card.later == "refund pending")
    if funds == "waits":
        made |= {"status": "pending", "pending_reason": "insufficient_funds"}
    elif slow and world.on("refunds_in_process"):
        made |= {"status": "pending", "pending_reason": "processing"}
        made["_settles_at"] = at + REFUND_SETTLES_AFTER
    if card and card.later == "refund fails":
        made["_fails_at"] = at + REFUND_FAILS_AFTER
    if funds != "waits":
        made["balance_transaction"] = _out_of_balance(world, charge, made, at)
    made = world.store.put(made)
    back = charge["amount_refunded"] + amount
    emit(world, "refund.created", made, at)
    after = update(
        world,
        "charge.refunded",
        charge,
        at,
        amount_refunded=back,
        refunded=back == charge["amount"],
    )
    disputes.answer_by_refund(world, after, at)
    return made


def _allowed(world: World, charge: Object, amount: int | None) -> int:
    """How much is refunded, or Stripe's refusal."""
    left = charge["amount"] - charge["amount_refunded"]
    if charge["status"] != "succeeded":
        raise refused(f"Charge {charge['id']} has not succeeded, so it cannot be refunded.")
    if left == 0:
        raise refused(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    disputes.refuse_refund(world, charge)
    if amount is None:
        return int(left)
    if amount <= 0:
        raise StripeError(
            "This value must be greater than or equal to 1.",
            param="amount",
            code="parameter_invalid_integer",
        )
    if amount > left:
        currency = charge["currency"]
        raise refused(
            f"Refund amount ({money(amount, currency)}) is greater than unrefunded amount on charge"
            f" ({money(left, currency)})",
            param="amount",
        )
    return amount


def _test_card(world: World, charge: Object) -> cards.TestCard | None:
    method = world.named(charge, "payment_method")
    return cards.CARDS.get(method["_number"]) if method else None


def _destination(charge: Object) -> Object:
    if charge["payment_method_details"]["type"] == "card":
        return {"destination_details": {"card": {"type": "refund"}, "type": "card"}}
    return {}


def _out_of_balance(world: World, charge: Object, made: Object, at: int) -> str:
    entry = enter(
        world,
        "refund" if is_card(charge) else "payment_refund",
        source=made["id"],
        amount=-made["amount"],
        currency=made["currency"],
        at=at,
    )
    return str(entry["id"])


def settle_refund(world: World, made: Object, *, succeeds: bool, at: int) -> Object:
    """A refund in process comes to its end."""
    if made["status"] != "pending":
        raise refused(f"Refund {made['id']} is {made['status']}, not pending.")
    if not succeeds:
        return fail_refund(world, made, at)
    done = {**made, "status": "succeeded", "_settles_at": None}
    done.pop("pending_reason", None)
    if made["balance_transaction"] is None:
        charge = world.store.one(made["charge"])
        done["balance_transaction"] = _out_of_balance(world, charge, made, at)
    world.store.put(done)
    return _told(world, made, done, at)


def come_due(world: World, made: Object, at: int) -> Object:
    """What time brings for a refund: it arrives, or it fails after all."""
    if made.get("_fails_at"):
        return fail_refund(world, made, at)
    return settle_refund(world, made, succeeds=True, at=at)


def fail_refund(world: World, made: Object, at: int) -> Object:
    """The bank could not take the money back: the charge stands as before."""
    failed = {
        **made,
        "status": "failed",
        "failure_reason": "expired_or_canceled_card" if "_fails_at" in made else "unknown",
        "_fails_at": None,
        "_settles_at": None,
    }
    failed.pop("pending_reason", None)
    if made["balance_transaction"]:
        back = enter(
            world,
            "refund_failure",
            source=made["id"],
            amount=made["amount"],
            currency=made["currency"],
            at=at,
        )
        failed["failure_balance_transaction"] = back["id"]
    world.store.put(failed)
    charge = world.store.one(made["charge"])
    left = charge["amount_refunded"] - made["amount"]
    world.store.put({**charge, "amount_refunded": left, "refunded": False})
    emit(world, "refund.failed", failed, at)
    return _told(world, made, failed, at)


def _told(world: World, before: Object, after: Object, at: int) -> Object:
    previous = {"status": before["status"]}
    for kind in ("refund.updated", "charge.refund.updated"):
        emit(world, kind, after, at, previous)
    return after
