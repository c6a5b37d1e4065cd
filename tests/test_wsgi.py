"""What granian loads: some threads always stay free for the number."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from werkzeug.test import Client

from fundraiser import db

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType
    from wsgiref.types import StartResponse, WSGIEnvironment

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
    module._app.database.engine.dispose()  # noqa: SLF001 - nobody else needs it
    db.clock.follow(None)


def test_a_silent_part_holds_up_only_its_share_of_the_threads(wsgi: ModuleType) -> None:
    go_on, inside = threading.Event(), threading.Semaphore(0)

    def silent(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        inside.release()
        go_on.wait(20)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"at last"]

    places = wsgi.Places(silent, THREADS)
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
    assert "Nothing was taken" in refused.get_json()["error"]
    go_on.set()
    for hand in hands:
        hand.join()
    assert statuses == [200] * (THREADS // 4)
    assert Client(places).get("/").status_code == 200


def test_the_whole_is_the_app_behind_the_progress_layer(wsgi: ModuleType) -> None:
    client = Client(wsgi.application)
    assert client.get("/healthz").status_code == 200
    assert client.get("/campaigns/unknown/progress").status_code == 404
