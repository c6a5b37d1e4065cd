"""Changes that wait for their payment: ``payment_behavior=pending_if_incomplete``."""

from simulator.core import billing, changes, payments
from simulator.core.due import INCOMPLETE_FOR
from simulator.core.errors import refused
from simulator.core.events import emit, update
from simulator.core.proration import with_balance
from simulator.core.shapes import Object
from simulator.core.world import World

MAY_WAIT = {"items", "off_session"}


def check(params: Object) -> None:
    """Refuse what can't wait for a payment: all but a change of items."""
    for name in params:
        if name not in MAY_WAIT:
            raise refused(
                f"You cannot pass `{name}` with `payment_behavior` set to"
                " `pending_if_incomplete`: it is not supported by pending updates.",
                name,
            )


def begin(world: World, change: changes.Change, at: int) -> Object | None:
    """The fields of a change that waits for its payment; None if the payment succeeds at once."""
    after = change.subscription
    customer = world.store.one(after["customer"])
    method = billing.method_for(world, after)
    outcome = payments.judge(method, off_session=True)
    if outcome.status in {"succeeded", "processing"}:
        return None
    made = billing.draft(
        world, after, customer, at, reason="subscription_update", lines=change.lines
    )
    if with_balance(made, customer)["amount_due"] == 0:
        billing.pay(world, billing.finalize(world, made, at), method, outcome, at)
        return {name: after[name] for name in ("items", "billing_cycle_anchor")}
    emit(world, "invoice.created", made, at)
    opened = billing.finalize(world, made, at)
    intent, _link = billing.intent_of(world, opened, at)
    payments.confirm(world, intent, method, outcome, at)
    waits = {name: after.get(name) for name in ("items", "billing_cycle_anchor", "_units")}
    unpaid = world.store.put(
        {
            **opened,
            "attempted": True,
            "attempt_count": 1,
            "auto_advance": False,
            "next_payment_attempt": None,
            "_pending_update": {**waits, "_units": waits["_units"] or {}},
        }
    )
    if outcome.status == "requires_action":
        emit(world, "invoice.payment_action_required", unpaid, at)
    emit(world, "invoice.payment_failed", unpaid, at)
    shown: Object = {
        "billing_cycle_anchor": None,
        "expires_at": at + INCOMPLETE_FOR,
        "subscription_items": after["items"]["data"],
        "trial_end": None,
        "trial_from_plan": None,
    }
    return {"latest_invoice": unpaid["id"], "pending_update": shown}


def expire(world: World, subscription: Object, at: int) -> None:
    """Nobody paid in time: the invoice is void, and the change is forgotten."""
    invoice = world.store.one(subscription["latest_invoice"])
    if invoice["status"] == "open":
        billing.close_unpaid(world, invoice, "void", at)
    kind = "customer.subscription.pending_update_expired"
    update(world, kind, subscription, at, pending_update=None)
