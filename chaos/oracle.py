"""What should be: read from the simulator's own table, by a second writing of the count rule.

It imports nothing of the service. "paying-members/2", in the words of the public page: a membership
counts while it is active and its current period is paid, or its first debit is being processed;
while it is overdue, for the grace period from the first failure in an unbroken row; while it is
paused, until the end of what is paid for; in a free period that ends, if the person has ever paid;
not once the payment for its period is refunded whole, or disputed and not won; not when it costs
nothing or is for another product; and only until the end that is set for it. A gift counts until
its end, and what was imported until the grace period after its paid-through date.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from simulator.core.shapes import full

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable, Mapping

Object = dict[str, Any]

_TERMS = ("product", "coupon", "discount")
_NOT_TAKEN_AWAY = {
    *("won", "prevented"),
    *("warning_needs_response", "warning_under_review", "warning_closed"),
}


@dataclass(frozen=True)
class Expected:
    """One subscription; ``address`` is the person's, folded, None of a deleted customer.

    ``is_ours``: it has an item of a product of ours; what is not has no amount and no interval.
    ``runs``: its customer has a running subscription of ours, so that the address is whose it is;
    one who only has a history stays with a person whose address may have changed.
    """

    status: str
    amount: int | None
    currency: str
    interval: str | None
    period_end: datetime
    address: str | None
    is_ours: bool
    runs: bool
    has_paid: bool
    counts: bool


@dataclass(frozen=True)
class Elsewhere:
    """A membership of which Stripe knows nothing; ``until`` is its end or paid-through date.

    ``leaves``: it was cancelled, so that there is no grace. ``refunded``: what was paid went back.
    """

    address: str
    source: str
    amount: int
    until: datetime
    leaves: bool = False
    refunded: bool = False

    def counts(self, at: int, grace_seconds: int) -> bool:
        """Whether it does as of this second."""
        until = self.until.timestamp()
        grace = 0 if self.leaves else grace_seconds
        ends = {"gift": until, "import": until + grace}
        return self.amount > 0 and not self.refunded and at < ends.get(self.source, 0)


def expected(
    stripe: sqlite3.Connection,
    at: int,
    grace_seconds: int,
    elsewhere: Iterable[Elsewhere] = (),
    *,
    histories: Mapping[str, str] | None = None,
    known: Collection[str] = (),
) -> dict[str, Expected]:
    """Each subscription by its id, as of this second of Stripe's clock.

    ``histories`` is whose history each customer is, by address, as the service has it: Stripe does
    not say that a person moved to another address with another customer. ``known`` are the
    subscriptions that the service saw while they were memberships: what was paid for others, which
    were moved to another product before anybody looked, was paid for that product.
    """
    books = _Books(stripe, at, grace_seconds)
    whose_history = histories or {}
    rows = {found["id"]: books.row(found, has_paid=False) for found in books.subscriptions}
    whose = {
        found["id"]: whose_history.get(found["customer"], rows[found["id"]].address)
        for found in books.subscriptions
    }
    paid = {one.address for one in elsewhere if one.source == "import" and one.amount > 0}
    paid |= {
        address
        for name, address in whose.items()
        if address and rows[name].has_paid and (rows[name].is_ours or name in known)
    }
    return {
        found["id"]: books.row(found, has_paid=whose[found["id"]] in paid)
        for found in books.subscriptions
    }


def people(rows: Iterable[Expected]) -> dict[str, bool]:
    """Whether each person counts, by address: while one of the memberships does."""
    found: dict[str, bool] = {}
    for row in rows:
        if row.address and row.is_ours and row.runs:
            found[row.address] = found.get(row.address, False) or row.counts
    return found


class _Books:
    """Everything at Stripe, found by what it belongs to; each list newest first."""

    def __init__(self, stripe: sqlite3.Connection, at: int, grace_seconds: int) -> None:
        self.at, self.grace = at, grace_seconds
        kinds = ("customer", "subscription", "invoice", "invoice_payment", "charge", "dispute")
        objects: dict[str, list[Object]] = {kind: [] for kind in (*kinds, *_TERMS)}
        for kind, data in stripe.execute(
            "SELECT object, data FROM objects ORDER BY created DESC, seq DESC"
        ):
            if kind in objects:
                objects[kind].append(full(json.loads(data)))
        self.subscriptions = objects["subscription"]
        self.ours = {
            one["id"] for one in objects["product"] if "fundraiser_tier" in one["metadata"]
        }
        self.running = {
            one["customer"]
            for one in self.subscriptions
            if one["status"] not in {"canceled", "incomplete_expired"} and self._items(one)
        }
        self.coupons = {one["id"]: one for one in objects["coupon"]}
        self.discounts = {one["id"]: one for one in objects["discount"]}
        self.addresses = {one["id"]: one["email"].casefold() for one in objects["customer"]}
        self.invoices = _by(
            objects["invoice"], lambda one: one["parent"]["subscription_details"]["subscription"]
        )
        self.links = _by(objects["invoice_payment"], lambda one: one["invoice"])
        self.charges = {one["id"]: one for one in objects["charge"]}
        self.of_intent = _by(objects["charge"], lambda one: one["payment_intent"] or "")
        self.disputes = _by(objects["dispute"], lambda one: one["charge"])

    def row(self, subscription: Object, *, has_paid: bool) -> Expected:
        items = self._items(subscription)
        first = (items or subscription["items"]["data"])[0]
        whole = sum(one["price"]["unit_amount"] * one["quantity"] for one in items)
        discount = self._discount(subscription, first["current_period_end"])
        amount = whole - (_taken_off(whole, discount["coupon"]) if discount else 0)
        counts = bool(whole) and self._counts(
            subscription, first, amount, discount, has_paid=has_paid
        )
        return Expected(
            status=subscription["status"],
            amount=amount if items else None,
            currency=subscription["currency"].upper(),
            interval=first["price"]["recurring"]["interval"] if items else None,
            period_end=datetime.fromtimestamp(first["current_period_end"], UTC),
            address=self.addresses.get(subscription["customer"]),
            is_ours=bool(items),
            runs=subscription["customer"] in self.running,
            has_paid=any(
                one["status"] == "paid" and one["total"] > 0 and not self._is_gone(one)
                for one in self.invoices[subscription["id"]]
            ),
            counts=counts,
        )

    def _items(self, subscription: Object) -> list[Object]:
        return [
            one for one in subscription["items"]["data"] if one["price"]["product"] in self.ours
        ]

    def _discount(self, subscription: Object, period_end: int) -> Object | None:
        """The discount that the next invoice has, if any, with its coupon."""
        for name in subscription["discounts"]:
            found = self.discounts[name]
            if found["end"] is None or found["end"] > period_end:
                return {**found, "coupon": self.coupons[found["source"]["coupon"]]}
        return None

    def _counts(
        self,
        subscription: Object,
        item: Object,
        amount: int,
        discount: Object | None,
        *,
        has_paid: bool,
    ) -> bool:
        status, ends = subscription["status"], subscription["cancel_at"]
        if status not in {"active", "past_due", "trialing"} or (ends and self.at >= ends):
            return False
        invoices = self.invoices[subscription["id"]]
        failures = self._failures(invoices)
        free = not failures and self._is_free(invoices)
        if status == "trialing" or (status == "active" and free):
            end = item["current_period_end"] if amount else (discount or {}).get("end")
            end = subscription["trial_end"] if status == "trialing" else end
            return has_paid and end is not None and self.at < end
        paid = [one for one in invoices if one["status"] == "paid" and one["total"] > 0]
        if not paid:
            pending = any(one["status"] == "open" and self._is_pending(one) for one in invoices)
            return status == "active" and not failures and pending
        period = next((one for one in paid if _period_end(one)), None)
        if period and not free and self._is_gone(period):
            return False
        if subscription["pause_collection"]:
            return period is not None and self.at < (_period_end(period) or 0)
        if failures:
            return self.at < min(map(self._failed_at, failures)) + self.grace
        if status == "past_due":
            return period is not None and self.at < (_period_end(period) or 0) + self.grace
        return True

    def _failures(self, newest_first: list[Object]) -> list[Object]:
        """Invoices that are due and unpaid, newest first, back to the latest paid one."""
        found: list[Object] = []
        for one in newest_first:
            if one["total"] <= 0 or one["status"] in {"draft", "void"}:
                continue
            if one["status"] == "paid":
                break
            late = one["due_date"] is not None and one["due_date"] <= self.at
            tried = one["attempted"] or one["status"] == "uncollectible" or late
            if tried and not self._is_pending(one):
                found.append(one)
        return found

    def _is_free(self, newest_first: list[Object]) -> bool:
        for one in newest_first:
            if one["status"] in {"draft", "void"} or not _period_end(one):
                continue
            if one["status"] == "open" and self._is_pending(one):
                continue
            return bool(
                one["status"] == "paid"
                and one["total"] == 0
                and not any(_is_proration(line) for line in one["lines"]["data"])
            )
        return False

    def _tries(self, invoice: Object) -> list[Object]:
        """The charges of an invoice, newest first."""
        found: list[Object] = []
        for link in self.links[invoice["id"]]:
            payment = link["payment"]
            if payment["type"] == "charge":
                found.append(self.charges[payment["charge"]])
            else:
                found += self.of_intent[payment["payment_intent"]]
        return sorted(found, key=lambda one: -int(one["created"]))

    def _is_pending(self, invoice: Object) -> bool:
        return any(charge["status"] == "pending" for charge in self._tries(invoice))

    def _failed_at(self, invoice: Object) -> int:
        tries = [one["created"] for one in self._tries(invoice) if one["status"] == "failed"]
        return int(invoice["due_date"] or min(tries, default=invoice["created"]))

    def _is_gone(self, invoice: Object) -> bool:
        """Whether all that paid it was refunded whole, or all of it is disputed."""
        paid = [one for one in self._tries(invoice) if one["status"] == "succeeded"]
        if not paid:
            return False
        lost = [
            any(found["status"] not in _NOT_TAKEN_AWAY for found in self.disputes[one["id"]][:1])
            for one in paid
        ]
        return all(one["refunded"] for one in paid) or all(lost)


def _taken_off(price: int, coupon: Object) -> int:
    percent = coupon["percent_off"]
    return round(price * percent / 100) if percent else min(price, int(coupon["amount_off"]))


def _is_proration(line: Object) -> bool:
    details = line["parent"]["subscription_item_details"] or line["parent"]["invoice_item_details"]
    return bool(details["proration"])


def _period_end(invoice: Object) -> int | None:
    """The end of the period that it asks for; None where it asks for a difference only."""
    ends = [
        one["period"]["end"]
        for one in invoice["lines"]["data"]
        if not _is_proration(one) and one["period"]["end"] > one["period"]["start"]
    ]
    return max(ends, default=None)


def _by(objects: list[Object], key: Callable[[Object], str]) -> defaultdict[str, list[Object]]:
    found: defaultdict[str, list[Object]] = defaultdict(list)
    for one in objects:
        found[key(one)].append(one)
    return found
