"""Base of the gateways: client, rate limits, pagination, and translation of Stripe's errors."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import stripe
import structlog

from fundraiser.errors import NotFoundError
from fundraiser.measures import Measured
from fundraiser.payments.stripe.account import OtherAccountError, claim_mode
from fundraiser.payments.stripe.budget import StripeLimits, operation_of
from fundraiser.payments.stripe.connections import Connections
from fundraiser.payments.stripe.errors import (
    BankRefusedError,
    ConfirmationNeededError,
    Doing,
    StripeKeyError,
    StripeRefusedError,
    StripeUnavailableError,
    UnusablePriceError,
)
from fundraiser.payments.stripe.patience import NoTurnError, current_patience
from fundraiser.payments.stripe.refused import Refused, note_refusal
from fundraiser.payments.stripe.types import Fact, Page
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from fundraiser.config import Settings
    from fundraiser.db import Database
    from fundraiser.measures import Measures

log = structlog.get_logger()

API_VERSION = "2026-08-26.dahlia"
_READ, _READ_PROMPTLY = 15.0, 8.0  # seconds
_PAGE = 100
_CHECKED_FOR = 10.0  # seconds
# Finds Stripe's name of the missing right in its error message.
_RIGHT = re.compile(r"'(rak_[a-z_]{1,60})'")
_KEY_REFUSED = "key_refused"
# Stripe also answers so for ended subscriptions, which nobody can change.
_GONE = {"resource_missing", "invalid_canceled_subscription_fields"}
_TO_CONFIRM = {
    "authentication_required",
    "invoice_payment_intent_requires_action",
    "subscription_payment_intent_requires_action",
}


class Calls:
    """The methods through which every call to Stripe goes."""

    def __init__(
        self, settings: Settings, database: Database, measures: Measures | None = None
    ) -> None:
        # A separate pool, so that nobody holds one connection while waiting for a second.
        self._engine = database.side_engine
        self._livemode = settings.livemode
        self._checked_until = -1.0
        base = settings.stripe_api_base or stripe.DEFAULT_API_BASE
        limits = StripeLimits(
            database.side_engine,
            each=settings.stripe_calls_per_second,
            in_all=settings.stripe_calls_in_all,
        )

        def take_turn(method: str, url: str) -> None:
            patience = current_patience()
            limits.wait(operation_of(method, url), urgent=patience.urgent, patience=patience.left)

        def take_turn_at_once(method: str, url: str) -> None:
            limits.wait(operation_of(method, url), urgent=True, patience=current_patience().left)

        def note(method: str, url: str, seconds: float, status: int) -> None:
            if measures:
                measures.note(Measured.STRIPE, seconds, operation_of(method, url), str(status))

        self._client = _client(settings, Connections(base, _READ, take_turn, note), retries=2)
        # A reader waits for these: an error is better than a minute's wait.
        self._prompt = _client(
            settings, Connections(base, _READ_PROMPTLY, take_turn_at_once, note), retries=0
        )

    def _get(self, path: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401 - Stripe's own
        """Fetch an object as plain JSON, which is much faster than the SDK's objects."""
        given = {name: value for name, value in params.items() if value is not None}
        with self._call(path.split("/")[2], Doing.LOOK):
            found: dict[str, Any] = self._client.raw_request("get", path, **given).data
        return found

    def _list(self, path: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
        """Fetch a page of 100, latest first."""
        return self._get(path, limit=_PAGE, **params)

    def _each(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - as above
        """Iterate over all pages of a list."""
        after: str | None = None
        while True:
            page = self._list(path, starting_after=after, **params)
            yield from page["data"]
            if not page["has_more"]:
                return
            after = page["data"][-1]["id"]

    @contextmanager
    def _call(self, endpoint: str, doing: Doing = Doing.CHANGE) -> Iterator[None]:
        """Make a call, and translate Stripe's errors into ours."""
        self._check_mode(doing)
        try:
            yield
        except NoTurnError as error:
            raise StripeUnavailableError(doing.without_turn) from error
        except stripe.InvalidRequestError as error:
            if _is_about_a_price(error):
                raise UnusablePriceError(
                    _("Stripe refused this: %(reason)s", reason=error.user_message)
                ) from error
            # For a list, a missing cursor object gives a 400 with the same code as an unknown
            # object.
            if error.code in _GONE or error.http_status == HTTPStatus.NOT_FOUND:
                raise NotFoundError(f"Stripe does not know it: {error.user_message}") from error
            raise StripeRefusedError(
                _("Stripe refused this: %(reason)s", reason=error.user_message or error.code)
            ) from error
        except stripe.CardError as error:
            if error.code in _TO_CONFIRM:
                raise ConfirmationNeededError(
                    _("Your bank wants you to confirm this payment.")
                ) from error
            raise BankRefusedError(
                _(
                    "Your bank declined the payment, so you haven’t been charged. Try "
                    "another payment method."
                )
            ) from error
        except stripe.IdempotencyError as error:
            raise StripeRefusedError(
                _("This form was already sent with different details. Open the page again.")
            ) from error
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            raise self._refused_key(error, endpoint, doing) from error
        except (
            stripe.StripeError
        ) as error:  # no answer, too busy, or an error that the SDK doesn't know yet
            raise StripeUnavailableError(doing.without_answer) from error

    def _check_mode(self, doing: Doing) -> None:
        """Refuse to call if the database belongs to the other mode, test or live.

        Repeats the check now and then: somebody may go live while a process is running.
        """
        if time.monotonic() < self._checked_until:
            return
        try:
            with self._engine.begin() as connection:
                claim_mode(connection, livemode=self._livemode)
        except OtherAccountError as error:
            log.error("stripe_key_of_other_mode")  # noqa: TRY400 - the way through the code says nothing
            raise StripeKeyError(doing.with_a_wrong_key, None, str(error)) from error
        self._checked_until = time.monotonic() + _CHECKED_FOR

    def _refused_key(
        self, error: stripe.StripeError, endpoint: str, doing: Doing
    ) -> StripeKeyError:
        """Report the missing right to the operator, and make the error for the reader."""
        named = _RIGHT.search(str(error)[:1000])
        right = named[1] if named else None
        if right is None and isinstance(error, stripe.PermissionError):
            right = endpoint
        log.error("stripe_key_refused", right=right, endpoint=endpoint, status=error.http_status)
        note_refusal(self._engine, Refused.CALL, right or _KEY_REFUSED)
        return StripeKeyError(doing.with_a_wrong_key, right)


def page_of(found: dict[str, Any], facts: list[Fact]) -> Page[Fact]:
    """A page of a list, with the cursor of the next page."""
    return Page(tuple(facts), found["data"][-1]["id"] if found["has_more"] else None)


def since_then(moment: datetime | None) -> dict[str, int] | None:
    """Stripe's filter for what was created since then; None for everything."""
    return {"gte": int(moment.timestamp())} if moment else None


def _is_about_a_price(error: stripe.InvalidRequestError) -> bool:
    """Whether Stripe refused because a price or product is archived or deleted."""
    named, said = error.param or "", (error.user_message or "").lower()
    is_gone = error.code == "resource_missing" or "inactive" in said or "not active" in said
    return is_gone and "items" in named and ("price" in named or "product" in said)


def _client(settings: Settings, connections: Connections, *, retries: int) -> stripe.StripeClient:
    return stripe.StripeClient(
        settings.stripe_api_key,
        stripe_version=API_VERSION,
        max_network_retries=retries,
        http_client=connections,
        base_addresses={"api": settings.stripe_api_base} if settings.stripe_api_base else {},
    )
