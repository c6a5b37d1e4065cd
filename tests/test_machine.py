"""Any order of joins, changes, events and deaths: whenever it is quiet, the number is the oracle's.

A Hypothesis state machine over the service's own functions in one process, on a real PostgreSQL,
with the simulator as Stripe over HTTP. `make test` runs a few examples, always the same;
docs/reliability.md says how to run more.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
import time_machine
from hypothesis import HealthCheck, Phase, settings as profile, strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg import sql
from werkzeug.serving import make_server

from chaos.changes import CHANGES, FAILING_CARD, GOOD_CARD, Turn
from chaos.oracle import Elsewhere
from chaos.verdict import Verdict, check_ledger, compare
from fundraiser.app import FundraiserApp, create_app
from fundraiser.db import now
from fundraiser.members import eligibility as count_rule
from fundraiser.members.consistency import check_consistency
from fundraiser.members.counting import find_or_add_person, recount, recount_due
from fundraiser.members.models import Cause, Source
from fundraiser.payments import queue, reconcile, settlement, sync
from fundraiser.payments.payment_status import payment_facts
from fundraiser.payments.queue import LEASE, SyncBusyError
from fundraiser.payments.stripe.gateway import CHECKOUT_KEY, current_gateway
from fundraiser.webhooks.catch_up import catch_up
from simulator.api.events import event_named
from simulator.app import create_app as create_simulator
from simulator.core import billing, engine, payments
from simulator.core.cards import IBAN_FAILS, IBAN_SUCCEEDS
from simulator.core.clock import Clock
from simulator.core.description import Recorder
from simulator.core.due import DAY, EVENTS_KEPT_FOR, HOUR
from simulator.core.events import HANDLED
from simulator.core.faults import Faults
from simulator.core.objects import build_card, build_customer, new_id
from simulator.core.store import Store
from simulator.core.webhooks import signature
from simulator.core.world import World
from simulator.serving import handler_by
from tests.conftest import WEBHOOK_SECRET, Browser
from tests.factories import GRACE, NOON, Stripe, make_membership

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from fundraiser.config import Settings

RUNS, FEW = int(os.environ.get("MACHINE_RUNS", "0")), 25
STEPS, SOME = 30, 8
ADDRESSES = ("ann@example.org", "Ann@Example.org", "bob@example.org", "eve@example.org")
# What a reader chooses on the join page, and then pays by.
CHECKOUTS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "card": ({}, {}),
    "debit": ({"currency": "EUR"}, {"method": "sepa_debit", "iban": IBAN_SUCCEEDS}),
    "failing debit": ({"currency": "EUR"}, {"method": "sepa_debit", "iban": IBAN_FAILS}),
    "once": ({"tier": None, "interval": None, "amount": 5000}, {}),
}
SPANS = (1, HOUR, DAY, 4 * DAY, 8 * DAY, 15 * DAY, 28 * DAY)

LIVES = (
    "settle_debit pause_or_resume pause_or_resume",
    "settle_debit pause_or_resume",
    "settle_debit refund",
    "settle_debit replace_card renew replace_card",
    "settle_debit move_product renew move_product",
    "settle_debit cancel come_back inquire inquire",
    "settle_debit renew settle_debit refund_earlier",
    "settle_debit run_out_of_money run_out_of_money",
    "settle_debit schedule_or_release renew schedule_or_release",
    "settle_debit discount renew discount discount renew",
    "settle_debit give_free_time",
    "settle_debit invoice_by_mail renew forgive",
    "settle_debit dispute dispute",
    "settle_debit fail_to_renew recover",
    "settle_debit leave_or_stay renew change_price",
    "settle_debit cancel come_back",
    "settle_debit change_address delete_customer",
)


class DiedError(BaseException):
    """A worker's process ended: between its look at Stripe and its commit."""


@dataclass
class House:
    """The service, and Stripe beside it, on one clock that stands still: for many examples."""

    app: FundraiserApp
    world: World
    books: psycopg.Connection[Any]
    clock: time_machine.Traveller
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.gateway = current_gateway()
        self.stripe = Stripe(self.world.base_url, self.app)
        self.stripe.open_shop()
        self.prices = [one for one in self.world.store.find("price") if one["recurring"]]
        names = self.books.execute(
            "SELECT relname FROM pg_stat_user_tables WHERE relname != 'ledger_head'"
        ).fetchall()
        tables = [sql.Identifier(name) for (name,) in names]
        # What is empty now is what an example may fill.
        self.deletions = sql.SQL(";").join(
            sql.SQL("DELETE FROM {}").format(table)
            for table in tables
            if self.books.execute(sql.SQL("SELECT 1 FROM {}").format(table)).fetchone() is None
        )
        # Rows are deleted in any order, and those of the ledger at all.
        self.books.execute("SET session_replication_role = replica")

    def clear(self) -> None:
        """As on the first day: nobody ever joined."""
        self.clock.move_to(NOON, tick=False)
        self.books.execute(self.deletions)
        self.books.execute(
            "UPDATE ledger_head SET version = 0, balance = 0, numbers_given = 0, changed_at = %s",
            [NOON],
        )
        execute = self.world.store.execute
        execute("DELETE FROM objects WHERE object NOT IN ('product', 'price')")
        execute("DELETE FROM events")
        execute("DELETE FROM idempotency")

    def look_through_events(self) -> None:
        more = True
        while more:
            with self.app.database.transaction() as session:
                more = catch_up(session, self.gateway, every=timedelta())

    def settle_next(self) -> bool:
        return settlement.settle_next(self.app.database, self.gateway, GRACE)

    def recount(self) -> None:
        with self.app.database.transaction() as session:
            recount_due(session, GRACE)


@pytest.fixture
def house(settings: Settings, stripe_description: Path | None) -> Iterator[House]:
    """Hints are lost here, always: nothing listens at the address of this Redis."""
    deaf = replace(settings, redis_url="redis://127.0.0.1:9/0", log_level="ERROR")
    store = Store(":memory:")
    with (
        pytest.MonkeyPatch.context() as patch,
        time_machine.travel(NOON, tick=False) as clock,
        psycopg.connect(settings.database_url, autocommit=True) as books,
    ):
        numbers = itertools.count(1)
        # A failure can only be repeated where the order of names is.
        names = SimpleNamespace(token_hex=lambda size: f"{next(numbers):0{2 * size}x}")
        patch.setattr("simulator.core.objects.secrets", names)
        world = World(store, Clock(store), Faults(store), base_url="")
        recorder = None
        if stripe_description:
            recorder = Recorder(stripe_description, Path(os.environ["SIMULATOR_REPORT"]))
        simulator = create_simulator(world, recorder)
        server = make_server(
            "127.0.0.1", 0, simulator, threaded=True, request_handler=handler_by(world.now)
        )
        world.base_url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        app = create_app(replace(deaf, stripe_api_base=world.base_url))
        app.test_client_class = Browser
        with app.app_context():
            yield House(app, world, books, clock)
        app.database.dispose()
        server.shutdown()
        server.server_close()
    store.close()


def dying(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, after which the process is gone."""

    def dies(*what: Any, **more: Any) -> None:
        function(*what, **more)
        raise DiedError

    return dies


class Machine(RuleBasedStateMachine):
    """What readers, banks, Stripe, the network and the workers may do next."""

    customers = Bundle("customers")

    def __init__(self, house: House) -> None:
        super().__init__()
        self.house, self.world = house, house.world
        self.addresses = list(ADDRESSES)
        self.given: list[tuple[int, str, int, datetime]] = []
        self.looked_at = self.steps = 0
        house.counts["runs"] += 1

    @initialize(dunning_end=st.sampled_from(["cancel", "unpaid", "past_due"]))
    def open(self, dunning_end: Any) -> None:
        self.house.clear()
        self.world.dunning_end = dunning_end
        self.world.behaviours.choose({"balance_for_refunds": None})
        self.looked_at = self.world.now()

    # People, their banks and Stripe

    @rule(
        target=customers,
        address=st.sampled_from(ADDRESSES),
        how=st.sampled_from(list(CHECKOUTS)),
        thanks=st.booleans(),
    )
    def join(self, address: str, how: str, *, thanks: bool) -> Any:
        chosen, typed = CHECKOUTS[how]
        page = self.house.stripe.checkout(**chosen)
        assert self.house.stripe.pay(page, address, **typed).status_code == 303
        customer = str(self.world.store.one(page.rsplit("/", 1)[1])["customer"])
        if thanks:
            self.house.stripe.settle(customer)
        return multiple() if how == "once" else customer

    @rule(
        target=customers,
        address=st.sampled_from(ADDRESSES),
        how=st.sampled_from(["trial", "declined", "by staff"]),
    )
    def begin_at_stripe(self, address: str, how: str) -> str:
        """A membership that did not come from a Checkout that was paid at once."""
        at = self.world.now()
        number = FAILING_CARD if how == "declined" else GOOD_CARD
        with self.world.store.transaction():
            name = new_id("customer")
            method = self.world.store.put(
                build_card(id=new_id("payment_method"), customer=name, created=at, number=number)
            )
            customer = self.world.store.put(
                build_customer(id=name, email=address, created=at, payment_method=method["id"])
            )
            billing.start(
                self.world,
                customer=customer,
                price=self.house.prices[0],
                method=method,
                outcome=payments.judge(method),
                at=at,
                metadata=None if how == "by staff" else {CHECKOUT_KEY: uuid4().hex},
                trial_end=at + 7 * DAY if how == "trial" else None,
            )
        return name

    def make(self, change: Callable[[Turn], bool], customer: str, random: Random) -> bool:
        """One of the fault run's changes, if it can be made now; says whether it was."""
        store = self.world.store
        with store.transaction():
            found = store.get(customer)
            subscriptions = store.find("subscription", where={"customer": customer}, limit=1)
            if not (found and subscriptions):
                return False
            prices = self.house.prices
            turn = Turn(self.world, random, found, subscriptions[0], prices, self.addresses)
            made = change(turn)
        self.house.counts[change.__name__] += made
        return made

    def make_somehow(self, change: Callable[[Turn], bool], customer: str, random: Random) -> None:
        """This change, of whoever can make it, or else what this customer can: no step is empty."""
        others = [one["id"] for one in self.world.store.find("customer") if one["id"] != customer]
        tries = [(change, one) for one in (customer, *others)]
        tries += [(other, customer) for other in CHANGES]
        any(self.make(one, whose, random) for one, whose in tries)

    @rule(
        address=st.sampled_from(ADDRESSES),
        source=st.sampled_from([Source.GIFT, Source.IMPORT, Source.COMPLIMENTARY]),
        amount=st.sampled_from([0, 1000]),
        days=st.sampled_from([1, 10, 40]),
    )
    def give(self, address: str, source: Source, amount: int, days: int) -> None:
        """A gift that was redeemed, a member from elsewhere, or somebody who pays nothing."""
        until = now() + timedelta(days=days)
        with self.house.app.database.transaction() as session:
            member = find_or_add_person(session, address, language="en")
            given = make_membership(
                member, source=source, amount=amount, counts_until=until, started_at=now()
            )
            session.add(given)
            recount(session, member, GRACE, cause=Cause.IMPORT)
        self.given.append((given.id, source.value, amount, until))

    @rule(seconds=st.sampled_from(SPANS))
    def time_passes(self, seconds: int) -> None:
        # The hourly look may fail for weeks, but for no longer than Stripe keeps its events.
        if self.world.now() + seconds - self.looked_at >= EVENTS_KEPT_FOR:
            self.look_through_events()
        self.house.clock.shift(seconds)
        engine.run_due(self.world)

    # The network and the workers

    @rule(which=st.lists(st.integers(0, 10_000), min_size=1, max_size=5))
    def deliver(self, which: list[int]) -> None:
        """Any events there ever were, in this order: some for the first time, some once more."""
        rows = self.world.store.execute("SELECT id, type FROM events ORDER BY seq DESC")
        events = [found["id"] for found in rows if found["type"] in HANDLED]
        client = self.house.app.test_client()
        for place in which if events else ():
            body = json.dumps(event_named(self.world, events[place % len(events)]))
            header = signature(body.encode(), WEBHOOK_SECRET, int(time.time()))
            answer = client.post(
                "/webhooks/stripe", data=body, headers={"Stripe-Signature": header}
            )
            assert answer.status_code == 204, answer.text

    @rule(settlements=st.integers(0, 3), recounts=st.booleans(), looks=st.booleans())
    def work(self, settlements: int, *, recounts: bool, looks: bool) -> None:
        """Some of what the workers have to do."""
        for _ in range(settlements):
            self.house.settle_next()
        if recounts:
            self.house.recount()
        if looks:
            self.look_through_events()

    @rule(customer=customers, dies=st.sampled_from([None, "fetch", "write"]))
    def settle(self, customer: str, dies: str | None) -> None:
        """Though nothing happened; and perhaps the worker dies on the way, and keeps its lease."""
        with pytest.MonkeyPatch.context() as patch, suppress(DiedError, SyncBusyError):
            if dies:
                patch.setattr(sync, dies, dying(getattr(sync, dies)))
                patch.setattr(queue, "release", lambda *_: None)
            settlement.settle(
                self.house.app.database, self.house.gateway, GRACE, customer, patience=0
            )

    # What has to hold

    @invariant()
    def the_ledger_is_right_in_itself(self) -> None:
        self.house.counts["steps"] += 1
        self.steps += 1
        verdict = Verdict()
        check_ledger(verdict, self.house.books)
        assert not verdict.wrong, "\n".join(verdict.wrong)

    @precondition(lambda self: self.steps >= SOME)
    @rule()
    def quiet(self) -> None:
        """Every event is known and nothing is left to do: we have what Stripe has."""
        self.steps = 0
        self.become_quiet()
        verdict = Verdict()
        elsewhere = [
            Elsewhere(self.address_of(membership), source, amount, until)
            for membership, source, amount, until in self.given
        ]
        store = self.world.store
        compare(verdict, store.connection, self.house.books, self.world.now(), elsewhere)
        for name, error in self.house.books.execute("SELECT customer_id, error FROM sync_request"):
            verdict.wrong.append(f"{name} could not be settled: {error}")
        with self.house.app.database.transaction() as session:
            verdict.wrong += [found.detail for found in check_consistency(session, GRACE).findings]
        with self.house.app.database.transaction() as session:
            _, differences = reconcile.compare_all(
                session, self.house.gateway, GRACE, lambda _: None
            )
        verdict.wrong += [f"{name}: {details}" for name, details in differences.items()]
        assert not verdict.wrong, "\n".join(verdict.wrong)
        self.house.counts["compared"] += 1

    def become_quiet(self) -> None:
        """What a settlement tells Stripe makes events as well: look until there are none."""
        if self.house.books.execute("SELECT 1 FROM sync_lease").fetchone():
            self.time_passes(LEASE.seconds)  # until what the dead have held is free
        settled = True
        while settled:
            self.look_through_events()
            settled = False
            while self.house.settle_next():
                settled = True
        self.house.recount()

    def look_through_events(self) -> None:
        self.house.look_through_events()
        self.looked_at = self.world.now()

    def address_of(self, membership: int) -> str:
        """Whose it is now: two people may have become one."""
        found = self.house.books.execute(
            "SELECT address FROM member JOIN membership ON member_id = member.id"
            " WHERE membership.id = %s",
            [membership],
        )
        return str((found.fetchone() or ("",))[0])

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:
            self.quiet()


def _as_rule(change: Callable[[Turn], bool]) -> Any:
    def made(self: Machine, customer: str, random: Random) -> None:
        self.make_somehow(change, customer, random)

    made.__name__ = change.__name__
    whose: Any = {"customer": Machine.customers, "random": st.randoms(use_true_random=False)}
    as_rule: Any = rule(**whose)
    return as_rule(made)


for one in CHANGES:
    setattr(Machine, one.__name__, _as_rule(one))


def run(house: House, **changed: Any) -> None:
    defaults = {
        "max_examples": FEW,
        "stateful_step_count": STEPS,
        "deadline": None,
        "database": None,
        "derandomize": True,
        "print_blob": False,
        "suppress_health_check": list(HealthCheck),
    }
    machine: Any = functools.partial(Machine, house)
    run_state_machine_as_test(machine, settings=profile(**defaults | changed))


@pytest.mark.timeout(600 + 20 * RUNS)
def test_whenever_it_is_quiet_the_number_is_what_stripe_and_the_rule_say(house: House) -> None:
    if RUNS:
        run(house, max_examples=RUNS, derandomize=False)
        sys.stderr.write(f"\n{dict(house.counts)}\n")
    else:
        run(house)
    assert house.counts["compared"] >= FEW


def without_pauses(patch: pytest.MonkeyPatch) -> None:
    """The rule takes no notice that collection is paused."""
    heard = count_rule.membership_counts

    def deaf(*what: Any) -> count_rule.Verdict:
        verdict = heard(*what)
        is_paused = verdict.reason is count_rule.Reason.COLLECTION_PAUSED
        return replace(verdict, counts=True) if is_paused else verdict

    patch.setattr(count_rule, "membership_counts", deaf)


def without_refunds(patch: pytest.MonkeyPatch) -> None:
    """A settlement passes over refunds."""
    patch.setattr(
        sync, "payment_facts", lambda *what: replace(payment_facts(*what), refunded_at=None)
    )


def without_the_list(patch: pytest.MonkeyPatch) -> None:
    """Nobody looks for events that were never delivered."""
    patch.setattr(House, "look_through_events", lambda _: None)


def live_each_life(house: House) -> None:
    """Every change there is, each with what has to come before it."""
    machine = Machine(house)
    machine.open("past_due")
    for number, names in enumerate(LIVES):
        customer: Any = machine.join(f"reader-{number}@example.org", "debit", thanks=False)
        for name in names.split():
            change = next(one for one in CHANGES if one.__name__ == name)
            machine.make(change, customer, Random(1))  # noqa: S311 - the same each time
            machine.quiet()
    for address, source in zip(ADDRESSES[1:], (Source.GIFT, Source.IMPORT), strict=False):
        machine.give(address, source, 1000, 10)
    for _ in range(2):
        machine.time_passes(15 * DAY)
        machine.quiet()


def test_every_change_is_seen_rightly_at_least_once(house: House) -> None:
    live_each_life(house)
    assert {name: house.counts[name] > 0 for name in (one.__name__ for one in CHANGES)} == {
        one.__name__: True for one in CHANGES
    }


@pytest.mark.parametrize("without", [without_pauses, without_refunds, without_the_list])
def test_a_guard_that_is_gone_is_seen(
    house: House, monkeypatch: pytest.MonkeyPatch, without: Callable[[pytest.MonkeyPatch], None]
) -> None:
    without(monkeypatch)
    with pytest.raises(AssertionError, match="people are counted wrongly"):
        live_each_life(house)


@pytest.mark.timeout(600)
def test_the_machine_finds_by_itself_that_refunds_are_passed_over(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_refunds(monkeypatch)
    with pytest.raises(AssertionError):
        run(house, max_examples=300, phases=[Phase.generate], report_multiple_bugs=False)
