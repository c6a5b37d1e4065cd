"""Our configuration of Stripe's customer portal: what members can do there.

Stripe opens no portal without one, and an account's default is whatever somebody once clicked. Ours
lets members change their payment method and see their invoices. They cancel and change the amount
on our own pages, which show the result first.
"""

from __future__ import annotations

from typing import Any

PORTAL_KEY = "fundraiser_portal"
_FEATURES: dict[str, dict[str, Any]] = {
    "payment_method_update": {"enabled": True},
    "invoice_history": {"enabled": True},
    "customer_update": {"enabled": False},
    "subscription_cancel": {"enabled": False},
    "subscription_update": {"enabled": False},
}


def portal_settings(public_url: str) -> dict[str, Any]:
    """The settings of our configuration; its metadata lets us find it again."""
    return {
        "default_return_url": f"{public_url}/account",
        "features": _FEATURES,
        "metadata": {PORTAL_KEY: public_url},
    }


def is_ours(found: dict[str, Any], public_url: str) -> bool:
    """Whether a configuration is ours and active."""
    return bool(found["active"]) and found["metadata"].get(PORTAL_KEY) == public_url


def is_as_it_should_be(found: dict[str, Any], public_url: str) -> bool:
    """Whether our configuration still has our settings."""
    return found["default_return_url"] == portal_settings(public_url)["default_return_url"] and all(
        found["features"][name]["enabled"] == wanted["enabled"]
        for name, wanted in _FEATURES.items()
    )
