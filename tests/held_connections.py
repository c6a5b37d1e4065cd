"""Every test sees to it: no page holds a connection while it asks Stripe, or waits for a second."""

from __future__ import annotations

from collections import Counter
from threading import get_ident
from typing import TYPE_CHECKING, Any

import pytest
from flask import has_request_context, request
from sqlalchemy import Pool, event

from fundraiser.app import FundraiserApp
from fundraiser.db import Database
from fundraiser.payments.stripe.connections import Connections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Response


class Held:
    """How many connections each thread has taken from a pool and not given back."""

    def __init__(self) -> None:
        self.by_thread: Counter[int] = Counter()

    @property
    def here(self) -> int:
        return self.by_thread[get_ident()]

    def take(self, _connection: Any, record: Any, _proxy: Any) -> None:
        record.info["taken_by"] = get_ident()
        self.by_thread[get_ident()] += 1

    def give_back(self, _connection: Any, record: Any) -> None:
        self.by_thread[record.info.pop("taken_by", get_ident())] -= 1


@pytest.fixture(scope="session")
def held() -> Iterator[Held]:
    found = Held()
    event.listen(Pool, "checkout", found.take)
    event.listen(Pool, "checkin", found.give_back)
    yield found
    event.remove(Pool, "checkout", found.take)
    event.remove(Pool, "checkin", found.give_back)


@pytest.fixture(autouse=True)
def no_page_holds_a_connection_while_stripe_is_asked(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    dispatch, ask = FundraiserApp.full_dispatch_request, Connections.request
    begin_one = Database.transaction
    caught: set[str] = set()
    two: set[str] = set()

    def begin(app: FundraiserApp) -> Response:
        request.environ["tests.held"] = held.here  # a test's own session is no page's
        return dispatch(app)

    def look(self: Connections, *given: Any, **named: Any) -> Any:
        if has_request_context() and held.here > request.environ.get("tests.held", 0):
            caught.add(request.endpoint or "")
        return ask(self, *given, **named)

    def begin_another(self: Database, *, beside: bool = False) -> Any:
        is_of_a_page = has_request_context() and not beside
        if is_of_a_page and held.here > request.environ.get("tests.held", held.here):
            two.add(request.endpoint or "")
        return begin_one(self, beside=beside)

    monkeypatch.setattr(Database, "transaction", begin_another)
    monkeypatch.setattr(FundraiserApp, "full_dispatch_request", begin)
    monkeypatch.setattr(Connections, "request", look)
    yield
    assert not caught, "These hold a connection to PostgreSQL while Stripe is asked."
    assert not two, "These hold a connection while they wait for a second of the pool."
