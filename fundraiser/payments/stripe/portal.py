"""Our own configuration of Stripe's customer portal: what it lets a member do there.

Stripe opens no portal before one exists, and an account's default is whatever somebody once
clicked. Ours lets members change how they pay and see their invoices; cancelling and changing the
amount is done on our own pages, which say what it comes to.
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
    """The configuration as Stripe is to have it, found again by its metadata."""
    return {
        "default_return_url": f"{public_url}/account",
        "features": _FEATURES,
        "metadata": {PORTAL_KEY: public_url},
    }


def is_ours(found: dict[str, Any], public_url: str) -> bool:
    """Whether a configuration is the one that this service has made, and can be used."""
    return bool(found["active"]) and found["metadata"].get(PORTAL_KEY) == public_url


def is_as_it_should_be(found: dict[str, Any], public_url: str) -> bool:
    """Whether nobody has changed our configuration since."""
    return found["default_return_url"] == portal_settings(public_url)["default_return_url"] and all(
        found["features"][name]["enabled"] == wanted["enabled"]
        for name, wanted in _FEATURES.items()
    )
