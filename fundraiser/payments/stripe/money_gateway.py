"""Stripe calls for the books: balance, balance transactions and payouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import current_app

from fundraiser.errors import NotFoundError
from fundraiser.payments.stripe.calls import page_of, since_then
from fundraiser.payments.stripe.gateway import Gateway
from fundraiser.payments.stripe.types import Movement, Page, PayoutState, name_of, time_of
from fundraiser.redaction import redact

if TYPE_CHECKING:
    from datetime import datetime


_CHARGES, _DISPUTES = ("ch_", "py_"), ("du_", "dp_")


class MoneyGateway(Gateway):
    """Stripe calls for the books; lists are latest first, a page of 100 at a time."""

    def held(self) -> dict[str, int]:
        """Stripe's balance by currency, available and pending."""
        found = self._get("/v1/balance")
        held: dict[str, int] = {}
        for part in (*found["available"], *found["pending"]):
            currency = part["currency"].upper()
            held[currency] = held.get(currency, 0) + part["amount"]
        return held

    def list_movements(
        self, *, since: datetime | None = None, payout_id: str | None = None, after: str | None
    ) -> Page[Movement]:
        """A page of balance transactions since then, or of an automatic payout."""
        found = self._list(
            "/v1/balance_transactions",
            created=since_then(since),
            payout=payout_id,
            starting_after=after,
        )
        return page_of(found, [_movement(one) for one in found["data"]])

    def list_payouts(self, since: datetime | None, after: str | None) -> Page[PayoutState]:
        """A page of payouts made since then."""
        found = self._list("/v1/payouts", created=since_then(since), starting_after=after)
        return page_of(found, [_payout(one) for one in found["data"]])

    def charge_behind(self, source_id: str) -> str | None:
        """The charge of a refund or a dispute."""
        kind = "disputes" if source_id.startswith(_DISPUTES) else "refunds"
        try:
            return name_of(self._get(f"/v1/{kind}/{source_id}")["charge"])
        except NotFoundError:
            return None


def money_gateway() -> MoneyGateway:
    """The current app's money gateway."""
    return cast("MoneyGateway", current_app.extensions["money_gateway"])


def _movement(found: dict[str, Any]) -> Movement:
    source = name_of(found["source"])
    return Movement(
        id=found["id"],
        category=found["reporting_category"],
        amount=found["amount"],
        fee=found["fee"],
        net=found["net"],
        currency=found["currency"].upper(),
        created_at=time_of(found["created"]),
        available_at=time_of(found["available_on"]),
        source_id=source,
        charge_id=source if source and source.startswith(_CHARGES) else None,
        description=redact(found["description"] or "") or None,
    )


def _payout(found: dict[str, Any]) -> PayoutState:
    return PayoutState(
        id=found["id"],
        amount=found["amount"],
        currency=found["currency"].upper(),
        status=found["status"],
        listed=found["automatic"] and found["reconciliation_status"] == "completed",
        created_at=time_of(found["created"]),
        arrives_at=time_of(found["arrival_date"]),
        failure=found["failure_message"],
    )
