"""Coupons, promotion codes, and the discounts that they became."""

import secrets
from typing import Any

from simulator.api.calls import LIST, page, route
from simulator.core import discounts
from simulator.core.errors import refused
from simulator.core.events import emit, update
from simulator.core.objects import new_id
from simulator.core.params import METADATA, Each, merged
from simulator.core.shapes import Object
from simulator.core.world import World

MOST_PERCENT = 100


@route(
    "POST",
    "/v1/coupons",
    id=str,
    name=str,
    amount_off=int,
    percent_off=float,
    currency=str,
    currency_options=Each({"amount_off!": int}),
    duration=("forever", "once", "repeating"),
    duration_in_months=int,
    max_redemptions=int,
    redeem_by=int,
    applies_to={"products": [str]},
    metadata=METADATA,
)
def create_coupon(world: World, params: Object) -> Object:
    if ("amount_off" in params) is ("percent_off" in params):
        raise refused("You must pass one of percent_off and amount_off.", code="parameter_missing")
    if "amount_off" in params and "currency" not in params:
        raise refused("You must pass currency when passing amount_off", "currency")
    if not 0 < params.get("percent_off", 1) <= MOST_PERCENT or params.get("amount_off", 1) < 1:
        raise refused("A coupon takes off more than nothing, and 100 percent at the most.")
    repeats = params.get("duration", "once") == "repeating"
    if repeats is not ("duration_in_months" in params):
        raise refused(
            "`duration_in_months` goes with the duration `repeating`.", "duration_in_months"
        )
    at = world.now()
    if params.get("redeem_by", at + 1) <= at:
        raise refused("The parameter `redeem_by` expects a date in the future.", "redeem_by")
    identity = params.pop("id", None) or secrets.token_hex(4)
    if world.store.get(identity):
        raise refused("Coupon already exists.", "id", "resource_already_exists")
    products = params.pop("applies_to", {}).get("products", [])
    for product in products:
        world.must("product", product, "applies_to[products]")
    options = params.pop("currency_options", {})
    return world.store.put(
        {
            "id": identity,
            "object": "coupon",
            "created": at,
            "duration": "once",
            **params,
            "_products": products,
            "_currency_options": options,
        }
    )


@route("GET", "/v1/coupons", **LIST)
def list_coupons(world: World, params: Object) -> Object:
    return page(world, "coupon", params, "/v1/coupons")


@route("GET", "/v1/coupons/<coupon>")
def retrieve_coupon(world: World, params: Object, coupon: str) -> Object:
    del params
    return world.must("coupon", coupon)


@route(
    "POST",
    "/v1/promotion_codes",
    **{
        "promotion!": {"type!": ("coupon",), "coupon!": str},
        "code": str,
        "active": bool,
        "customer": str,
        "expires_at": int,
        "max_redemptions": int,
        "metadata": METADATA,
    },
)
def create_promotion_code(world: World, params: Object) -> Object:
    world.must("coupon", params["promotion"]["coupon"], "promotion[coupon]")
    if "customer" in params:
        world.must("customer", params["customer"], "customer")
    code = params.pop("code", None) or secrets.token_hex(4).upper()
    if discounts.code_named(world, code):
        raise refused(f"An active promotion code with `code: {code}` already exists.", "code")
    return world.store.put(
        {
            "id": new_id("promotion_code"),
            "object": "promotion_code",
            "created": world.now(),
            "code": code,
            **params,
        }
    )


@route("GET", "/v1/promotion_codes", **LIST, code=str, coupon=str, active=bool)
def list_promotion_codes(world: World, params: Object) -> Object:
    where: dict[str, Any] = {
        "key": params["code"].lower() if "code" in params else None,
        "parent": params.get("coupon"),
    }
    clauses = []
    if "active" in params:
        clauses.append(("coalesce(json_extract(data, '$.active'), 1) = ?", int(params["active"])))
    url = "/v1/promotion_codes"
    return page(world, "promotion_code", params, url, where=where, clauses=clauses)


@route("GET", "/v1/promotion_codes/<code>")
def retrieve_promotion_code(world: World, params: Object, code: str) -> Object:
    del params
    return world.must("promotion_code", code)


@route(
    "POST",
    "/v1/promotion_codes/<code>",
    active=bool,
    metadata=METADATA,
)
def update_promotion_code(world: World, params: Object, code: str) -> Object:
    found = world.must("promotion_code", code)
    metadata = merged(found["metadata"], params.pop("metadata", None))
    return world.store.put({**found, **params, "metadata": metadata})


@route("DELETE", "/v1/subscriptions/<subscription>/discount")
def delete_subscription_discount(world: World, params: Object, subscription: str) -> Object:
    del params
    found, at = world.must("subscription", subscription), world.now()
    if not found["discounts"]:
        raise refused("This subscription has no discount to delete.")
    gone = world.store.one(found["discounts"][-1])
    fields = discounts.fields(world, found["discounts"][:-1])
    update(world, "customer.subscription.updated", found, at, **fields)
    return _deleted(world, gone, at)


@route("DELETE", "/v1/customers/<customer>/discount")
def delete_customer_discount(world: World, params: Object, customer: str) -> Object:
    del params
    found, at = world.must("customer", customer), world.now()
    if not found["discount"]:
        raise refused("This customer has no discount to delete.")
    gone = world.store.one(found["discount"]["id"])
    update(world, "customer.updated", found, at, discount=None)
    return _deleted(world, gone, at)


def _deleted(world: World, discount: Object, at: int) -> Object:
    emit(world, "customer.discount.deleted", discount, at)
    names = ("id", "object", "checkout_session", "customer", "promotion_code", "source", "start")
    return {**{name: discount[name] for name in names}, "deleted": True, "invoice": None}
