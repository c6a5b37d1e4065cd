"""Stripe calls for reconciliation: lists of the whole account, a page of 100 at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fundraiser.payments.stripe.calls import Calls, page_of, since_then
from fundraiser.payments.stripe.parsers import read_subscription
from fundraiser.payments.stripe.types import (
    ChargeNews,
    Page,
    StripeEvent,
    Subscription,
    name_of,
    read_event,
)

if TYPE_CHECKING:
    from datetime import datetime


class ReconcileCalls(Calls):
    """Stripe calls for reconciliation; lists are latest first."""

    def list_subscriptions(self, after: str | None) -> Page[Subscription]:
        """A page of all subscriptions of the account, of any status and product."""
        found = self._list(
            "/v1/subscriptions",
            status="all",
            expand=["data.customer", "data.discounts.source.coupon"],
            starting_after=after,
        )
        return page_of(
            found,
            [
                read_subscription(one, discount=one["customer"].get("discount"))
                for one in found["data"]
                if one["items"]["data"]
            ],
        )

    def list_refunds(self, since: datetime, after: str | None) -> Page[ChargeNews]:
        """A page of charges with refunds made since then."""
        found = self._list(
            "/v1/refunds", expand=["data.charge"], created=since_then(since), starting_after=after
        )
        charges = [one["charge"] for one in found["data"] if one["charge"]]
        return page_of(
            found,
            [
                ChargeNews(one["id"], name_of(one["customer"]), one["amount_refunded"], None)
                for one in charges
            ],
        )

    def list_disputes(self, since: datetime, after: str | None) -> Page[ChargeNews]:
        """A page of charges with disputes opened since then."""
        found = self._list(
            "/v1/disputes", expand=["data.charge"], created=since_then(since), starting_after=after
        )
        return page_of(
            found,
            [
                ChargeNews(
                    one["charge"]["id"], name_of(one["charge"]["customer"]), None, one["status"]
                )
                for one in found["data"]
            ],
        )

    def list_events(self, since: datetime, after: str | None) -> Page[StripeEvent]:
        """A page of all events since then; Stripe lists them for 30 days."""
        found = self._list("/v1/events", created=since_then(since), starting_after=after)
        return page_of(found, [read_event(one) for one in found["data"]])

    def read_event_body(self, event_id: str) -> dict[str, Any]:
        """An event's payload as JSON, which may hold personal data.

        Raises:
            NotFoundError: Stripe doesn't have it; it keeps events for 30 days.
            StripeUnavailableError: Stripe doesn't answer.
        """
        return self._get(f"/v1/events/{event_id}")
