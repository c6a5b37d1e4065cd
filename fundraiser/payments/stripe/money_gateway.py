"""The balance at Stripe: what it holds, what moved it, and what was paid out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import current_app

from fundraiser.errors import NotFoundError
from fundraiser.payments.stripe.gateway import Gateway
from fundraiser.payments.stripe.types import Movement, Page, PayoutState, name_of, time_of
from fundraiser.redaction import redact

if TYPE_CHECKING:
    from datetime import datetime

    from fundraiser.payments.stripe.types import Fact

_CHARGES, _DISPUTES = ("ch_", "py_"), ("du_", "dp_")


class MoneyGateway(Gateway):
    """Stripe, as a bookkeeper reads it; lists are newest first, a page of 100 at a time."""

    def held(self) -> dict[str, int]:
        """What Stripe holds, by currency: available or on its way."""
        found = self._get("/v1/balance")
        held: dict[str, int] = {}
        for part in (*found["available"], *found["pending"]):
            currency = part["currency"].upper()
            held[currency] = held.get(currency, 0) + part["amount"]
        return held

    def list_movements(
        self, *, since: datetime | None = None, payout_id: str | None = None, after: str | None
    ) -> Page[Movement]:
        """What moved the balance since then, or what is in an automatic payout."""
        found = self._list(
            "/v1/balance_transactions",
            created=_since(since),
            payout=payout_id,
            starting_after=after,
        )
        return _page(found, [_movement(one) for one in found["data"]])

    def list_payouts(self, since: datetime | None, after: str | None) -> Page[PayoutState]:
        """The payouts made since then."""
        found = self._list("/v1/payouts", created=_since(since), starting_after=after)
        return _page(found, [_payout(one) for one in found["data"]])

    def charge_behind(self, source_id: str) -> str | None:
        """The charge that a refund or a dispute is about."""
        kind = "disputes" if source_id.startswith(_DISPUTES) else "refunds"
        try:
            return name_of(self._get(f"/v1/{kind}/{source_id}")["charge"])
        except NotFoundError:
            return None


def money_gateway() -> MoneyGateway:
    """The gateway of the app that handles this request or task."""
    return cast("MoneyGateway", current_app.extensions["money_gateway"])


def _page(found: dict[str, Any], facts: list[Fact]) -> Page[Fact]:
    return Page(tuple(facts), found["data"][-1]["id"] if found["has_more"] else None)


def _since(since: datetime | None) -> dict[str, int] | None:
    return {"gte": int(since.timestamp())} if since else None


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
