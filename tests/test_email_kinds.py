"""A new file in ``emails/kinds`` is a new e-mail, and nothing else has to change."""

from __future__ import annotations

import ast
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import alembic.command
import pytest
from sqlalchemy import select

from fundraiser import db, outbox
from fundraiser.doctor.service import alembic_config
from fundraiser.emails import kinds
from fundraiser.emails.kinds import KINDS
from fundraiser.emails.sweep import sweep
from fundraiser.members.models import Interval
from fundraiser.outbox import Email, EmailState, UnknownKindError, enqueue
from tests.factories import make_member
from tests.mail import deliver, emails_in, enqueue_welcome, only_email
from tests.sequences import days, join
from tests.staff import PAGE, csrf_token, hire, sign_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from tests.mail import Postbox

NEW = "renewal_comes_soon"
PAGE_OF_IT = f"/staff/emails/kinds/{NEW}"
ROOT = Path(__file__).parent.parent


@pytest.fixture
def new_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A file of the folder under another name, in a folder that is looked through as well."""
    shutil.copy(f"{kinds.__path__[0]}/renewal_coming.py", tmp_path / f"{NEW}.py")
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(tmp_path)])
    kinds.load()
    yield NEW
    del KINDS[NEW], outbox._KINDS[NEW], sys.modules[f"{kinds.__name__}.{NEW}"]  # noqa: SLF001


def yearly(database: Database) -> None:
    with database.transaction() as session:
        join(session, interval=Interval.YEAR, period_end=db.now() + days(10)).number = 7


@pytest.mark.usefixtures("at_noon")
def test_a_new_file_is_due_and_sent(
    database: Database, new_kind: str, postbox: Postbox, mail_server: MailServer
) -> None:
    yearly(database)
    for count in (2, 0):
        with database.transaction() as session:
            assert sweep(session) == count
    deliver(database, mail_server)
    sent = {email.kind: email.state for email in emails_in(database)}
    assert sent == dict.fromkeys(["renewal_coming", new_kind], EmailState.SENT)
    assert len(postbox.emails) == 2


@pytest.mark.usefixtures("at_noon")
def test_a_new_file_is_listed_previewed_and_switched(
    database: Database, client: FlaskClient, new_kind: str
) -> None:
    sign_in(client, hire(database))
    yearly(database)
    assert PAGE_OF_IT in client.get("/staff/emails", headers=PAGE).text
    assert f"{PAGE_OF_IT}/words" in client.get(PAGE_OF_IT, headers=PAGE).text
    for language in ("en", "uk"):
        preview = client.get(f"{PAGE_OF_IT}/preview?language={language}&member=7", headers=PAGE)
        assert preview.status_code == 200
    form = {"on": "no", "csrf_token": csrf_token(client, "/staff/emails")}
    assert client.post(f"{PAGE_OF_IT}/switch", data=form, headers=PAGE).status_code == 303
    with database.transaction() as session:
        sweep(session)
    assert only_email(database).kind != new_kind


@pytest.mark.usefixtures("new_kind")
def test_a_new_file_needs_no_migration(
    database_url: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (environment | {"DATABASE_URL": database_url}).items():
        monkeypatch.setenv(name, value)
    alembic.command.check(alembic_config())


def test_an_email_whose_file_is_gone_is_withdrawn_and_listed_by_its_name(
    database: Database, client: FlaskClient, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        enqueue_welcome(session)
        session.scalars(select(Email)).one().kind = "season_s_greetings"
    deliver(database, mail_server)
    assert only_email(database).state is EmailState.WITHDRAWN
    assert not postbox.emails
    sign_in(client, hire(database))
    assert "season_s_greetings" in client.get("/staff/emails", headers=PAGE).text


def test_only_what_has_a_file_is_enqueued(database: Database) -> None:
    with database.transaction() as session:
        member = make_member(session)
        with pytest.raises(UnknownKindError):
            enqueue(session, "welcom", to=member.id, key="1")
    assert emails_in(database) == []


def test_every_name_that_is_enqueued_has_a_file() -> None:
    found = set[str]()
    for folder in ("fundraiser", "workers", "demo"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "enqueue":
                    found |= names_in(node.args[1])
    assert "welcome" in found
    assert found <= KINDS.keys()
    enqueued = {name for name, kind in KINDS.items() if not kind.due and not kind.mailing}
    assert enqueued <= found, "what neither time nor anybody causes"


def names_in(argument: ast.expr) -> set[str]:
    return {
        node.value
        for node in ast.walk(argument)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
