"""What granian loads: some threads always stay free for the number."""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
import stripe
from sqlalchemy import func, select, update
from werkzeug.test import Client

from fundraiser import db
from fundraiser.payments.models import Event, Price, SyncRequest, Tier
from fundraiser.payments.stripe.connections import Connections
from fundraiser.security import new_nonce
from fundraiser.webhooks.layer import WebhookLayer
from simulator.core.webhooks import signature
from tests.conftest import WEBHOOK_SECRET
from tests.factories import make_campaign, make_tiers
from tests.joining import OURS, fill_in, thanks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType
    from wsgiref.types import StartResponse, WSGIEnvironment

    from werkzeug.test import TestResponse

    from tests.factories import Stripe

THREADS = 8


@pytest.fixture
def wsgi(
    environment: dict[str, str], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    own = {"DATABASE_URL": database_url, "WEB_THREADS": str(THREADS)}
    yield from load(monkeypatch, environment | own)


@pytest.fixture
def at_stripe(stripe: Stripe) -> Stripe:
    """Another name for it: here ``stripe`` is the SDK."""
    stripe.open_shop()
    return stripe


@pytest.fixture
def shop(
    at_stripe: Stripe,
    environment: dict[str, str],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ModuleType]:
    """The same with its shop open, and twice as many threads."""
    own = {"DATABASE_URL": database_url, "STRIPE_API_BASE": at_stripe.url}
    yield from load(monkeypatch, environment | own | {"WEB_THREADS": str(2 * THREADS)})


def load(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> Iterator[ModuleType]:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "fundraiser.wsgi", raising=False)
    module = import_module("fundraiser.wsgi")
    yield module
    for thread in threading.enumerate():
        if thread.name == "progress":
            thread.join(10)
    module._app.database.dispose()  # noqa: SLF001 - nobody else needs it
    db.clock.follow(None)


def test_a_silent_part_holds_up_only_its_share_of_the_threads(
    wsgi: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripe is silent: most threads may wait for it, the others still answer."""
    go_on, inside = threading.Event(), threading.Semaphore(0)

    def be_silent(*_: object, **__: object) -> None:
        inside.release()
        assert go_on.wait(30)
        raise stripe.APIConnectionError("It says nothing.", should_retry=False)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(Connections, "_ask", be_silent)
    app = wsgi._app  # noqa: SLF001 - as below
    with app.database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
        session.execute(update(Tier).values(product_id="prod_" + Tier.slug))
        session.execute(update(Price).values(stripe_id=func.concat("price_", Price.id)))

    def join(number: int) -> TestResponse:
        form = {"campaign": "25000", "tier": "member", "interval": "month", "currency": "GBP"}
        nonce = f"a-nonce-of-a-reader-{number}"
        headers = {"Origin": "http://127.0.0.1:8000", "Accept": "application/json"}
        return Client(wsgi.application).post("/join", data=form | {"nonce": nonce}, headers=headers)

    most = THREADS * 3 // 4
    with ThreadPoolExecutor(most) as threads:
        waiting = [threads.submit(join, number) for number in range(most)]
        for _ in waiting:
            assert inside.acquire(timeout=20)
        refused, page = join(most), Client(wsgi.application).get("/how-we-count")
        go_on.set()
        assert {one.result().status_code for one in waiting} == {503}
    assert (refused.status_code, page.status_code) == (503, 200)
    assert "very busy" in refused.text
    assert "You haven’t been charged" in refused.text


def test_others_join_while_somebody_opens_the_pages_of_unpaid_checkouts_again_and_again(
    at_stripe: Stripe, shop: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has become of a checkout is asked in few places, so that the others are free."""
    form = fill_in(at_stripe.app.test_client())
    pages = [thanks_of(at_stripe.checkout()) for _ in range(6)]
    silence, ask = threading.Event(), Connections._ask  # noqa: SLF001 - the one way to Stripe

    def be_silent(self: Connections, method: str, url: str, *sent: Any) -> Any:
        if method.lower() == "get":
            assert silence.wait(120)
            raise stripe.APIConnectionError("It says nothing.", should_retry=False)  # type: ignore[no-untyped-call]
        return ask(self, method, url, *sent)

    monkeypatch.setattr(Connections, "_ask", be_silent)
    with ThreadPoolExecutor(26) as readers:
        opened = [readers.submit(Client(shop.application).get, page) for page in (pages * 5)[:26]]
        try:
            # All but those who wait for Stripe: in four places, where it could be twelve.
            assert len(list(islice(as_completed(opened), 26 - 12))) == 26 - 12
            statuses = [
                Client(shop.application)
                .post("/join", data=form | {"nonce": new_nonce()}, headers=OURS)
                .status_code
                for _ in range(12)
            ]
        finally:
            silence.set()
    assert statuses == [303] * 12
    assert {answer.result().status_code for answer in opened} <= {200, 503}


def test_the_whole_is_the_app_behind_the_progress_layer(wsgi: ModuleType) -> None:
    client = Client(wsgi.application)
    assert client.get("/healthz").status_code == 200
    assert client.get("/campaigns/unknown/progress").status_code == 404


def test_a_signed_webhook_is_stored_before_the_app_is_asked(wsgi: ModuleType) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("418 I'm a teapot", [])
        return [environ["wsgi.input"].read()]

    app_of = wsgi._app.extensions  # noqa: SLF001 - what the module itself hands to the layer
    client = Client(
        WebhookLayer(app, app_of["gateway"], app_of["inbox"], {"Cache-Control": "no-store"})
    )
    body = json.dumps(
        {
            "id": "evt_1",
            "type": "customer.updated",
            "created": 1_780_000_000,
            "livemode": False,
            "data": {"object": {"id": "cus_1", "object": "customer"}},
        }
    ).encode()

    def deliver(signed_at: float, to: Client = client) -> TestResponse:
        header = signature(body, WEBHOOK_SECRET, int(signed_at))
        return to.post("/webhooks/stripe", data=body, headers={"Stripe-Signature": header})

    answer, again = deliver(time.time()), deliver(time.time())
    assert (answer.status_code, again.status_code, answer.data) == (204, 204, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    with wsgi._app.database.transaction() as session:  # noqa: SLF001 - as above
        assert session.scalars(select(Event.id)).all() == ["evt_1"]
        assert session.scalars(select(SyncRequest.customer_id)).all() == ["cus_1"]
    stale = deliver(time.time() - 3600)
    assert (stale.status_code, stale.data) == (418, body), "the app gets all of it"
    assert deliver(time.time() - 3600, Client(wsgi.application)).status_code == 400
