"""What Stripe calls."""

from __future__ import annotations

import structlog
from flask import Blueprint, current_app, request

from fundraiser.incidents import Kind, note
from fundraiser.payments import ForgedWebhookError, Refused, current_gateway, note_refusal
from fundraiser.security import cookieless
from fundraiser.webhooks.inbox import current_inbox

blueprint = Blueprint("webhooks", __name__)
log = structlog.get_logger()


@blueprint.post("/webhooks/stripe")
@cookieless
def stripe() -> tuple[str, int]:
    """Store a signed event and answer; the work is done later, by a worker."""
    try:
        event = current_gateway().read_webhook(
            request.get_data(cache=False), request.headers.get("Stripe-Signature", "")
        )
        current_inbox().take(event)
    except ForgedWebhookError as error:
        log.warning("webhook_refused", reason=error.reason.value)
        note(Kind.STRIPE_WEBHOOK, error.reason.value)
        engine = current_app.extensions["database"].engine
        note_refusal(engine, Refused.WEBHOOK, error.reason.value)
        raise
    return "", 204
