"""Errors in the format of Stripe's API."""

from typing import Any


class StripeError(Exception):
    """An API error: any answer with a status other than 200."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        decline_code: str | None = None,
        limit: str | None = None,
        undo: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.decline_code = decline_code
        # Which rate limit was met: told in a header, not in the body.
        self.limit = limit
        # A bank's refusal of which nothing is kept.
        self.undo = undo

    def body(self) -> dict[str, Any]:
        parts = {
            "code": self.code,
            "decline_code": self.decline_code,
            "doc_url": f"https://docs.stripe.com/error-codes#{self.code}" if self.code else None,
            "message": self.message,
            "param": self.param,
        }
        named = {name: value for name, value in parts.items() if value is not None}
        return {"error": {"type": self.kind, **named}}


def missing(thing: str, identity: str, param: str = "id") -> StripeError:
    return StripeError(
        f"No such {thing}: '{identity}'", status=404, code="resource_missing", param=param
    )


def refused(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    return StripeError(message, param=param, code=code)
