"""Payment methods: made, attached to a customer, detached, listed."""

from simulator.api.calls import LIST, page, route
from simulator.core import methods
from simulator.core.cards import CARDS, NOT_A_TEST_CARD, TEST_METHODS
from simulator.core.errors import StripeError
from simulator.core.events import update
from simulator.core.expand import listing
from simulator.core.objects import build_card, new_id
from simulator.core.params import METADATA, Clearable, merged
from simulator.core.shapes import ADDRESS, BILLING_DETAILS, Object
from simulator.core.world import World

DETAILS = {
    "address": Clearable({name: Clearable(str) for name in ADDRESS}),
    "email": Clearable(str),
    "name": Clearable(str),
    "phone": Clearable(str),
}


@route(
    "POST",
    "/v1/payment_methods",
    **{
        "type!": ("card",),
        "card!": {"number!": str, "exp_month!": int, "exp_year!": int, "cvc": str},
        "billing_details": DETAILS,
        "metadata": METADATA,
    },
)
def create_method(world: World, params: Object) -> Object:
    """A card by its number, which Stripe lets an account do only once it is allowed to."""
    card = params["card"]
    if card["number"] not in CARDS:
        raise _declined(NOT_A_TEST_CARD.message, NOT_A_TEST_CARD.code)
    made = build_card(
        id=new_id("payment_method"),
        customer=None,
        created=world.now(),
        number=card["number"],
        exp_month=card["exp_month"],
        exp_year=card["exp_year"],
    )
    made["billing_details"] = _details(BILLING_DETAILS, params.get("billing_details", {}))
    return world.store.put({**made, "metadata": params.get("metadata", {})})


def _details(before: Object, given: Object) -> Object:
    details = {**before, **given}
    if given.get("address"):
        details["address"] = {**ADDRESS, **given["address"]}
    return details


@route("GET", "/v1/payment_methods/<method>")
def retrieve_method(world: World, params: Object, method: str) -> Object:
    del params
    return world.must("payment_method", method)


@route("POST", "/v1/payment_methods/<method>", billing_details=DETAILS, metadata=METADATA)
def update_method(world: World, params: Object, method: str) -> Object:
    found = world.must("payment_method", method)
    details = _details(found["billing_details"], params.get("billing_details", {}))
    metadata = merged(found["metadata"], params.get("metadata"))
    changed = {"billing_details": details, "metadata": metadata}
    return update(world, "payment_method.updated", found, world.now(), **changed)


def known_method(world: World, identity: str, param: str | None = None) -> Object:
    """The payment method of that id; Stripe's test ids (`pm_card_visa`) make a new one."""
    number = TEST_METHODS.get(identity)
    if number is None:
        return world.must("payment_method", identity, param)
    at = world.now()
    made = build_card(id=new_id("payment_method"), customer=None, created=at, number=number)
    return world.store.put(made)


@route("POST", "/v1/payment_methods/<method>/attach", **{"customer!": str})
def attach_method(world: World, params: Object, method: str) -> Object:
    world.must("customer", params["customer"], "customer")
    found = known_method(world, method)
    card = CARDS.get(found["_number"])
    if card and card.decline and not card.charges_fail:
        raise _declined(card.decline.message, card.decline.code, card.decline.decline_code)
    return methods.attach(world, found, params["customer"], world.now())


def _declined(message: str, code: str, decline_code: str | None = None) -> StripeError:
    return StripeError(message, status=402, kind="card_error", code=code, decline_code=decline_code)


@route("POST", "/v1/payment_methods/<method>/detach")
def detach_method(world: World, params: Object, method: str) -> Object:
    del params
    return methods.detach(world, world.must("payment_method", method), world.now())


@route("GET", "/v1/payment_methods", **LIST, customer=str, type=str)
def list_methods(world: World, params: Object) -> Object:
    return _methods(world, params, params.get("customer"), "/v1/payment_methods")


@route("GET", "/v1/customers/<customer>/payment_methods", **LIST, type=str)
def list_customers_methods(world: World, params: Object, customer: str) -> Object:
    world.must("customer", customer)
    return _methods(world, params, customer, f"/v1/customers/{customer}/payment_methods")


def _methods(world: World, params: Object, customer: str | None, url: str) -> Object:
    if customer is None:
        return listing([], url)
    clauses = []
    if "type" in params:
        clauses.append(("coalesce(json_extract(data, '$.type'), 'card') = ?", params["type"]))
    where = {"customer": customer}
    return page(world, "payment_method", params, url, where=where, clauses=clauses)
