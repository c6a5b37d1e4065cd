"""Authenticate calls: secret keys, and restricted keys with their rights."""

import base64
import json

from flask import Request

from simulator import ACCOUNT
from simulator.core.errors import StripeError
from simulator.core.world import World

_MONEY = ("balance", "balance_transactions", "payouts")
# What the key that bookkeeping was forgotten for may do.
WITHOUT_MONEY = "rk_test_without_money"
# Keys that were rolled since.
ROLLED = {"sk_test_rolled", "rk_test_rolled"}
# A path's first words, and what Stripe calls the right to it.
_NAMES = {
    "account": "accounts_kyc_basic",
    "balance": "balance",
    "balance_transactions": "balance_transaction_source",
    "billing_portal": "customer_portal",
    "charges": "charge",
    "checkout_sessions": "checkout_session",
    "coupons": "coupon",
    "customers": "customer",
    "disputes": "dispute",
    "event_destinations": "event_destination",
    "events": "event",
    "invoice_payments": "invoice",
    "invoiceitems": "invoice",
    "invoices": "invoice",
    "payment_intents": "payment_intent",
    "payment_methods": "payment_method",
    "payouts": "payout",
    "prices": "plan",
    "products": "product",
    "promotion_codes": "promotion_code",
    "refunds": "charge",
    "setup_intents": "setup_intent",
    "subscription_items": "subscription",
    "subscription_schedules": "subscription",
    "subscriptions": "subscription",
    "webhook_endpoints": "webhook",
}
_LEVELS = ("read", "write")


def authenticate(request: Request) -> str:
    """The call's key; only test keys, since a live key at a simulator is a mistake."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    key = credentials
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(credentials).decode().partition(":")[0]
        except ValueError:
            key = ""
    if not key:
        raise StripeError(
            "You did not provide an API key. You need to provide your API key in the"
            " Authorization header, using Bearer auth (e.g. 'Authorization: Bearer"
            " YOUR_SECRET_KEY').",
            status=401,
        )
    if key.startswith(("sk_live_", "rk_live_")):
        raise StripeError(
            "Invalid API Key provided: this is the simulator, and it refuses live keys.", status=401
        )
    if not key.startswith(("sk_test_", "rk_test_")) or key in ROLLED:
        raise StripeError(f"Invalid API Key provided: {masked(key)}", status=401)
    return key


def authorise(world: World, key: str, method: str, path: str) -> None:
    """Refuse a call that a restricted key has no right to; write includes read."""
    if not key.startswith("rk_test_") or not world.on("restricted_keys"):
        return
    rights = rights_of(world, key)
    resource = resource_of(path)
    if rights is None or resource is None:
        return
    level = "read" if method == "GET" else "write"
    if f"{resource}:write" in rights or f"{resource}:{level}" in rights:
        return
    account = world.choice("account") or ACCOUNT
    raise StripeError(
        f"The provided key '{masked(key)}' does not have the required permissions for this endpoint"
        f" on account '{account}'. Having the 'rak_{_NAMES[resource]}_{level}' permission"
        " would allow this request to continue.",
        status=403,
    )


def resource_of(path: str) -> str | None:
    """The resource of a call, as rights name it; None if it is no API operation."""
    words = path.strip("/").split("/")
    name = words[1] if len(words) > 1 else ""
    if name == "checkout":
        name = "_".join(words[1:3])
    if name == "core":
        name = words[2]
    if name == "customers" and words[3:4] == ["payment_methods"]:
        name = "payment_methods"
    return name if name in _NAMES else None


def rights_of(world: World, key: str) -> set[str] | None:
    """A restricted key's rights; None if unspecified, which allows everything."""
    known = json.loads(world.store.setting("keys", "{}"))
    if key in known:
        return set(known[key])
    if key == WITHOUT_MONEY:
        return {f"{name}:write" for name in _NAMES if name not in _MONEY}
    return None


def give(world: World, key: str, rights: list[str]) -> None:
    """Register a restricted key; raises ValueError with a sentence."""
    if not key.startswith("rk_test_"):
        raise ValueError("A restricted key begins with rk_test_.")
    for right in rights:
        name, _, level = right.partition(":")
        if name not in _NAMES or level not in _LEVELS:
            raise ValueError(
                f"'{right}' is no right, like customers:write; there are {', '.join(_NAMES)},"
                " each with :read or :write."
            )
    known = json.loads(world.store.setting("keys", "{}"))
    known[key] = sorted(set(rights))
    world.store.set_setting("keys", json.dumps(known))


def masked(key: str) -> str:
    """A key as Stripe's errors show it."""
    start = key[:8]
    return f"{start}{'*' * max(len(key) - 12, 1)}{key[-4:]}"
