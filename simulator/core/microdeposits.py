"""Bank accounts that are verified by two small deposits before they are debited.

Until the payer tells what arrived, the payment intent is `requires_action`, and a subscription that
it begins is `incomplete`; Checkout is complete all the same.
"""

from simulator.core import billing, payments
from simulator.core.accounts import ACCOUNTS
from simulator.core.cards import Decline
from simulator.core.checkout import debit_settled
from simulator.core.errors import StripeError, refused
from simulator.core.events import emit, update
from simulator.core.shapes import Object
from simulator.core.world import World

CODE, AMOUNTS = "SM11AA", [32, 45]
FAILED = Decline(
    "payment_method_microdeposit_failed",
    "Microdeposit transfers failed. Please check the account, institution and transit numbers"
    " provided.",
    "none",
    hard=True,
)


def must_wait(intent: Object) -> None:
    """Raise Stripe's refusal unless the intent waits for its micro-deposits."""
    waits = (intent["next_action"] or {}).get("type") == "verify_with_microdeposits"
    if intent["status"] != "requires_action" or not waits:
        raise refused(
            f"You cannot verify a PaymentIntent that is {intent['status']}; it has to wait for"
            " micro-deposits.",
            code="payment_intent_unexpected_state",
        )


def verify_by(
    world: World, intent: Object, *, code: str | None, amounts: list[int] | None, at: int
) -> Object:
    """The payer tells the code or the sums that arrived at the bank."""
    must_wait(intent)
    if code is None and amounts is None:
        raise refused("You must provide one of `amounts` or `descriptor_code`.")
    known = code == CODE if code is not None else amounts == AMOUNTS
    if not known:
        what = "descriptor_code" if code is not None else "amounts"
        raise StripeError(
            f"The {what} provided do not match what was sent to the bank account.",
            code=f"payment_method_microdeposit_verification_{what}_mismatch",
            param=what,
        )
    method = world.store.one(intent["payment_method"])
    return verify(world, intent, succeeds=ACCOUNTS[method["_number"]].verifies, at=at)


def verify(world: World, intent: Object, *, succeeds: bool, at: int) -> Object:
    """Confirm the micro-deposits and start the debit, or let the verification fail."""
    must_wait(intent)
    method = world.store.one(intent["payment_method"])
    links = world.store.find("invoice_payment", where={"key": intent["id"]}, limit=1)
    invoice = world.store.one(links[0]["invoice"]) if links else None
    if not succeeds:
        return _given_up(world, intent, method, invoice, at)
    method = world.store.put({**method, "_unverified": False})
    debited = payments.confirm(world, intent, method, payments.judge(method), at)
    if invoice:
        count = invoice["attempt_count"] + 1
        world.store.put({**invoice, "attempted": True, "attempt_count": count})
        subscription = billing.subscription_of(world, invoice)
        if subscription["status"] == "incomplete":
            update(world, "customer.subscription.updated", subscription, at, status="active")
    return debited


def _given_up(
    world: World, intent: Object, method: Object, invoice: Object | None, at: int
) -> Object:
    over = world.store.put(
        {
            **intent,
            "status": "requires_payment_method",
            "next_action": None,
            "last_payment_error": payments.last_error(FAILED, method),
        }
    )
    emit(world, "payment_intent.payment_failed", over, at)
    if invoice:
        billing.failed(world, invoice, payments.Outcome("failed", FAILED), at)
    debit_settled(world, over, invoice, succeeds=False, at=at)
    return over
