"""Warnings about refused webhooks and missing rights, one sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_babel import ngettext

from fundraiser.payments import WebhookReason, refused_calls, refused_webhooks
from fundraiser.texts import Named, gettext as _

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def stripe_troubles(session: Session) -> list[Named]:
    """Webhooks refused since the last accepted one, and calls that our key may not make."""
    found = [
        Named(
            f"webhooks-refused-{reason}",
            ngettext(
                "We’ve refused %(num)s webhook from Stripe since the last one we accepted: "
                "%(why)s.",
                "We’ve refused %(num)s webhooks from Stripe since the last one we accepted: "
                "%(why)s.",
                count,
                why=_why(reason),
            ),
        )
        for reason, count in refused_webhooks(session).items()
        # Anybody can send something unsigned, and nothing is wrong with us then.
        if reason != WebhookReason.NO_SIGNATURE.value
    ]
    if rights := refused_calls(session):
        sentence = _(
            "Our Stripe key lacks permissions, so some payments fail: %(rights)s.",
            rights=", ".join(rights),
        )
        found.append(Named("rights-missing", sentence))
    return found


def _why(reason: str) -> str:
    match reason:
        case WebhookReason.SIGNATURE:
            return _("the signing secret is wrong")
        case WebhookReason.TOO_OLD:
            return _("our clock is ahead of Stripe’s")
        case WebhookReason.TOO_NEW:
            return _("our clock is behind Stripe’s")
        case WebhookReason.THIN:
            return _("a Stripe endpoint sends thin payloads")
        case WebhookReason.OTHER_MODE:
            return _("Stripe is calling us from its other mode, test or live")
    return _("what arrived wasn’t an event")
