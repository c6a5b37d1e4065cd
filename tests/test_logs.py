"""What is logged: one JSON object a line, whoever logs, with the name of its request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import structlog
from flask import Response
from sqlalchemy import select

from fundraiser.account.sessions import begin_session
from fundraiser.app import create_app
from fundraiser.config import load_settings
from fundraiser.incidents import Kind, SecurityEvent, current_incidents
from fundraiser.newsroom.models import AuditEntry, Role
from fundraiser.security import public
from tests.conftest import ROOT
from tests.factories import make_member
from tests.members import OURS
from tests.staff import PAGE, hire, post, sign_in

if TYPE_CHECKING:
    import pytest
    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database

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
