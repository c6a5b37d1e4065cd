"""Webhook endpoints."""

from __future__ import annotations

import structlog
from flask import Blueprint, current_app, request

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.incidents import Kind, note
from fundraiser.payments import ForgedWebhookError, Refused, current_gateway, note_refusal
from fundraiser.security import cookieless
from fundraiser.sources.live import hook
from fundraiser.webhooks.inbox import current_inbox

blueprint = Blueprint("webhooks", __name__)
log = structlog.get_logger()


@blueprint.post("/webhooks/stripe")
@cookieless
def stripe() -> tuple[str, int]:
    """Store a signed Stripe event and answer; a worker processes it later."""
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


@blueprint.post("/webhooks/patreon")
@cookieless
def patreon() -> tuple[str, int]:
    """Note which member a Patreon webhook is about; a worker fetches the member later."""
    try:
        member = hook.read(
            current_settings().patreon,
            request.headers.get("X-Patreon-Event", ""),
            request.get_data(cache=False),
            request.headers.get("X-Patreon-Signature", ""),
        )
    except hook.ForgedSourceWebhookError as error:
        log.warning("source_webhook_refused", source="patreon", reason=str(error))
        note(Kind.SOURCE_WEBHOOK)
        raise
    if member is not None:
        hook.note(db.session(), "patreon", member)
    return "", 204
