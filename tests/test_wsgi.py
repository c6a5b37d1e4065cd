"""What granian loads: some threads always stay free for the number."""

from __future__ import annotations

import json
import sys
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select
from werkzeug.test import Client

from fundraiser import db
from fundraiser.payments.models import Event, SyncRequest
from fundraiser.webhooks.layer import WebhookLayer
from simulator.core.webhooks import signature
from tests.conftest import WEBHOOK_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType
    from wsgiref.types import StartResponse, WSGIEnvironment

    from werkzeug.test import TestResponse

THREADS = 8


@pytest.fixture
def wsgi(
    environment: dict[str, str], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    for name, value in (environment | {"DATABASE_URL": database_url}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "fundraiser.wsgi", raising=False)
    module = import_module("fundraiser.wsgi")
    yield module
    for thread in threading.enumerate():
        if thread.name == "progress":
            thread.join(10)
    module._app.database.dispose()  # noqa: SLF001 - nobody else needs it
    db.clock.follow(None)


def test_a_silent_part_holds_up_only_its_share_of_the_threads(wsgi: ModuleType) -> None:
    go_on, inside = threading.Event(), threading.Semaphore(0)

    def silent(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        inside.release()
        go_on.wait(20)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"at last"]

    places = wsgi.ConcurrencyLimiter(silent, THREADS)
    statuses: list[int] = []
    hands = [
        threading.Thread(target=lambda: statuses.append(Client(places).get("/").status_code))
        for _ in range(THREADS // 4)
    ]
    for hand in hands:
        hand.start()
    for _ in hands:
        assert inside.acquire(timeout=10)
    refused = Client(places).get("/")
    assert refused.status_code == 503
    assert "don’t pay again" in refused.get_json()["error"]
    go_on.set()
    for hand in hands:
        hand.join()
    assert statuses == [200] * (THREADS // 4)
    assert Client(places).get("/").status_code == 200


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
