"""What is logged: one JSON object a line, whoever logs, with the name of its request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from flask import Response
from sqlalchemy import select
from werkzeug.test import Client

from fundraiser.account.sessions import begin_session
from fundraiser.app import create_app
from fundraiser.config import load_settings
from fundraiser.incidents import Kind, SecurityEvent, current_incidents
from fundraiser.logs import name_task
from fundraiser.newsroom.models import AuditEntry, Role
from fundraiser.outbox import Email
from fundraiser.payments.models import SyncRequest
from fundraiser.payments.queue import request_sync
from fundraiser.payments.settlement import settle_next
from fundraiser.security import public
from fundraiser.webhooks.layer import WebhookLayer
from simulator.core.webhooks import signature
from tests.conftest import ROOT, WEBHOOK_SECRET
from tests.factories import GRACE, Stripe, make_member
from tests.mail import Postbox, deliver, enqueue_welcome
from tests.members import OURS
from tests.simulator_parts import wait_until as happens
from tests.staff import PAGE, hire, post, sign_in
from tests.webhooks import event

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer

_PROGRAM = """
import logging
import structlog
from fundraiser.app import create_app
create_app()
try:
    {}["nothing"]
except KeyError:
    logging.getLogger("library").exception('a "quote"\\n{"event": "forged"} of a@example.org')
structlog.get_logger().warning("ours", text="line\\nanother")
"""


def test_each_line_is_one_object_whoever_wrote_it(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    library, ours = (json.loads(line) for line in (done.stderr + done.stdout).splitlines())
    assert library["event"] == 'a "quote"\n{"event": "forged"} of [address]'
    assert (library["logger"], library["level"]) == ("library", "error")
    assert "KeyError" in library["exception"]
    assert ours["text"] == "line\nanother"
    assert all(line["timestamp"].endswith("Z") for line in (library, ours))


@pytest.mark.usefixtures("app")
def test_a_line_and_its_end_are_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several processes share an output: another's line would else come in between."""
    written: list[str] = []
    output = SimpleNamespace(write=written.append, flush=lambda: None)
    monkeypatch.setattr(sys, "stdout", output)
    log = structlog.get_logger()
    for say in (log.info, log.warning, log.error, log.critical, log.exception):
        say("something")
    assert len(written) == 5
    assert all(json.loads(line)["event"] == "something" for line in written)
    assert all(line.endswith("\n") for line in written)


def lines_of(client: FlaskClient, capsys: pytest.CaptureFixture[str], **headers: str) -> list[Any]:
    """What the view of /terms logs, which says something twice."""

    def view() -> str:
        structlog.get_logger().warning("first")
        structlog.get_logger().warning("second")
        return ""

    client.application.view_functions["account.terms"] = public(view)
    capsys.readouterr()
    client.get("/terms", headers=headers)
    return [json.loads(line) for line in "".join(capsys.readouterr()).splitlines()]


def test_lines_name_their_request(client: FlaskClient, capsys: pytest.CaptureFixture[str]) -> None:
    names = [[line["request"] for line in lines_of(client, capsys)] for _ in range(2)]
    assert all(len(each) == 2 and len(set(each)) == 1 for each in names)
    assert names[0] != names[1]
    sent = {"X-Request-ID": "from-anybody-1"}
    assert "from-anybody-1" not in {line["request"] for line in lines_of(client, capsys, **sent)}


def test_a_trusted_proxy_names_requests(
    environment: dict[str, str], database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"DATABASE_URL": database_url, "TRUSTED_PROXIES": "1"}
    app = create_app(load_settings(environment | more))
    for sent, is_taken in (("d2f5-of-the-router", True), ('x" é', False), ("a" * 65, False)):
        lines = lines_of(app.test_client(), capsys, **{"X-Request-ID": sent})
        assert [line["request"] == sent for line in lines] == [is_taken, is_taken]
    app.database.dispose()


@pytest.mark.usefixtures("open_shop")
def test_one_id_leads_from_the_webhook_to_the_email(
    app: FundraiserApp,
    stripe: Stripe,
    postbox: Postbox,
    mail_server: MailServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also where several webhooks are stored together, by a thread of one of them."""
    customer = stripe.join("olena@example.org")
    layer = WebhookLayer(app.wsgi_app, app.extensions["gateway"], app.extensions["inbox"], {})
    inbox, ids = app.extensions["inbox"], ["id-of-the-first", "id-of-the-second"]
    with ThreadPoolExecutor(2) as pool:
        with inbox.storing:
            answers = [
                pool.submit(deliver_as, Client(layer), request_id, customer) for request_id in ids
            ]
            happens(lambda: len(inbox.waiting) == len(answers))
        assert [answer.result() for answer in answers] == [204, 204]
    with app.database.transaction() as session:
        assert set(session.scalars(select(SyncRequest.request_id))) == set(ids)
    capsys.readouterr()
    with app.app_context():
        assert settle_next(app.database, app.extensions["gateway"], GRACE)
        deliver(app.database, mail_server)
    lines = [json.loads(line) for line in "".join(capsys.readouterr()).splitlines()]
    assert [line["event"] for line in lines].count("settled") == 1, lines
    (settled,) = [line for line in lines if line["event"] == "settled"]
    assert settled["request"] in ids
    sent = [line for line in lines if line["event"] == "email_sent"]
    assert {line["request"] for line in sent} == {settled["request"]}
    assert len(sent) == len(postbox.emails) > 0
    assert "olena" not in str(lines)


def deliver_as(client: Client, request_id: str, customer: str) -> int:
    """Deliver an event under this request's ID, as the front sets it."""
    body = json.dumps(
        event(id=f"evt_{request_id}", data={"object": {"object": "customer", "id": customer}})
    ).encode()
    return client.post(
        "/webhooks/stripe",
        data=body,
        headers={"Stripe-Signature": signature(body, WEBHOOK_SECRET, int(time.time()))},
        environ_overrides={"fundraiser.request_id": request_id},
    ).status_code


def test_what_a_task_causes_has_the_tasks_id(database: Database) -> None:
    name_task("reconcile", "id-of-the-task")
    with database.transaction() as session:
        request_sync(session, "cus_1")
        enqueue_welcome(session)
    with database.transaction() as session:
        assert session.scalars(select(SyncRequest.request_id)).all() == ["id-of-the-task"]
        assert session.scalars(select(Email.request_id)).all() == ["id-of-the-task"]


def kinds(app: FundraiserApp) -> set[tuple[str, str]]:
    with app.app_context():
        current_incidents().write()
    with app.database.transaction() as session:
        return {(row.kind, row.place) for row in session.scalars(select(SecurityEvent))}


def test_what_a_role_may_not_do_leaves_an_entry(
    app: FundraiserApp, client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database, Role.FINANCE))
    assert post(client, "/staff/tiers", "/staff/account").status_code == 403
    assert (Kind.FORBIDDEN, "/staff/tiers") in kinds(app)


def test_a_form_of_another_site_leaves_an_entry(app: FundraiserApp, client: FlaskClient) -> None:
    foreign = {"Origin": "https://evil.example"}
    assert client.post("/account/sign-in", headers=foreign).status_code == 403
    assert client.post("/staff/sign-in", headers=PAGE).status_code == 400
    assert kinds(app) == {
        (Kind.FOREIGN_FORM, "/account/sign-in"),
        (Kind.FOREIGN_FORM, "/staff/sign-in"),
    }


def test_a_sign_in_says_by_what(client: FlaskClient, database: Database) -> None:
    sign_in(client, hire(database))
    with database.transaction() as session:
        found = session.execute(select(AuditEntry.action, AuditEntry.fields)).all()
    assert ("signed_in", ["password"]) in [tuple(row) for row in found]


def test_a_member_who_signs_in_is_a_line_that_says_by_what(
    app: FundraiserApp, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    with app.test_request_context(), database.transaction() as session:
        member = make_member(session, email="olena@example.org")
        begin_session(session, member, Response(), by="code")
    said = "".join(capsys.readouterr())
    lines = [json.loads(line) for line in said.splitlines() if "member_signed_in" in line]
    assert [(line["member"], line["by"]) for line in lines] == [(member.id, "code")]
    assert "olena" not in said


def test_what_is_refused_for_another_reason_leaves_none(
    app: FundraiserApp, client: FlaskClient
) -> None:
    assert client.get("/nowhere").status_code == 404
    assert client.post("/account/sign-in", data={"email": ""}, headers=OURS).status_code == 422
    assert kinds(app) == set()
