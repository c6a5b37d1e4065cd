"""What people, their banks and Stripe do to a membership: each change is made at the simulator.

A change gets the turn it is made in and says whether it could be made; it holds the simulator's
transaction, so that it decides by what it sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.api import billing as api_billing, catalog, customers, discounts, invoices
from simulator.core import billing, disputes, engine, methods, payments, refunds, schedules
from simulator.core.due import DAY
from simulator.core.errors import StripeError
from simulator.core.events import update
from simulator.core.objects import build_card, new_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from simulator.core.shapes import Object
    from simulator.core.world import World

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
            return _do(refunds.refund, turn.world, charge, at=turn.at, amount=amount)
    return False


def dispute(turn: Turn) -> bool:
    """Open one over the newest payment, or close the one that is open."""
    for charge in turn.charges()[:1]:
        found = turn.world.store.find("dispute", where={"parent": charge["id"]}, limit=1)
        if found and found[0]["status"] == "needs_response":
            won = turn.random.random() < _WON
            disputes.close_dispute(turn.world, found[0], won=won, at=turn.at)
            return True
        if not found:
            disputes.open_dispute(turn.world, charge, turn.at)
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
    customers.delete_customer(turn.world, {}, customer=turn.customer["id"])
    return True


def replace_card(turn: Turn) -> bool:
    """Another card in Stripe's portal, which leaves the subscription's own card as it is."""
    number = turn.random.choice((GOOD_CARD, GOOD_CARD, FAILING_CARD))
    methods.change(turn.world, turn.customer, _new_card(turn, number), turn.at)
    return True


def move_product(turn: Turn) -> bool:
    """To a product that is no membership, or back to one that is."""
    item = turn.subscription["items"]["data"][0]
    ours = {price["product"] for price in turn.prices}
    if item["price"]["product"] in ours:
        price = _price_elsewhere(turn, item["price"])
    else:
        currency = turn.subscription["currency"]
        price = next(one for one in turn.prices if one["currency"] == currency)
    items = [{"id": item["id"], "price": price["id"]}]
    return _ask(turn, items=items, proration_behavior="none")


def inquire(turn: Turn) -> bool:
    """The bank asks about the newest payment, takes the money after all, or lets it be."""
    for charge in turn.charges()[:1]:
        found = turn.world.store.find("dispute", where={"parent": charge["id"]}, limit=1)
        if not found:
            return _do(disputes.open_dispute, turn.world, charge, turn.at, inquiry=True)
        if found[0]["status"] == "warning_needs_response":
            if turn.random.random() < _WON:
                return _do(disputes.end, turn.world, found[0], "warning_closed", turn.at)
            return _do(disputes.escalate, turn.world, found[0], turn.at)
    return False


def refund_earlier(turn: Turn) -> bool:
    """A payment before the newest: it is not what the current period was paid with."""
    earlier = turn.charges()[1:]
    return any(_do(refunds.refund, turn.world, charge, at=turn.at) for charge in earlier)


def run_out_of_money(turn: Turn) -> bool:
    """From now on Stripe refuses to refund more than the balance holds; or no longer does."""
    behaviours = turn.world.behaviours
    short = turn.world.choice("balance_for_refunds") == "short"
    behaviours.choose({"balance_for_refunds": "enough" if short else "short"})
    return True


def schedule_or_release(turn: Turn) -> bool:
    """A subscription schedule takes the subscription over, or lets it go."""
    name = turn.subscription["schedule"]
    if name is None:
        return turn.runs and _do(schedules.make, turn.world, turn.subscription, turn.at)
    return _do(schedules.release, turn.world, turn.world.store.one(name), turn.at)


def discount(turn: Turn) -> bool:
    """Half off for ever, a sum off once, or a free month; or nothing off any more."""
    if turn.subscription["discounts"]:
        return _ask(turn, discounts=[])
    currency = turn.subscription["currency"]
    terms = turn.random.choice(
        [
            {"percent_off": 50, "duration": "forever"},
            {"amount_off": 300, "currency": currency, "duration": "once"},
            {"percent_off": 100, "duration": "repeating", "duration_in_months": 1},
        ]
    )
    coupon = discounts.create_coupon(turn.world, dict(terms))["id"]
    return _ask(turn, discounts=[{"coupon": coupon}])


def give_free_time(turn: Turn) -> bool:
    """Three weeks for nothing, as a trial."""
    return turn.subscription["status"] == "active" and _ask(
        turn, trial_end=turn.at + 21 * DAY, proration_behavior="none"
    )


def invoice_by_mail(turn: Turn) -> bool:
    """Renewals are sent as an invoice to be paid within a week; or are charged again."""
    if turn.subscription["collection_method"] == "send_invoice":
        return _ask(turn, collection_method="charge_automatically")
    return _ask(turn, collection_method="send_invoice", days_until_due=7)


def forgive(turn: Turn) -> bool:
    """Staff void an open invoice, give it up, or mark it as paid in cash."""
    for invoice in turn.world.store.find("invoice", where={"parent": turn.subscription["id"]}):
        if invoice["status"] == "open":
            how = turn.random.choice(
                [
                    invoices.void_invoice,
                    invoices.mark_uncollectible,
                    lambda world, _params, name: billing.paid_elsewhere(
                        world, world.store.one(name), turn.at
                    ),
                ]
            )
            return _do(how, turn.world, {}, invoice["id"])
    return False


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
    replace_card: 8,
    move_product: 4,
    inquire: 8,
    refund_earlier: 4,
    run_out_of_money: 1,
    schedule_or_release: 6,
    discount: 8,
    give_free_time: 4,
    invoice_by_mail: 6,
    forgive: 6,
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


def _ask(turn: Turn, **params: object) -> bool:
    """An update by Stripe's own API, if it can be made; what it refuses changes nothing."""
    if not turn.runs:
        return False
    name = turn.subscription["id"]
    return _do(api_billing.update_subscription, turn.world, params, subscription=name)


def _do(change: Callable[..., object], *what: object, **more: object) -> bool:
    try:
        change(*what, **more)
    except StripeError:
        return False
    return True


def _price_elsewhere(turn: Turn, like: Object) -> Object:
    """A price of a product that is no membership, in the same currency and rhythm."""
    product = turn.world.store.get("prod_print_edition") or catalog.create_product(
        turn.world, {"id": "prod_print_edition", "name": "Print edition"}
    )
    rhythm = {name: like["recurring"][name] for name in ("interval", "interval_count")}
    return catalog.create_price(
        turn.world,
        {
            "product": product["id"],
            "currency": like["currency"],
            "unit_amount": like["unit_amount"],
            "recurring": rhythm,
        },
    )


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
        billing.advance(world, invoice, at)
