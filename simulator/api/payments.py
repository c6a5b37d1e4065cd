"""Payment intents, charges, refunds and disputes."""

from simulator.api.calls import LIST, page, route
from simulator.core import microdeposits, refunds
from simulator.core.errors import refused
from simulator.core.params import METADATA, merged
from simulator.core.shapes import Object
from simulator.core.world import World


@route("GET", "/v1/payment_intents/<intent>")
def retrieve_intent(world: World, params: Object, intent: str) -> Object:
    del params
    return world.must("payment_intent", intent)


@route("GET", "/v1/payment_intents", **LIST, customer=str)
def list_intents(world: World, params: Object) -> Object:
    where = {"customer": params.get("customer")}
    return page(world, "payment_intent", params, "/v1/payment_intents", where=where)


@route("POST", "/v1/payment_intents/<intent>", metadata=METADATA, description=str)
def update_intent(world: World, params: Object, intent: str) -> Object:
    found = world.must("payment_intent", intent)
    metadata = merged(found["metadata"], params.pop("metadata", None))
    return world.store.put({**found, **params, "metadata": metadata})


@route(
    "POST",
    "/v1/payment_intents/<intent>/verify_microdeposits",
    amounts=[int],
    descriptor_code=str,
)
def verify_microdeposits(world: World, params: Object, intent: str) -> Object:
    found, code = world.must("payment_intent", intent), params.get("descriptor_code")
    amounts = params.get("amounts")
    return microdeposits.verify_by(world, found, code=code, amounts=amounts, at=world.now())


@route("GET", "/v1/charges/<charge>")
def retrieve_charge(world: World, params: Object, charge: str) -> Object:
    del params
    return world.must("charge", charge)


@route("GET", "/v1/charges", **LIST, customer=str, payment_intent=str)
def list_charges(world: World, params: Object) -> Object:
    where = {"customer": params.get("customer"), "parent": params.get("payment_intent")}
    return page(world, "charge", params, "/v1/charges", where=where)


@route(
    "POST",
    "/v1/refunds",
    charge=str,
    payment_intent=str,
    amount=int,
    reason=("duplicate", "fraudulent", "requested_by_customer"),
    metadata=METADATA,
)
def create_refund(world: World, params: Object) -> Object:
    if ("charge" in params) is ("payment_intent" in params):
        raise refused("You must provide one of `charge` or `payment_intent`.", "charge")
    if "charge" in params:
        charge = world.must("charge", params["charge"], "charge")
    else:
        intent = world.must("payment_intent", params["payment_intent"], "payment_intent")
        found = world.named(intent, "latest_charge")
        if found is None:
            raise refused(
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
            )
        charge = found
    return refunds.refund(
        world,
        charge,
        at=world.now(),
        amount=params.get("amount"),
        reason=params.get("reason"),
        metadata=params.get("metadata"),
    )


@route("GET", "/v1/refunds/<refund>")
def retrieve_refund(world: World, params: Object, refund: str) -> Object:
    del params
    return world.must("refund", refund)


@route("GET", "/v1/refunds", **LIST, charge=str, payment_intent=str)
def list_refunds(world: World, params: Object) -> Object:
    where = {"parent": params.get("charge"), "key": params.get("payment_intent")}
    return page(world, "refund", params, "/v1/refunds", where=where)


@route("GET", "/v1/disputes/<dispute>")
def retrieve_dispute(world: World, params: Object, dispute: str) -> Object:
    del params
    return world.must("dispute", dispute)


@route("GET", "/v1/disputes", **LIST, charge=str, payment_intent=str)
def list_disputes(world: World, params: Object) -> Object:
    where = {"parent": params.get("charge"), "key": params.get("payment_intent")}
    return page(world, "dispute", params, "/v1/disputes", where=where)
