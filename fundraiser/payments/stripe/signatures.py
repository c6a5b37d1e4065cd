"""Verify signatures of Stripe's webhooks, and say why one is refused."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING

import stripe

from fundraiser.errors import BadRequestError
from fundraiser.payments.stripe.types import read_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundraiser.payments.stripe.types import StripeEvent

_TOLERANCE = 300  # seconds, as in Stripe's libraries
_HEADER = re.compile(r"t=(\d{1,12})(?:,v\d=[0-9a-f]{64}){1,8}")
# Malformed, nested too deeply, or with an impossible time.
_NO_EVENT = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    ArithmeticError,
    OSError,
)
_LONGEST_HEADER = 1024


class WebhookReason(StrEnum):
    """Why we refused a webhook; the values are in metrics and in the database."""

    NO_SIGNATURE = "no_signature"
    SIGNATURE = "signature"
    TOO_OLD = "too_old"
    TOO_NEW = "too_new"
    NOT_AN_EVENT = "not_an_event"
    THIN = "thin"
    OTHER_MODE = "other_mode"


class ForgedWebhookError(BadRequestError):
    """A wrong or outdated signature, or a body that is no snapshot event."""

    def __init__(self, reason: WebhookReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_webhook(secrets: Sequence[str], body: bytes, signature: str) -> StripeEvent:
    """Verify a webhook's raw bytes with each secret, and parse the event.

    Raises:
        ForgedWebhookError: no secret fits, the clocks differ by over 5 minutes, or it is no
            event.
    """
    header = _HEADER.fullmatch(signature) if len(signature) <= _LONGEST_HEADER else None
    if header is None:
        raise ForgedWebhookError(
            WebhookReason.NO_SIGNATURE, "There is no signature of Stripe's with this body."
        )
    if not _is_signed(secrets, body, signature):
        raise ForgedWebhookError(
            WebhookReason.SIGNATURE,
            "The signature does not fit this body: check STRIPE_WEBHOOK_SECRET.",
        )
    ahead = int(header[1]) - time.time()
    if ahead < -_TOLERANCE:
        raise ForgedWebhookError(
            WebhookReason.TOO_OLD, "The signature is too old, or our clock is ahead of Stripe's."
        )
    if ahead > _TOLERANCE:
        raise ForgedWebhookError(
            WebhookReason.TOO_NEW, "The signature is of a time to come: our clock is behind."
        )
    return _read_event(body)


def _is_signed(secrets: Sequence[str], body: bytes, signature: str) -> bool:
    for secret in secrets:
        with suppress(stripe.SignatureVerificationError, UnicodeDecodeError):
            stripe.WebhookSignature.verify_header(body.decode(), signature, secret, None)
            return True
    return False


def _read_event(body: bytes) -> StripeEvent:
    try:
        event = json.loads(body)
        if event.get("object") == "v2.core.event":
            raise ForgedWebhookError(
                WebhookReason.THIN,
                "This is a thin payload, which does not say what changed: "
                "point an endpoint for snapshot payloads here.",
            )
        return read_event(event)
    except _NO_EVENT as error:
        raise ForgedWebhookError(
            WebhookReason.NOT_AN_EVENT, "The body is signed, but it is not an event."
        ) from error
