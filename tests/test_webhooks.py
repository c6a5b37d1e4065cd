"""Stripe's inbox: what is stored, what is refused, and what happens when settling fails."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from fundraiser.app import create_app
from fundraiser.db import now
from fundraiser.members.ledger import read_balance
from fundraiser.payments.gateway import current_gateway
from fundraiser.payments.models import Look
from fundraiser.webhooks import inbox
from fundraiser.webhooks.models import Event
from tests.conftest import WEBHOOK_SECRET
from tests.factories import GRACE

if TYPE_CHECKING:
    from datetime import timedelta

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.config import Settings
    from fundraiser.db import Database
    from tests.factories import Stripe


def event(**values: Any) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "object": "event",
        "type": "customer.subscription.updated",
        "livemode": False,
        "created": int(time.time()),
        "api_version": "2026-08-26.dahlia",
        "pending_webhooks": 1,
        "request": None,
        "data": {"object": {"id": "sub_1", "object": "subscription", "customer": "cus_1"}},
    } | values


def deliver(
    client: FlaskClient,
    body: dict[str, Any] | bytes,
    *,
    secret: str = WEBHOOK_SECRET,
    age: int = 0,
) -> TestResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    at = int(time.time()) - age
    signature = hmac.new(secret.encode(), f"{at}.".encode() + raw, hashlib.sha256).hexdigest()
    return client.post(
        "/webhooks/stripe", data=raw, headers={"Stripe-Signature": f"t={at},v1={signature}"}
    )


def looks(database: Database) -> list[Look]:
    with database.transaction() as session:
        return list(session.scalars(select(Look).order_by(Look.id)))


def events(database: Database) -> list[Event]:
    with database.transaction() as session:
        return list(session.scalars(select(Event)))


def test_an_event_is_stored_once_and_its_customer_marked(
    client: FlaskClient, database: Database
) -> None:
    for _ in range(3):
        assert deliver(client, event()).status_code == 204
    assert [found.id for found in events(database)] == ["evt_1"]
    assert [found.customer_id for found in looks(database)] == ["cus_1"]


def test_a_dispute_names_no_customer_so_its_charge_is_kept(
    client: FlaskClient, database: Database
) -> None:
    dispute = {"id": "du_1", "object": "dispute", "charge": "ch_1"}
    deliver(client, event(type="charge.dispute.created", data={"object": dispute}))
    (look,) = looks(database)
    assert (look.customer_id, look.charge_id) == (None, "ch_1")


def test_an_event_that_speaks_of_nobody_is_stored_and_done(
    client: FlaskClient, database: Database
) -> None:
    product = {"id": "prod_1", "object": "product"}
    deliver(client, event(type="product.updated", data={"object": product}))
    assert looks(database) == []
    assert events(database)[0].settled_at is not None


def test_either_of_two_secrets_is_taken_while_one_is_rotated(settings: Settings) -> None:
    app = create_app(replace(settings, stripe_webhook_secrets=("whsec_new", "whsec_old")))
    client = app.test_client()
    assert deliver(client, event(), secret="whsec_old").status_code == 204
    assert deliver(client, event(id="evt_2"), secret="whsec_new").status_code == 204
    assert deliver(client, event(id="evt_3"), secret="whsec_other").status_code == 400
    app.database.engine.dispose()


@pytest.mark.parametrize("age", [301, 86_400])
def test_a_stale_signature_is_refused(client: FlaskClient, database: Database, age: int) -> None:
    answer = deliver(client, event(), age=age)
    assert answer.status_code == 400
    assert "too old" in answer.get_json()["error"]
    assert events(database) == []


def test_a_forged_or_missing_signature_is_refused(client: FlaskClient, database: Database) -> None:
    assert deliver(client, event(), secret="whsec_guess").status_code == 400
    assert client.post("/webhooks/stripe", json=event()).status_code == 400
    for header in ("t=x,v1=", "v1=00", "", "t=1,v1=" + "0" * 64):
        answer = client.post("/webhooks/stripe", json=event(), headers={"Stripe-Signature": header})
        assert answer.status_code == 400, header
    assert events(database) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"text"', b'{"id": 1}', b"\xff\xfe"])
def test_a_signed_body_that_is_no_event_is_refused(client: FlaskClient, body: bytes) -> None:
    assert deliver(client, body).status_code == 400


def test_a_body_over_a_mebibyte_is_refused(client: FlaskClient) -> None:
    assert deliver(client, b"x" * (1024 * 1024 + 1)).status_code == 413


def test_an_event_of_the_live_world_is_refused(client: FlaskClient, database: Database) -> None:
    answer = deliver(client, event(livemode=True))
    assert answer.status_code == 400
    assert "other mode" in answer.get_json()["error"]
    assert events(database) == []


def test_only_posts_are_taken(client: FlaskClient) -> None:
    assert client.get("/webhooks/stripe").status_code == 405


def test_events_are_taken_while_redis_is_away(
    settings: Settings,
) -> None:
    app = create_app(replace(settings, redis_url="redis://127.0.0.1:9/0"))
    client, database = app.test_client(), app.database
    begun = time.monotonic()
    assert deliver(client, event()).status_code == 204
    assert time.monotonic() - begun < 1
    assert len(looks(database)) == 1
    database.engine.dispose()


def test_a_join_is_settled_by_whatever_event_arrives_first(
    stripe: Stripe, client: FlaskClient, database: Database
) -> None:
    stripe.open_shop()
    customer = stripe.join("olena@example.org")
    for number, kind in enumerate(("updated", "deleted", "created")):
        subject = {"id": "sub_1", "object": "subscription", "customer": customer}
        name = f"customer.subscription.{kind}"
        deliver(client, event(id=f"evt_{number}", type=name, data={"object": subject}))
    stripe.settle_all()
    with database.transaction() as session:
        assert read_balance(session).members == 1
    assert looks(database) == []
    assert all(found.settled_at for found in events(database))


def test_twenty_events_of_one_customer_are_one_settlement(
    stripe: Stripe, client: FlaskClient, database: Database
) -> None:
    stripe.open_shop()
    customer = stripe.join("olena@example.org")
    subject = {"id": "sub_1", "object": "subscription", "customer": customer}
    for number in range(20):
        deliver(client, event(id=f"evt_{number}", data={"object": subject}))
    assert inbox.settle_next(database, current_gateway(), GRACE)
    assert not inbox.settle_next(database, current_gateway(), GRACE)


def test_a_failure_is_counted_waits_longer_each_time_and_rests_in_the_end(
    client: FlaskClient, database: Database
) -> None:
    """Stripe is away here: nothing listens at the address that the settings name."""
    deliver(client, event())
    waits: list[timedelta] = []
    for attempts in (0, 1, 2, inbox.MOST_ATTEMPTS - 1):
        with database.transaction() as session:
            session.execute(update(Look).values(due_at=now(), attempts=attempts))
        assert inbox.settle_next(database, current_gateway(), GRACE)
        (look,) = looks(database)
        if look.due_at:
            waits.append(look.due_at - now())
    assert len(waits) == 3
    assert all(early < late for early, late in pairwise(waits))
    assert not inbox.settle_next(database, current_gateway(), GRACE)
    with database.transaction() as session:
        (resting,) = inbox.resting(session)
        assert "does not answer" in (resting.error or "")
        inbox.settle_again(session, "cus_1")
    (look,) = looks(database)
    assert (look.attempts, look.due_at is not None) == (0, True)
