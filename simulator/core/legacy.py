"""Payments from before payment intents, as old accounts still have them."""

from simulator.core.errors import refused
from simulator.core.shapes import Object
from simulator.core.world import World


def forget_intent(world: World, invoice: Object) -> Object:
    """Turn a paid invoice's payment into a charge without an intent; returns the charge.

    Its `invoice_payment` names the charge (`type` is `charge`); charge, refunds and disputes have
    no `payment_intent`.
    """
    found = world.store.find(
        "invoice_payment", where={"parent": invoice["id"], "status": "paid"}, limit=1
    )
    if not found or found[0]["payment"]["type"] != "payment_intent":
        raise refused(f"No payment intent has paid {invoice['id']}.", "invoice")
    link = found[0]
    intent = world.store.one(link["payment"]["payment_intent"])
    charge = world.store.one(intent["latest_charge"])
    if not world.on("charges_without_intent"):
        return charge
    world.store.put({**link, "payment": {"type": "charge", "charge": charge["id"]}})
    for kind in ("refund", "dispute"):
        for one in world.store.find(kind, where={"parent": charge["id"]}):
            world.store.put({**one, "payment_intent": None})
    world.store.delete(intent["id"])
    return world.store.put({**charge, "payment_intent": None})
