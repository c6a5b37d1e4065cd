"""The simulator's manners: keys, lists, refusals, webhooks, its store and the description."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import stripe

from simulator import API_VERSION
from simulator.core.description import Description, Recorder
from simulator.core.objects import (
    build_card,
    build_customer,
    build_invoice,
    build_price,
    build_product,
    build_subscription,
)
from simulator.core.payment_objects import build_payment
from simulator.core.store import Store
from tests.simulator_parts import DAY, SECRET, Receiver, Simulator, client_of, launch, wait_until
from tests.stripe_description import Watch

if TYPE_CHECKING:
    from collections.abc import Callable


def test_an_idempotency_key_replays_and_refuses_other_parameters(simulator: Simulator) -> None:
    customers = simulator.client.v1.customers
    options: Any = {"idempotency_key": f"key-{time.time_ns()}"}
    first = customers.create(params={"email": "a@example.org"}, options=options)
    again = customers.create(params={"email": "a@example.org"}, options=options)
    assert again.id == first.id
    assert again.last_response
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        customers.create(params={"email": "b@example.org"}, options=options)


def test_a_webhook_is_signed_and_delivered_again_until_it_is_taken(simulator: Simulator) -> None:
    simulator.receiver.answers = [500, 503, 500]
    session = simulator.subscribe()
    receiver = simulator.receiver
    wait_until(lambda: receiver.events("checkout.session.completed", session.id))
    wait_until(lambda: receiver.events("customer.subscription.created", session.subscription))
    assert receiver.answers == []
    for body, signature in list(receiver.got):
        event = simulator.client.construct_event(body, signature, SECRET)
        assert event.api_version == API_VERSION
    with pytest.raises(stripe.SignatureVerificationError):
        simulator.client.construct_event(receiver.got[0][0] + b" ", receiver.got[0][1], SECRET)


def test_faults_lose_and_double_deliveries_and_refuse_calls(simulator: Simulator) -> None:
    try:
        simulator.control("faults", seed=3, drop=1.0)
        lost = simulator.subscribe()
        simulator.control("faults", drop=0.0, duplicate=1.0)
        doubled = simulator.subscribe()
        told = simulator.receiver.events
        wait_until(lambda: len(told("checkout.session.completed", doubled.id)) == 2)
        assert told("checkout.session.completed", lost.id) == []
        simulator.control("faults", duplicate=0.0, api_429=1.0)
        with pytest.raises(stripe.RateLimitError):
            simulator.client.v1.events.list()
    finally:
        simulator.control("faults", drop=0.0, duplicate=0.0, api_429=0.0)


def test_events_are_caught_up_in_order(simulator: Simulator) -> None:
    newest = simulator.client.v1.events.list(params={"limit": 1}).data[0]
    simulator.subscribe()
    params: Any = {"ending_before": newest.id, "types": ["invoice.paid", "charge.succeeded"]}
    missed = simulator.client.v1.events.list(params=params).auto_paging_iter()
    assert [event.type for event in missed] == ["charge.succeeded", "invoice.paid"]
    too_many: Any = {"types": ["charge.succeeded"] * 21}
    with pytest.raises(stripe.InvalidRequestError):
        simulator.client.v1.events.list(params=too_many)


def test_lists_are_paged_newest_first(simulator: Simulator) -> None:
    customers = simulator.client.v1.customers
    made = [customers.create(params={"email": "many@example.org"}).id for _ in range(5)]
    first = customers.list(params={"email": "MANY@example.org", "limit": 2})
    assert ([one.id for one in first.data], first.has_more) == (made[:2:-1], True)
    every: Any = {"email": "many@example.org", "limit": 2}
    assert [one.id for one in customers.list(params=every).auto_paging_iter()] == made[::-1]


def test_wrong_calls_are_refused_in_stripes_words(simulator: Simulator) -> None:
    client = simulator.client
    mistaken: Any = {"nmae": "x"}
    empty: Any = {}
    wrong: list[tuple[Callable[[], Any], str | None, str]] = [
        (lambda: client.v1.customers.create(params=mistaken), "parameter_unknown", "nmae"),
        (lambda: client.v1.customers.retrieve("cus_nobody"), "resource_missing", "id"),
        (lambda: client.v1.products.create(params=empty), "parameter_missing", "name"),
        (
            lambda: client.v1.customers.list(params={"limit": 101}),
            "parameter_invalid_integer",
            "limit",
        ),
        (lambda: simulator.checkout(mode="subscription"), "parameter_missing", "line_items"),
        (
            lambda: client.v1.checkout.sessions.list(
                params={"expand": ["data.subscription.latest_invoice.payments.data"]}
            ),
            None,
            "expand",
        ),
    ]
    for call, code, param in wrong:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            call()
        assert (refused.value.code, refused.value.param) == (code, param)


def test_a_live_key_is_refused(simulator: Simulator) -> None:
    with pytest.raises(stripe.AuthenticationError, match="live"):
        client_of(simulator.url, "sk_live_of_somebody").v1.events.list()
    with pytest.raises(stripe.AuthenticationError):
        client_of(simulator.url, "nonsense").v1.events.list()


def test_a_restart_keeps_everything(tmp_path: Path, stripe_description: Path | None) -> None:
    del stripe_description
    process, url = launch(tmp_path / "store.sqlite", "--clock-file", str(tmp_path / "clock"))
    simulator = Simulator(url, client_of(url), Receiver(), process)
    session = simulator.subscribe()
    simulator.advance(40)
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()
    process, url = launch(tmp_path / "store.sqlite", "--clock-file", str(tmp_path / "clock"))
    again = Simulator(url, client_of(url), Receiver(), process)
    assert len(again.charges(session)) == 2
    assert abs(int((tmp_path / "clock").read_text()) - 40 * DAY) < 5
    process.terminate()
    assert process.wait(10) == 0
    assert process.stdout
    process.stdout.close()


def test_prepared_objects_are_loaded_and_live_on(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    created = 1_780_000_000
    product = build_product(id="prod_reader", name="Reader", created=created)
    price = build_price(
        id="price_reader",
        product="prod_reader",
        currency="eur",
        unit_amount=500,
        created=created,
        interval="month",
    )
    customer = build_customer(id="cus_1", email="a@example.org", created=created)
    card = build_card(id="pm_1", customer="cus_1", created=created)
    subscription = build_subscription(
        id="sub_1",
        customer="cus_1",
        price=price,
        created=created,
        period_start=created,
        period_end=created + 30 * DAY,
        payment_method="pm_1",
        latest_invoice="in_1",
    )
    invoice = build_invoice(
        id="in_1", customer=customer, subscription=subscription, created=created, status="paid"
    )
    paid = build_payment(invoice=invoice, method=card, created=created)
    assert store.load([product, price, customer, card, subscription, invoice, *paid]) == 10
    store.close()
    process, url = launch(tmp_path / "store.sqlite")
    client = client_of(url)
    # Its period ended long ago, so the simulator renews it as soon as it starts.
    params: Any = {"customer": "cus_1", "limit": 100}
    wait_until(lambda: len(client.v1.charges.list(params=params).data) > 1)
    process.terminate()
    assert process.wait(10) == 0
    assert process.stdout
    process.stdout.close()


def test_the_description_finds_what_is_wrong(described: Path) -> None:
    stripes = Description(described)
    good = "mode=subscription&line_items[0][price]=price_1&line_items[0][quantity]=2"
    assert stripes.request("POST", "/v1/checkout/sessions", good) == []
    for bad in ("mode=sell", "line_items[0][amuont]=1", "line_items[0][quantity]=many", "mdoe=x"):
        assert stripes.request("POST", "/v1/checkout/sessions", bad), bad
    assert stripes.request("POST", "/v1/nothing", "") == ["Stripe has no POST /v1/nothing."]
    product = {
        "id": "prod_1",
        "object": "product",
        "active": True,
        "created": 1,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": "n",
        "updated": 1,
        "description": None,
    }
    assert stripes.answer("GET", "/v1/products/prod_1", 200, product) == []
    for bad_field in ({"name": None}, {"nmae": "n"}, {"images": [1]}):
        assert stripes.answer("GET", "/v1/products/prod_1", 200, {**product, **bad_field})


def test_a_wrong_answer_and_one_that_nobody_validated_fail_the_run(
    described: Path, tmp_path: Path
) -> None:
    recorder = Recorder(described, tmp_path)
    event = {"id": "evt_1", "object": "event", "type": "product.created", "created": 1}
    recorder.record_event({**event, "data": {"object": {"object": "product", "id": 7}}})
    watch = Watch(tmp_path)
    watch.answered("get", "http://127.0.0.1:9/v1/events", {"Request-Id": "req_1"})
    counts, wrong = watch.told()
    assert counts["event"] == 1
    assert wrong[0] == "nobody validated the answer to GET http://127.0.0.1:9/v1/events"
    assert any("product.created" in one for one in wrong[1:])
