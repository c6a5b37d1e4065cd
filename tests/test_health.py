"""For machines: restart me? send me traffic? and the figures behind the number."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from fundraiser import db, jobs
from fundraiser.app import create_app
from fundraiser.db import now
from fundraiser.members.ledger import append
from fundraiser.members.models import Cause
from fundraiser.outbox import enqueue
from fundraiser.payments.intents import IntentKind, add_intent
from fundraiser.payments.models import Event
from fundraiser.payments.queue import request_sync
from fundraiser.widget.progress import IS_KNOWN
from tests.factories import make_member
from tests.pages import PageText

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.config import Settings
    from fundraiser.db import Database


@pytest.fixture
def lonely(settings: Settings) -> FlaskClient:
    """The service without its database."""
    nobody_listens = "postgresql://fundraiser@127.0.0.1:9/fundraiser"
    return create_app(replace(settings, database_url=nobody_listens)).test_client()


def test_with_its_database_the_service_is_alive_and_ready(client: FlaskClient) -> None:
    assert client.get("/healthz").json == {"status": "ok"}
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_code_whose_tables_are_too_old_gets_no_traffic(
    client: FlaskClient, database: Database
) -> None:
    """Newer tables are fine: the version before serves with them during an upgrade."""

    def set_tables(version: str) -> None:
        with database.transaction() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})

    for version, status in (("0001", 503), (db.newest_migration(), 200), ("9999", 200)):
        set_tables(version)
        assert client.get("/readyz").status_code == status, version
        assert client.get("/healthz").status_code == 200
    with database.transaction() as session:
        session.execute(text("DROP TABLE alembic_version"))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "fundraiser migrate" in answer.text


def test_without_its_database_the_process_need_not_be_restarted(lonely: FlaskClient) -> None:
    assert lonely.get("/healthz").status_code == 200


def test_without_its_database_a_process_that_knows_no_number_gets_no_traffic(
    lonely: FlaskClient,
) -> None:
    assert lonely.get("/readyz").status_code == 503


def test_without_its_database_a_process_that_knows_a_number_serves_it(lonely: FlaskClient) -> None:
    answer = lonely.get("/readyz", environ_overrides={IS_KNOWN: True})
    assert answer.status_code == 200
    assert "the last number is served" in answer.text


def test_who_has_paid_is_told_not_to_pay_again_while_the_database_is_away(
    lonely: FlaskClient,
) -> None:
    answer = lonely.get("/join/thanks?session_id=cs_paid", headers={"Accept": "text/html"})
    assert answer.status_code == 503
    assert "dont-pay-again" in PageText.of(answer).marks
    assert answer.headers["Refresh"] == "15"


def test_the_figures_behind_the_number_are_told_to_prometheus(
    client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        member = make_member(session)
        append(
            session, member, cause=Cause.STRIPE, cause_ref=None, reason="paid", happened_at=now()
        )
        request_sync(session, "cus_1")
        session.add(
            Event(
                id="evt_1",
                type="invoice.paid",
                created_at=now(),
                received_at=now() - timedelta(minutes=10),
            )
        )
        enqueue(session, "welcome", to=member.id, key="1")
        asked = add_intent(session, IntentKind.REFUND, key="1", member_id=member.id, cause_ref=None)
        asked.created_at -= timedelta(minutes=20)
        jobs.beat(session, "worker")
    lines = dict(
        line.rsplit(" ", 1)
        for line in client.get("/metrics").text.splitlines()
        if not line.startswith("#")
    )
    assert float(lines["fundraiser_members"]) == 1
    assert float(lines["fundraiser_ledger_version"]) == 1
    assert float(lines['fundraiser_sync_requests{state="due"}']) == 1
    assert float(lines['fundraiser_sync_requests{state="failed"}']) == 0
    assert 600 <= float(lines["fundraiser_oldest_unsettled_event_seconds"]) < 700
    assert 1200 <= float(lines["fundraiser_oldest_open_intent_seconds"]) < 1300
    assert float(lines['fundraiser_emails{state="queued"}']) == 1
    assert float(lines['fundraiser_emails{state="failed"}']) == 0
    assert float(lines['fundraiser_heartbeat_age_seconds{part="worker"}']) < 60


def test_the_figures_are_there_before_anything_has_happened(client: FlaskClient) -> None:
    assert "fundraiser_oldest_unsettled_event_seconds 0.0" in client.get("/metrics").text


@pytest.mark.parametrize(
    "asked",
    [
        {"environ_overrides": {"REMOTE_ADDR": "192.0.2.7"}},
        {"headers": {"X-Forwarded-For": "127.0.0.1"}},
        {"headers": {"Forwarded": "for=127.0.0.1"}},
    ],
)
def test_the_figures_are_not_public(client: FlaskClient, asked: dict[str, dict[str, str]]) -> None:
    assert client.get("/metrics", **asked).status_code == 404


def test_where_a_token_is_set_it_alone_opens_the_figures(settings: Settings) -> None:
    app = create_app(replace(settings, metrics_token="a-long-token"))
    client = app.test_client()
    assert client.get("/metrics").status_code == 404
    wrong = {"Authorization": "Bearer another-token"}
    assert client.get("/metrics", headers=wrong).status_code == 404
    right = {"Authorization": "Bearer a-long-token"}
    answer = client.get("/metrics", headers=right, environ_overrides={"REMOTE_ADDR": "192.0.2.7"})
    assert answer.status_code == 200
    app.database.dispose()
