"""What Stripe calls."""

from __future__ import annotations

from flask import Blueprint, request

from fundraiser.payments.gateway import current_gateway
from fundraiser.security import cookieless
from fundraiser.webhooks.inbox import current_inbox

blueprint = Blueprint("webhooks", __name__)


@blueprint.post("/webhooks/stripe")
@cookieless
def stripe() -> tuple[str, int]:
    """Store a signed event and answer; the work is done later, by a worker."""
    knock = current_gateway().read_webhook(
        request.get_data(cache=False), request.headers.get("Stripe-Signature", "")
    )
    current_inbox().take(knock)
    return "", 204
