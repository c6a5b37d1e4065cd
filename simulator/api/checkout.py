"""Checkout sessions, as the API makes them."""

import re
from typing import Any

from simulator.api.calls import LIST, page, route
from simulator.api.catalog import RECURRING, create_price
from simulator.core import checkout_sums
from simulator.core.accounts import EVERYWHERE, OFFERED, REDIRECTS
from simulator.core.checkout import expire
from simulator.core.due import CHECKOUT_OPEN_FOR
from simulator.core.errors import refused
from simulator.core.expand import listing
from simulator.core.objects import new_id
from simulator.core.params import METADATA
from simulator.core.proration import rhythm
from simulator.core.shapes import Object, full
from simulator.core.world import World

PRICE_DATA = {
    "currency!": str,
    "product": str,
    "product_data": {"name!": str, "description": str, "metadata": METADATA},
    "recurring": RECURRING,
    "unit_amount": int,
    "unit_amount_decimal": str,
    "tax_behavior": ("exclusive", "inclusive", "unspecified"),
}
SESSION = {
    "mode": ("payment", "setup", "subscription"),
    "line_items": [{"price": str, "price_data": PRICE_DATA, "quantity": int}],
    "customer": str,
    "customer_email": str,
    "customer_creation": ("always", "if_required"),
    "client_reference_id": str,
    "metadata": METADATA,
    "subscription_data": {
        "metadata": METADATA,
        "description": str,
        "trial_end": int,
        "trial_period_days": int,
    },
    "payment_intent_data": {
        "metadata": METADATA,
        "description": str,
        "receipt_email": str,
        "statement_descriptor": str,
        "statement_descriptor_suffix": str,
        "setup_future_usage": ("off_session", "on_session"),
    },
    "setup_intent_data": {"metadata": METADATA, "description": str},
    "payment_method_options": {
        "card": {"request_three_d_secure": ("any", "automatic", "challenge")}
    },
    "success_url": str,
    "cancel_url": str,
    "currency": str,
    "locale": str,
    "submit_type": ("auto", "book", "donate", "pay", "subscribe"),
    "billing_address_collection": ("auto", "required"),
    "allow_promotion_codes": bool,
    "discounts": [{"coupon": str, "promotion_code": str}],
    "expires_at": int,
    "ui_mode": ("hosted_page",),
    "custom_text": {
        "submit": {"message!": str},
        "after_submit": {"message!": str},
        "terms_of_service_acceptance": {"message!": str},
    },
    "automatic_tax": {"enabled!": bool},
}
# Stripe's least charges; other currencies are about as much.
LEAST = {"gbp": 30, "jpy": 50, "uah": 1000, "pln": 200, "chf": 50, "sek": 300, "nok": 300}
SHORTEST, LONGEST = 30 * 60, CHECKOUT_OPEN_FOR
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@route("POST", "/v1/checkout/sessions", **SESSION)
def create_session(world: World, params: Object) -> Object:
    now = world.now()
    mode = params.get("mode", "payment")
    _fits_together(params, mode)
    _fits_mode(params, mode)
    if "customer" in params:
        world.must("customer", params["customer"], "customer")
    codes = checkout_sums.given_codes(params, mode)
    wanted = params.get("currency")
    items = [
        _item(world, one, mode, place, wanted) for place, one in enumerate(params["line_items"])
    ]
    currency = items[0]["currency"] if items else params.get("currency", "eur")
    if any(item["currency"] != currency for item in items):
        raise refused("All line items must be in the same currency.", "line_items")
    if mode == "subscription":
        rhythm(items)
    expires = params.get("expires_at", now + CHECKOUT_OPEN_FOR)
    if not SHORTEST <= expires - now <= LONGEST:
        raise refused(
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from now.",
            "expires_at",
        )
    identity = new_id("checkout.session")
    session: Object = {
        "id": identity,
        "object": "checkout.session",
        "created": now,
        "expires_at": expires,
        "mode": mode,
        "currency": currency,
        "payment_method_types": _offered(world, currency, mode),
        "url": f"{world.hosted_url}/pay/{identity}",
        "_items": items,
        "_codes": codes,
        **{name: params[name] for name in KEPT if name in params},
        **{f"_{name}": params.get(name, {}) for name in PASSED_ON},
    }
    if mode == "subscription":
        session |= {"customer_creation": "always", "payment_method_collection": "always"}
    elif mode == "payment":
        session["customer_creation"] = params.get("customer_creation", "if_required")
    if "customer" in params:
        session["customer_creation"] = None
    session = checkout_sums.priced(world, full(session), now)
    total = session["amount_total"] or 0
    if 0 < total < LEAST.get(currency, 50):
        raise refused(
            "The Checkout Session's total amount due must add up to at least"
            f" {LEAST.get(currency, 50)} of the smallest unit of {currency}.",
            code="amount_too_small",
        )
    return world.store.put(session)


def _offered(world: World, currency: str, mode: str) -> list[str]:
    """The methods that Checkout offers: in setup, those that can be saved without a payment."""
    offered = OFFERED.get(currency, ["card"])
    if mode == "setup":
        offered = [name for name in offered if name not in REDIRECTS]
    return [*offered, *(EVERYWHERE if world.on("methods_without_card") else ())]


KEPT = (
    *("customer", "customer_email", "client_reference_id", "metadata", "success_url", "cancel_url"),
    *("locale", "submit_type", "billing_address_collection", "allow_promotion_codes"),
    "payment_method_options",
)
PASSED_ON = ("subscription_data", "payment_intent_data", "setup_intent_data")


def _fits_together(params: Object, mode: str) -> None:
    """Refuse addresses and customers that do not go together."""
    if "success_url" not in params:
        raise refused("Missing required param: success_url.", "success_url", "parameter_missing")
    for name in ("success_url", "cancel_url"):
        if name in params and not params[name].startswith(("http://", "https://")):
            raise refused("Not a valid URL", name, "url_invalid")
    if "customer" in params and "customer_email" in params:
        raise refused(
            "You may only specify one of these parameters: customer, customer_email.", "customer"
        )
    if not EMAIL.fullmatch(params.get("customer_email", "a@b.c")):
        address = params["customer_email"]
        raise refused(f"Invalid email address: {address}", "customer_email", "email_invalid")
    if "customer_creation" in params and (mode != "payment" or "customer" in params):
        raise refused(
            "`customer_creation` can only be used in `payment` mode without a customer.",
            "customer_creation",
        )


def _fits_mode(params: Object, mode: str) -> None:
    """Refuse what belongs to another mode, and a session that sells nothing."""
    for name, only in (
        ("subscription_data", "subscription"),
        ("payment_intent_data", "payment"),
        ("setup_intent_data", "setup"),
    ):
        if name in params and mode != only:
            raise refused(f"You can not pass `{name}` in `{mode}` mode.", name)
    if mode == "setup":
        params["line_items"] = []
    elif not params.get("line_items"):
        raise refused("Missing required param: line_items.", "line_items", "parameter_missing")


def _item(world: World, given: Object, mode: str, place: int, currency: str | None) -> Object:
    where = f"line_items[{place}]"
    if ("price" in given) is ("price_data" in given):
        raise refused("You must specify either `price` or `price_data`.", where)
    if "price" in given:
        price = world.must("price", given["price"], f"{where}[price]")
        if not price["active"]:
            raise refused(
                "The price specified is inactive. This field only accepts active prices.",
                f"{where}[price]",
            )
    else:
        price = create_price(world, {**given["price_data"], "active": False})
    if mode == "subscription" and price["recurring"] is None:
        raise refused(
            "You must provide at least one recurring price in `subscription` mode.", where
        )
    if mode == "payment" and price["recurring"] is not None:
        raise refused("You specified `payment` mode but passed a recurring price.", where)
    quantity = given.get("quantity", 1)
    if quantity < 1:
        raise refused("Invalid positive integer", f"{where}[quantity]")
    currency = (currency or price["currency"]).lower()
    amount = checkout_sums.amount_of(price, quantity, currency, where)
    product = world.store.one(price["product"])
    return {
        "id": new_id("item"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": currency,
        "description": product["name"],
        "metadata": {},
        "price": price,
        "quantity": quantity,
    }


@route("GET", "/v1/checkout/sessions/<session>")
def retrieve_session(world: World, params: Object, session: str) -> Object:
    del params
    return world.must("checkout.session", session)


@route("POST", "/v1/checkout/sessions/<session>", metadata=METADATA)
def update_session(world: World, params: Object, session: str) -> Object:
    found = world.must("checkout.session", session)
    return world.store.put({**found, **params})


@route("GET", "/v1/checkout/sessions/<session>/line_items", limit=int)
def list_items(world: World, params: Object, session: str) -> Object:
    del params
    found = world.must("checkout.session", session)
    return listing(found["_items"], f"/v1/checkout/sessions/{session}/line_items")


@route("POST", "/v1/checkout/sessions/<session>/expire")
def expire_session(world: World, params: Object, session: str) -> Object:
    del params
    found = world.must("checkout.session", session)
    if found["status"] != "open":
        raise refused(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This one is'
            f" {found['status']}."
        )
    return expire(world, found, world.now())


@route(
    "GET",
    "/v1/checkout/sessions",
    **LIST,
    customer=str,
    payment_intent=str,
    subscription=str,
    status=("complete", "expired", "open"),
    customer_details={"email!": str},
)
def list_sessions(world: World, params: Object) -> Object:
    where: dict[str, Any] = {
        "customer": params.get("customer"),
        "key": params.get("payment_intent"),
        "parent": params.get("subscription"),
        "status": params.get("status"),
    }
    clauses = []
    if "customer_details" in params:
        email = params["customer_details"]["email"]
        clauses.append(("json_extract(data, '$.customer_details.email') = ?", email))
    url = "/v1/checkout/sessions"
    return page(world, "checkout.session", params, url, where=where, clauses=clauses)
