"""Middleware that stores valid Stripe webhooks before Flask.

Stripe sends bursts, and Flask would take most of a webhook's time. Everything that isn't plainly
valid goes on to the app, which explains the error.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from fundraiser.errors import FundraiserError
from fundraiser.logs import name_request
from fundraiser.measures import ROUTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from fundraiser.payments import Gateway
    from fundraiser.webhooks.inbox import Inbox

_LARGEST = 1 << 20  # bytes: the app's own limit


class WebhookLayer:
    """WSGI middleware for Stripe's webhooks; it shares the app's inbox."""

    def __init__(
        self, app: WSGIApplication, gateway: Gateway, inbox: Inbox, headers: Mapping[str, str]
    ) -> None:
        self._app = app
        self._gateway = gateway
        self._inbox = inbox
        self._headers = list(headers.items())  # for accepted webhooks

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH") or "0"
        if (
            environ["PATH_INFO"] == "/webhooks/stripe"
            and environ["REQUEST_METHOD"] == "POST"
            and length.isdecimal()
            and 0 < int(length) <= _LARGEST
        ):
            environ[ROUTE] = environ["PATH_INFO"]
            name_request(environ)
            body = environ["wsgi.input"].read(int(length))
            if self._take(body, environ.get("HTTP_STRIPE_SIGNATURE", "")):
                start_response("204 No Content", self._headers)
                return ()
            environ["wsgi.input"] = BytesIO(body)
        return self._app(environ, start_response)

    def _take(self, body: bytes, signature: str) -> bool:
        """Verify and store the event; False if it is invalid or can't be stored."""
        try:
            self._inbox.take(self._gateway.read_webhook(body, signature))
        except (FundraiserError, SQLAlchemyError):
            return False
        return True
