"""What people, their banks and Stripe do to a membership: each change is made at the simulator.

A change gets the turn it is made in and says whether it could be made; it holds the simulator's
transaction, so that it decides by what it sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator import api_customers, billing, engine, methods, payments
from simulator.events import update
from simulator.objects import build_card, new_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from simulator.shapes import Object
    from simulator.world import World

GOOD_CARD, FAILING_CARD = "4242424242424242", "4000000000000341"
_WON = 0.7


@dataclass(frozen=True)
class Turn:
    """One customer, with the newest subscription, about to change."""

    world: World
    random: Random
    customer: Object
    subscription: Object
    prices: list[Object]
    addresses: list[str]  # of everybody so far

    @property
    def at(self) -> int:
        return self.world.now()

    @property
    def runs(self) -> bool:
        return self.subscription["status"] not in billing.ENDED

    def update(self, **new: object) -> bool:
        update(self.world, "customer.subscription.updated", self.subscription, self.at, **new)
        return True

    def charges(self) -> list[Object]:
        """Those that went well, newest first."""
        found = self.world.store.find("charge", where={"customer": self.customer["id"]})
        return [charge for charge in found if charge["status"] == "succeeded"]


def change_price(turn: Turn) -> bool:
    item = turn.subscription["items"]["data"][0]
    others = [
        price
        for price in turn.prices
        if price["currency"] == turn.subscription["currency"] and price["id"] != item["price"]["id"]
    ]
    price = turn.random.choice(others)
    return turn.runs and turn.update(items=billing.with_item(turn.subscription, price=price))


def leave_or_stay(turn: Turn) -> bool:
    """Cancel at the period's end, or take that back."""
    stops = turn.subscription["cancel_at"] is None
    if turn.runs:
        billing.schedule_end(turn.world, turn.subscription, stops=stops, at=turn.at)
    return turn.runs


def pause_or_resume(turn: Turn) -> bool:
    paused = turn.subscription["pause_collection"]
    pause = None if paused else {"behavior": "void", "resumes_at": None}
    return turn.runs and turn.update(pause_collection=pause)


def refund(turn: Turn) -> bool:
    """The newest payment, mostly whole."""
    for charge in turn.charges()[:1]:
        left = charge["amount"] - charge["amount_refunded"]
        if left and not charge["disputed"]:
            whole = turn.random.random() < _WON
            amount = left if whole else max(1, left // 2)
            payments.refund(turn.world, charge, at=turn.at, amount=amount)
            return True
    return False


def dispute(turn: Turn) -> bool:
    """Open one over the newest payment, or close the one that is open."""
    for charge in turn.charges()[:1]:
        found = turn.world.store.find("dispute", where={"parent": charge["id"]}, limit=1)
        if found and found[0]["status"] not in {"won", "lost"}:
            won = turn.random.random() < _WON
            payments.close_dispute(turn.world, found[0], won=won, at=turn.at)
            return True
        if not found:
            payments.open_dispute(turn.world, charge, turn.at)
            return True
    return False


def cancel(turn: Turn) -> bool:
    if turn.runs:
        billing.cancel(turn.world, turn.subscription, turn.at)
    return turn.runs


def come_back(turn: Turn) -> bool:
    """Begin anew after the end; through Stripe's dashboard, so without a Checkout of ours."""
    if turn.runs:
        return False
    method = _new_card(turn, GOOD_CARD)
    billing.start(
        turn.world,
        customer=turn.customer,
        price=turn.random.choice(turn.prices),
        method=method,
        outcome=payments.judge(method),
        at=turn.at,
    )
    return True


def change_address(turn: Turn) -> bool:
    """To a new one, to the same in capitals, or to one that is somebody else's."""
    old = turn.customer["email"]
    new = turn.random.choice(
        [f"moved-{new_id('event')}@example.org".lower(), old.swapcase(), *turn.addresses[-3:]]
    )
    turn.addresses.append(new)
    update(turn.world, "customer.updated", turn.customer, turn.at, email=new)
    return bool(old != new)


def fail_to_renew(turn: Turn) -> bool:
    """The card stops working, and the next period's payment fails."""
    if turn.subscription["status"] != "active":
        return False
    methods.replace(turn.world, turn.customer, _new_card(turn, FAILING_CARD), turn.at)
    _renew(turn)
    return True


def renew(turn: Turn) -> bool:
    if turn.subscription["status"] != "active":
        return False
    _renew(turn)
    return True


def recover(turn: Turn) -> bool:
    """A card that works, and what was owed is paid."""
    if turn.subscription["status"] != "past_due":
        return False
    methods.replace(turn.world, turn.customer, _new_card(turn, GOOD_CARD), turn.at)
    for invoice in turn.world.store.find("invoice", where={"parent": turn.subscription["id"]}):
        if invoice["status"] == "open":
            billing.collect(turn.world, invoice, turn.at)
    return True


def settle_debit(turn: Turn) -> bool:
    """The bank says what became of a debit in process."""
    for intent in turn.world.store.find(
        "payment_intent", where={"customer": turn.customer["id"], "status": "processing"}
    ):
        succeeds = turn.random.random() < _WON
        engine.settle_debit(turn.world, intent, succeeds=succeeds, at=turn.at)
        return True
    return False


def delete_customer(turn: Turn) -> bool:
    api_customers.delete_customer(turn.world, {}, customer=turn.customer["id"])
    return True


# How often each is tried first.
CHANGES: dict[Callable[[Turn], bool], int] = {
    change_price: 20,
    leave_or_stay: 18,
    pause_or_resume: 12,
    refund: 8,
    dispute: 10,
    cancel: 6,
    come_back: 20,
    change_address: 8,
    fail_to_renew: 8,
    renew: 6,
    recover: 25,
    settle_debit: 25,
    delete_customer: 1,
}


def change(turn: Turn) -> str:
    """Make one change that can be made now; returns its name."""
    left = dict(CHANGES)
    while True:
        chosen = turn.random.choices(list(left), list(left.values()))[0]
        if chosen(turn):
            return chosen.__name__
        del left[chosen]


def _new_card(turn: Turn, number: str) -> Object:
    customer = turn.customer
    return turn.world.store.put(
        build_card(
            id=new_id("payment_method"), customer=customer["id"], created=turn.at, number=number
        )
    )


def _renew(turn: Turn) -> None:
    """The next period begins at once, and its invoice is collected without the hour's wait."""
    world, at = turn.world, turn.at
    billing.renew(world, world.store.one(turn.subscription["id"]), at)
    renewed = world.store.one(turn.subscription["id"])
    invoice = world.store.one(renewed["latest_invoice"])
    if invoice["status"] == "draft" and invoice["auto_advance"]:
        billing.collect(world, billing.finalize(world, invoice, at), at)
