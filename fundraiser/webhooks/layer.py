"""The webhooks' short way: what Stripe has signed is stored before Flask gets to see it.

Stripe does not wait for a busy day to be over, and most of the time that a webhook takes would be
Flask's. Whatever is not simply right is left to the app, which says what is wrong.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from fundraiser.errors import FundraiserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from fundraiser.payments import Gateway
    from fundraiser.webhooks.inbox import Inbox

_LARGEST = 1 << 20  # bytes: what the app itself reads of a body


class WebhookLayer:
    """In front of the app: both store by the same inbox."""

    def __init__(
        self, app: WSGIApplication, gateway: Gateway, inbox: Inbox, headers: Mapping[str, str]
    ) -> None:
        self._app = app
        self._gateway = gateway
        self._inbox = inbox
        self._headers = list(headers.items())  # of a receipt

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH") or "0"
        if (
            environ["PATH_INFO"] == "/webhooks/stripe"
            and environ["REQUEST_METHOD"] == "POST"
            and length.isdecimal()
            and 0 < int(length) <= _LARGEST
        ):
            body = environ["wsgi.input"].read(int(length))
            if self._take(body, environ.get("HTTP_STRIPE_SIGNATURE", "")):
                start_response("204 No Content", self._headers)
                return ()
            environ["wsgi.input"] = BytesIO(body)
        return self._app(environ, start_response)

    def _take(self, body: bytes, signature: str) -> bool:
        """Whether it was signed, is an event, and is stored."""
        try:
            self._inbox.take(self._gateway.read_webhook(body, signature))
        except (FundraiserError, SQLAlchemyError):
            return False
        return True
