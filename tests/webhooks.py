"""Webhooks in tests: an event of Stripe, signed and delivered."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

from tests.conftest import WEBHOOK_SECRET

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse


def event(**values: Any) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "object": "event",
        "type": "customer.subscription.updated",
        "livemode": False,
        "created": int(time.time()),
        "api_version": "2026-08-26.dahlia",
        "pending_webhooks": 1,
        "request": None,
        "data": {"object": {"id": "sub_1", "object": "subscription", "customer": "cus_1"}},
    } | values


def deliver(
    client: FlaskClient,
    body: dict[str, Any] | bytes,
    *,
    secret: str = WEBHOOK_SECRET,
    age: int = 0,
) -> TestResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    at = int(time.time()) - age
    signature = hmac.new(secret.encode(), f"{at}.".encode() + raw, hashlib.sha256).hexdigest()
    return client.post(
        "/webhooks/stripe", data=raw, headers={"Stripe-Signature": f"t={at},v1={signature}"}
    )
