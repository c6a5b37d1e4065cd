"""Stripe calls for operators: the key's rights, webhook endpoints, the portal, the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast

from flask import current_app

from fundraiser.errors import FundraiserError, NotFoundError
from fundraiser.payments.stripe.calls import API_VERSION
from fundraiser.payments.stripe.errors import Doing, StripeKeyError, StripeRefusedError
from fundraiser.payments.stripe.gateway import Gateway
from fundraiser.payments.stripe.portal import portal_settings
from fundraiser.payments.stripe.rights import RIGHTS, May, Right

if TYPE_CHECKING:
    from collections.abc import Collection

_ADDRESS = "/webhooks/stripe"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook endpoint at Stripe; ``version`` is None for the account's default."""

    id: str
    url: str
    events: frozenset[str]
    is_enabled: bool
    version: str | None
    is_thin: bool

    def lacks(self, wanted: Collection[str]) -> list[str]:
        """The events that Stripe doesn't send to it."""
        return [] if "*" in self.events else sorted(set(wanted) - self.events)


@dataclass(frozen=True, slots=True)
class Account:
    """The key's account, and whether Stripe lets it charge."""

    id: str
    charges_enabled: bool


class AccountGateway(Gateway):
    """Stripe calls that concern the account rather than its members."""

    def check_key(self) -> None:
        """Check the key with a small call.

        Raises:
            StripeKeyError: Stripe refuses the key.
            StripeUnavailableError: Stripe doesn't answer.
        """
        with self._call("products", Doing.LOOK):
            self._client.v1.products.list({"limit": 1})

    def try_rights(self) -> list[tuple[Right, May]]:
        """Try each right that the service needs."""
        return [(right, self._try(right)) for right in RIGHTS]

    def _try(self, right: Right) -> May:
        params: Any = right.params
        try:
            with self._call(right.name):
                self._client.raw_request("post" if right.writes else "get", right.path, **params)
        except StripeKeyError:
            return May.NO
        except (NotFoundError, StripeRefusedError):
            return May.YES
        except FundraiserError:
            return May.UNKNOWN
        return May.UNKNOWN if right.writes else May.YES

    def fetch_account(self) -> Account | None:
        """The key's account; None if the key may not read it."""
        try:
            found = self._get("/v1/account")
        except StripeKeyError:
            return None
        return Account(found["id"], found.get("charges_enabled", True))

    def seconds_ahead(self) -> float:
        """How many seconds Stripe's clock is ahead of ours, from the Date header."""
        before = time.time()
        with self._call("products", Doing.LOOK):
            answer = self._client.raw_request("get", "/v1/products", limit=1)
        between = (before + time.time()) / 2
        headers: Any = answer.headers
        return parsedate_to_datetime(headers["Date"]).timestamp() + 0.5 - between

    @property
    def webhook_address(self) -> str:
        """The URL to which Stripe must send events."""
        return f"{self._public_url}{_ADDRESS}"

    def list_endpoints(self) -> list[Endpoint]:
        """All webhook endpoints of the account; including thin ones if the key may list them."""
        found = [
            Endpoint(
                one["id"],
                one["url"],
                frozenset(one["enabled_events"]),
                one["status"] == "enabled",
                one["api_version"],
                is_thin=False,
            )
            for one in self._each("/v1/webhook_endpoints")
        ]
        known = {one.id for one in found}
        return found + [one for one in self._thin_endpoints() if one.id not in known]

    def _thin_endpoints(self) -> list[Endpoint]:
        try:
            listed = self._get("/v2/core/event_destinations", include=["webhook_endpoint.url"])
        except FundraiserError:
            return []  # this needs a separate, optional right
        return [
            Endpoint(
                one["id"],
                (one["webhook_endpoint"] or {}).get("url") or "",
                frozenset(one["enabled_events"]),
                one["status"] == "enabled",
                one["snapshot_api_version"],
                is_thin=True,
            )
            for one in listed["data"]
            if one["type"] == "webhook_endpoint" and one["event_payload"] == "thin"
        ]

    def make_endpoint(self, events: Collection[str]) -> tuple[str, str]:
        """Create a webhook endpoint; returns its ID and its secret, which Stripe shows only now."""
        params: Any = {
            "url": self.webhook_address,
            "enabled_events": sorted(events),
            "api_version": API_VERSION,
            "description": "Fundraiser",
        }
        with self._call("webhook_endpoints"):
            made = self._client.v1.webhook_endpoints.create(params)
        return made.id, made.secret or ""

    def repair_endpoint(self, endpoint: Endpoint, events: Collection[str]) -> None:
        """Enable an endpoint and add its missing events."""
        wanted = sorted(endpoint.events | set(events))
        params: Any = {"disabled": False, "enabled_events": ["*"] if "*" in wanted else wanted}
        with self._call("webhook_endpoints"):
            self._client.v1.webhook_endpoints.update(endpoint.id, params)

    def delete_endpoint(self, endpoint_id: str) -> None:
        """Delete an endpoint that was just made and couldn't be used."""
        with self._call("webhook_endpoints"):
            self._client.v1.webhook_endpoints.delete(endpoint_id)

    def repair_portal(self, configuration_id: str) -> None:
        """Reset our portal configuration to its original settings."""
        params: Any = portal_settings(self._public_url)
        with self._call("portal"):
            self._client.v1.billing_portal.configurations.update(configuration_id, params)


def account_gateway() -> AccountGateway:
    """The account gateway of a command's app."""
    return cast("AccountGateway", current_app.extensions["account_gateway"])
