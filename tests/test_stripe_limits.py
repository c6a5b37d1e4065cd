"""As fast as Stripe allows: its limits, calls that are saved, and who waits for whom."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from fundraiser.payments import queue, settlement, sync
from fundraiser.payments.stripe import patience
from fundraiser.payments.stripe.budget import StripeLimits, operation_of
from fundraiser.payments.stripe.connections import Connections
from fundraiser.payments.stripe.gateway import Gateway, current_gateway
from fundraiser.payments.sync import fetch
from tests.factories import GRACE
from tests.joining import thanks_of
from tests.settlements import number_of_members
from tests.webhooks import deliver, event

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

    from fundraiser.db import Database
    from tests.factories import Stripe

API = "https://api.stripe.com/v1/"


@pytest.mark.parametrize(
    ("call", "operation"),
    [
        ("get customers/cus_1?expand[0]=x", "GET /v1/customers/:id"),
        ("get subscriptions?customer=cus_1&status=all", "GET /v1/subscriptions"),
        ("post subscriptions/sub_1", "POST /v1/subscriptions/:id"),
        ("delete subscriptions/sub_1", "DELETE /v1/subscriptions/:id"),
        ("post invoices/in_1/pay", "POST /v1/invoices/:id/pay"),
        ("post invoices/create_preview", "POST /v1/invoices/create_preview"),
        ("get checkout/sessions/cs_test_1", "GET /v1/checkout/sessions/:id"),
        ("post checkout/sessions", "POST /v1/checkout/sessions"),
        ("post products/fundraiser_member", "POST /v1/products/:id"),
        ("get balance", "GET /v1/balance"),
    ],
)
def test_a_call_counts_under_its_method_and_path_template(call: str, operation: str) -> None:
    method, path = call.split()
    assert operation_of(method, API + path) == operation


def at_once(work: Callable[[], None], hands: int) -> float:
    """How many seconds so many hands take together."""
    begun = time.monotonic()
    threads = [threading.Thread(target=work) for _ in range(hands)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - begun


def test_both_limits_hold_for_all_processes_together(database: Database) -> None:
    limits = StripeLimits(database.side_engine, each=20, in_all=1000)
    again = StripeLimits(database.side_engine, each=1000, in_all=20)

    def call() -> None:
        limits.wait("GET /v1/charges", urgent=True)

    def call_any() -> None:
        again.wait(f"GET /v1/{threading.get_ident()}", urgent=True)

    assert at_once(call, 11) >= 10 / 20
    assert at_once(call_any, 11) >= 10 / 20


def test_a_reader_does_not_stand_behind_the_workers(database: Database) -> None:
    limits = StripeLimits(database.side_engine, each=20, in_all=80)
    workers = threading.Thread(
        target=at_once, args=(lambda: limits.wait("GET /v1/charges", urgent=False), 20)
    )
    workers.start()
    time.sleep(0.3)
    begun = time.monotonic()
    limits.wait("GET /v1/charges", urgent=True)
    waited = time.monotonic() - begun
    workers.join()
    assert waited < 0.25  # twenty workers wait for a second


def test_workers_take_what_readers_leave(database: Database) -> None:
    """Each call of a reader's moves the workers' next one, but never far."""
    limits = StripeLimits(database.side_engine, each=10, in_all=1000)
    moved = text("""
        SELECT free_at FROM call_budget WHERE endpoint = 'GET /v1/charges by workers'
    """)
    seen = []
    for _ in range(3):
        limits.wait("GET /v1/charges", urgent=True)
        with database.transaction() as session:
            seen.append(session.scalar(moved))
    assert seen == sorted(set(seen))
    with database.transaction() as session:
        ahead = text("UPDATE call_budget SET free_at = now() + interval '5 seconds' RETURNING 1")
        session.execute(ahead)
        before = session.scalar(moved)
        session.execute(text("DELETE FROM call_budget WHERE endpoint NOT LIKE '%by workers'"))
    limits.wait("GET /v1/charges", urgent=True)
    with database.transaction() as session:
        assert session.scalar(moved) == before, "who is that far behind is held back no longer"


def test_the_budget_takes_no_connection_of_those_who_work(database: Database) -> None:
    pool: Any = database.engine.pool
    taken = [database.engine.connect() for _ in range(pool.size() + pool._max_overflow)]  # noqa: SLF001 - nothing public says how many
    try:
        StripeLimits(database.side_engine, each=25, in_all=100).wait("GET /v1/x", urgent=False)
    finally:
        for connection in taken:
            connection.close()


def test_no_call_goes_on_when_the_time_for_it_is_over() -> None:
    asked: list[str] = []
    way = Connections("http://127.0.0.1:9", 5, lambda _method, url: asked.append(url))
    with patience.patience(0, urgent=True), pytest.raises(Exception, match="is over"):
        way.request("get", "http://127.0.0.1:9/v1/balance", {})
    assert len(asked) == 1


def test_three_calls_are_all_of_a_customer_who_has_joined(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    stripe.open_shop()
    customer = stripe.join("olena@example.org")
    whole, calls = Gateway._get, []  # noqa: SLF001 - each call goes through it

    def watched(gateway: Gateway, path: str, **params: Any) -> dict[str, Any]:
        calls.append(path)
        return whole(gateway, path, **params)

    monkeypatch.setattr(Gateway, "_get", watched)
    state = current_gateway().fetch_customer(customer)
    assert calls == ["/v1/subscriptions", "/v1/invoices", "/v1/charges"]
    assert (state.email, state.deleted) == ("olena@example.org", False)
    (found,) = state.subscriptions
    assert found.method
    assert found.method.last4 == "4242"


def test_a_deleted_customer_is_known_as_one(stripe: Stripe) -> None:
    """Nothing can be expanded of one: found by the fault run."""
    stripe.open_shop()
    customer = stripe.join("olena@example.org")
    stripe.call("DELETE", f"customers/{customer}")
    state = current_gateway().fetch_customer(customer)
    assert state.deleted
    assert [found.status for found in state.subscriptions] == ["canceled"]


def test_all_events_of_a_join_are_one_look_at_stripe(
    stripe: Stripe, client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody waits for the sweep: the workers wake when the events have come together."""
    monkeypatch.setattr(queue, "MERGE", timedelta(seconds=0.8))
    stripe.open_shop()
    customer = stripe.join("olena@example.org")
    looks, at = [], []

    def watched(*what: Any) -> Any:
        looks.append(what[1])
        at.append(time.monotonic())
        return fetch(*what)

    monkeypatch.setattr(sync, "fetch", watched)
    subject = {"id": customer, "object": "customer"}
    for number, kind in enumerate(("customer.updated", "invoice.paid", "charge.pending")):
        deliver(client, event(id=f"evt_{number}", type=kind, data={"object": subject}))
    assert not settlement.settle_next(database, current_gateway(), GRACE)
    begun = time.monotonic()
    settlement.settle_due(database, current_gateway(), GRACE, threads=4, seconds=5)
    assert looks == [customer]
    assert at[0] - begun < 3, "the look, not the end: a worker may stay a while for others"
    assert number_of_members(database) == 1


def test_the_thanks_page_and_the_webhooks_share_one_look_at_stripe(
    stripe: Stripe, client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader is back before the first of the events, and the last comes after a second."""
    stripe.open_shop()
    page = stripe.checkout()
    stripe.pay(page, "olena@example.org")
    customer = stripe.customer_of(page)
    monkeypatch.setattr(queue, "MERGE", timedelta(seconds=2))
    ask, calls = Connections._ask, []  # noqa: SLF001 - each call goes through it

    def counted(way: Connections, method: str, url: str, *rest: Any) -> Any:
        calls.append(operation_of(method, url))
        return ask(way, method, url, *rest)

    monkeypatch.setattr(Connections, "_ask", counted)
    with ThreadPoolExecutor(1) as thread:
        opened = thread.submit(client.get, thanks_of(page))
        subject = {"id": customer, "object": "customer"}
        for number, kind in enumerate(("customer.subscription.created", "invoice.paid")):
            deliver(client, event(id=f"evt_{number}", type=kind, data={"object": subject}))
            time.sleep(0.5)
        settlement.settle_due(database, current_gateway(), GRACE, threads=4, seconds=10)
        assert 'data-test="outcome-joined"' in opened.result().text
    assert calls == ["GET /v1/subscriptions", "GET /v1/invoices", "GET /v1/charges"]


def test_who_has_just_paid_goes_before_who_renews(database: Database) -> None:
    with database.transaction() as session:
        queue.request_syncs(session, [queue.Target(f"cus_renews_{n}") for n in range(30)])
        queue.request_syncs(session, [queue.Target("cus_joins", urgent=True)])
    with database.transaction() as session:
        (claim,) = queue.claim_due(session, most=1)
    assert (claim.name, claim.urgent) == ("cus_joins", True)


def test_threads_wait_for_stripe_side_by_side_and_hold_nothing(
    stripe: Stripe, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stripe.open_shop()
    customers = [stripe.join(f"reader-{number}@example.org") for number in range(6)]
    all_wait = threading.Barrier(len(customers))
    held = []

    def slow(*what: Any) -> Any:
        all_wait.wait(20)
        pool: Any = database.engine.pool
        time.sleep(0.3)  # the one that takes claims looks for more now and then
        held.append(pool.checkedout())
        return fetch(*what)

    monkeypatch.setattr(sync, "fetch", slow)
    with database.transaction() as session:
        queue.request_syncs(session, [queue.Target(customer) for customer in customers])
    settlement.settle_due(database, current_gateway(), GRACE, threads=6, seconds=5)
    assert number_of_members(database) == 6
    assert min(held) == 0
    with database.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM sync_lease")) == 0


@pytest.mark.parametrize("others", [0, 2])
def test_who_is_out_of_time_goes_on_until_another_process_has_taken_over(
    stripe: Stripe, database: Database, others: int
) -> None:
    stripe.open_shop()
    customers = [stripe.join(f"reader-{number}@example.org") for number in range(4)]
    with database.transaction() as session:
        queue.request_syncs(session, [queue.Target(customer) for customer in customers])
        for number in range(others):
            queue.claim(session, f"cus_of_another_{number}")
    is_left = settlement.settle_due(database, current_gateway(), GRACE, threads=2, seconds=0)
    assert (is_left, number_of_members(database)) == ((True, 0) if others else (False, 4))
