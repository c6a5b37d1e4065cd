"""What should be: read from the simulator's own table, by a second writing of the count rule.

It imports nothing of the service. "paying-members/1", in the words of the public page: a membership
counts while it is active and its newest finished invoice is paid, or its first debit is in process;
while it is past due, for the grace period from the first failed charge; not while its collection is
paused, nor once its newest payment is refunded whole, or disputed and not won; not when nothing is
paid for it; and only until the end that is set for it. A gift counts until its end, and what was
imported until the grace period after its paid-through date.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from simulator.shapes import full

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

Object = dict[str, Any]

_NOT_TAKEN_AWAY = {
    *("won", "prevented"),
    *("warning_needs_response", "warning_under_review", "warning_closed"),
}


@dataclass(frozen=True)
class Expected:
    """One subscription; ``address`` is the person's, in lower case, None of a deleted customer."""

    status: str
    amount: int
    currency: str
    interval: str
    period_end: datetime
    address: str | None
    counts: bool


@dataclass(frozen=True)
class Elsewhere:
    """A membership of which Stripe knows nothing; ``until`` is its end or paid-through date."""

    address: str
    source: str
    amount: int
    until: datetime

    def counts(self, at: int, grace_seconds: int) -> bool:
        """Whether it does as of this second."""
        ends = {
            "gift": self.until.timestamp(),
            "import": self.until.timestamp() + grace_seconds,
        }
        return self.amount > 0 and at < ends.get(self.source, 0)


def expected(stripe: sqlite3.Connection, at: int, grace_seconds: int) -> dict[str, Expected]:
    """Each subscription by its id, as of this second of Stripe's clock."""
    books = _Books(stripe)
    return {
        subscription["id"]: books.row(subscription, at, grace_seconds)
        for subscription in books.subscriptions
    }


def people(rows: Iterable[Expected]) -> dict[str, bool]:
    """Whether each person counts, by address: while one of the memberships does."""
    found: dict[str, bool] = {}
    for row in rows:
        if row.address:
            found[row.address] = found.get(row.address, False) or row.counts
    return found


class _Books:
    """Everything at Stripe, found by what it belongs to; each list newest first."""

    def __init__(self, stripe: sqlite3.Connection) -> None:
        kinds = ("customer", "subscription", "invoice", "invoice_payment", "charge", "dispute")
        objects: dict[str, list[Object]] = {kind: [] for kind in kinds}
        for kind, data in stripe.execute(
            "SELECT object, data FROM objects ORDER BY created DESC, seq DESC"
        ):
            if kind in objects:
                objects[kind].append(full(json.loads(data)))
        self.subscriptions = objects["subscription"]
        self.addresses = {one["id"]: one["email"].lower() for one in objects["customer"]}
        self.invoices = _by(
            objects["invoice"], lambda one: one["parent"]["subscription_details"]["subscription"]
        )
        self.links = _by(objects["invoice_payment"], lambda one: one["invoice"])
        self.charges = _by(objects["charge"], lambda one: one["payment_intent"])
        self.disputes = _by(objects["dispute"], lambda one: one["charge"])

    def row(self, subscription: Object, at: int, grace_seconds: int) -> Expected:
        item = subscription["items"]["data"][0]
        return Expected(
            status=subscription["status"],
            amount=item["price"]["unit_amount"] * item["quantity"],
            currency=subscription["currency"].upper(),
            interval=item["price"]["recurring"]["interval"],
            period_end=datetime.fromtimestamp(item["current_period_end"], UTC),
            address=self.addresses.get(subscription["customer"]),
            counts=self._may_count(subscription, at)
            and self._is_paid(subscription, at, grace_seconds),
        )

    def _may_count(self, subscription: Object, at: int) -> bool:
        """What the subscription itself says."""
        item = subscription["items"]["data"][0]
        ends = subscription["cancel_at"]
        return (
            item["price"]["unit_amount"] * item["quantity"] > 0
            and subscription["status"] in {"active", "past_due"}
            and not subscription["pause_collection"]
            and not (ends and at >= ends)
        )

    def _is_paid(self, subscription: Object, at: int, grace_seconds: int) -> bool:
        """What its invoices say."""
        active = subscription["status"] == "active"
        newer, paid = self._until_paid(subscription["id"])
        failed = next((invoice for invoice in newer if self._has_failed(invoice)), None)
        if paid is None:
            return active and failed is None and any(map(self._is_pending, newer))
        if self._is_taken_back(paid):
            return False
        if failed is None:
            return True
        tries = [one["created"] for one in self._tries(failed) if one["status"] == "failed"]
        return not active and at < min(tries, default=failed["created"]) + grace_seconds

    def _until_paid(self, subscription: str) -> tuple[list[Object], Object | None]:
        """The newest paid invoice, and those that are newer."""
        newer: list[Object] = []
        for invoice in self.invoices[subscription]:
            if invoice["status"] == "paid" and invoice["total"]:
                return newer, invoice
            newer.append(invoice)
        return newer, None

    def _tries(self, invoice: Object) -> list[Object]:
        """The charges of an invoice, newest first."""
        intents = [link["payment"]["payment_intent"] for link in self.links[invoice["id"]]]
        found = [charge for intent in intents for charge in self.charges[intent]]
        return sorted(found, key=lambda one: -int(one["created"]))

    def _is_pending(self, invoice: Object) -> bool:
        return any(charge["status"] == "pending" for charge in self._tries(invoice))

    def _has_failed(self, invoice: Object) -> bool:
        tried = invoice["status"] == "open" and invoice["attempted"]
        return bool(
            (tried and not self._is_pending(invoice)) or invoice["status"] == "uncollectible"
        )

    def _is_taken_back(self, invoice: Object) -> bool:
        """Whether its payment was refunded whole, or is disputed."""
        charge = next(one for one in self._tries(invoice) if one["status"] == "succeeded")
        disputes = self.disputes[charge["id"]]
        return charge["refunded"] or any(one["status"] not in _NOT_TAKEN_AWAY for one in disputes)


def _by(objects: list[Object], key: Callable[[Object], str]) -> defaultdict[str, list[Object]]:
    found: defaultdict[str, list[Object]] = defaultdict(list)
    for one in objects:
        found[key(one)].append(one)
    return found
