"""Run everything that happens with time, in order."""

import threading
import time

from simulator.core import (
    balance,
    billing,
    discounts,
    disputes,
    payments,
    pending_updates,
    refunds,
    schedules,
    trials,
)
from simulator.core.accounts import ACCOUNTS, later_of
from simulator.core.checkout import debit_settled, expire
from simulator.core.due import DAY, EVENTS_KEPT_FOR, period_end
from simulator.core.events import update
from simulator.core.shapes import Object
from simulator.core.world import World

BATCH = 100
TICK = 0.5
YIELD_SECONDS = 0.01


def run_due(world: World) -> int:
    """Run everything that is due; returns the number of steps.

    Each batch is one transaction, so that answers and deliveries continue in between. It checks
    again after each step, which may make another one due.
    """
    steps = 0
    while not world.stopping.is_set():
        with world.store.transaction():
            done = _batch(world, world.now())
        steps += done
        if done < BATCH:
            break
        # Python's locks are not fair: let the waiting answers and senders have their turn.
        time.sleep(YIELD_SECONDS)
    return steps


def _batch(world: World, moment: int) -> int:
    for done in range(BATCH):
        found = world.store.due(moment, 1)
        if not found:
            return done
        at, identity = found[0]
        step(world, world.store.one(identity), at)
    return BATCH


def step(world: World, whole: Object, at: int) -> None:
    """Run this object's due change."""
    match whole["object"]:
        case "subscription":
            _subscription(world, whole, at)
        case "subscription_schedule":
            schedules.advance(world, whole, at)
        case "invoice":
            _invoice(world, whole, at)
        case "checkout.session":
            expire(world, whole, at)
        case "payment_intent":
            method = world.store.one(whole["payment_method"])
            settle_debit(world, whole, succeeds=not ACCOUNTS[method["_number"]].decline, at=at)
        case "charge":
            later = later_of(world.store.one(whole["payment_method"])["_number"])
            disputes.open_dispute(world, whole, at, inquiry=later == "inquiry")
        case "refund":
            refunds.come_due(world, whole, at)
        case "balance_transaction":
            balance.pay_out(world, whole, at)
        case "payout":
            balance.arrive(world, whole, at)
        case other:
            raise LookupError(f"Nothing is due for a {other}.")


def _invoice(world: World, invoice: Object, at: int) -> None:
    if invoice["status"] == "draft":
        billing.advance(world, invoice, at)
    elif invoice["next_payment_attempt"] is None:
        billing.overdue(world, invoice, at)
    else:
        billing.collect(world, invoice, at)


def _subscription(world: World, subscription: Object, at: int) -> None:
    if schedules.come_due(world, subscription, at):
        return  # what is due of the subscription then comes next
    end = period_end(subscription)
    discount_ends = subscription.get("_discount_ends")
    resumes = (subscription["pause_collection"] or {}).get("resumes_at")
    waits = subscription["pending_update"]
    if waits and waits["expires_at"] <= at:
        pending_updates.expire(world, subscription, at)
    elif resumes is not None and resumes <= at:
        update(world, "customer.subscription.updated", subscription, at, pause_collection=None)
    elif subscription["status"] == "incomplete":
        _expire(world, subscription, at)
    elif (subscription["cancel_at"] or end) <= at and _ends(subscription):
        billing.cancel(world, subscription, at)
    elif discount_ends is not None and discount_ends <= at:
        discounts.drop_ended(world, subscription, at)
    elif at < end and trials.is_trial(subscription):
        trials.tell(world, subscription, at)
    elif at < end:
        billing.announce(world, subscription, at)
    else:
        billing.renew(world, subscription, at)


def _expire(world: World, subscription: Object, at: int) -> None:
    """End a subscription whose first payment never came, and void its invoice."""
    over = {"status": "incomplete_expired", "ended_at": at}
    update(world, "customer.subscription.updated", subscription, at, **over)
    invoice = world.named(subscription, "latest_invoice")
    if invoice and invoice["status"] == "open" and world.on("expired_is_voided"):
        billing.close_unpaid(world, invoice, "void", at)


def _ends(subscription: Object) -> bool:
    return subscription["cancel_at"] is not None or subscription["cancel_at_period_end"]


def settle_debit(world: World, intent: Object, *, succeeds: bool, at: int) -> None:
    """Complete a direct debit, with its invoice and session."""
    settled = payments.settle(world, intent, succeeds=succeeds, at=at)
    links = world.store.find("invoice_payment", where={"key": intent["id"]}, limit=1)
    invoice = None
    if links:
        invoice = world.store.one(links[0]["invoice"])
        if succeeds:
            billing.collected(world, invoice, links[0], at)
        else:
            refusal = payments.refused_with(world.store.one(intent["payment_method"]))
            outcome = payments.Outcome("failed", refusal)
            billing.failed(world, invoice, outcome, at)
    debit_settled(world, settled, invoice, succeeds=succeeds, at=at)


def forget(world: World) -> None:
    """Delete delivered events that are too old to be listed."""
    oldest = world.now() - EVENTS_KEPT_FOR - DAY
    with world.store.transaction():
        world.store.execute(
            "DELETE FROM deliveries WHERE state != 'waiting'"
            " AND event IN (SELECT id FROM events WHERE created < ?)",
            (oldest,),
        )
        world.store.execute(
            "DELETE FROM events WHERE created < ?"
            " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = events.id)",
            (oldest,),
        )


class Ticker:
    """A thread that runs what becomes due in real time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.thread = threading.Thread(target=self._run, name="ticker", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.thread.join()

    def _run(self) -> None:
        while not self.world.stopping.wait(TICK):
            run_due(self.world)
