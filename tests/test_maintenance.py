"""What the operator stops for a while: e-mails, sign-ups, and the number that is being checked."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from fundraiser.campaigns.models import Campaign
from fundraiser.cli import main
from fundraiser.emails.delivery import deliver_some
from fundraiser.jobs import Heartbeat
from fundraiser.newsroom.maintenance import Stopped, resume, stop
from fundraiser.outbox import enqueue
from tests.deployment import ROOT, python
from tests.factories import make_campaign, make_member, make_tiers
from tests.joining import fill_in, read, send

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from tests.factories import Stripe
    from tests.mail import Postbox

PAGE = {"Accept": "text/html"}
NOTICE = "Our bank is closed today. Come back tomorrow."


def test_nobody_pays_while_sign_ups_are_closed_and_what_was_chosen_stays(
    client: FlaskClient, database: Database, stripe: Stripe
) -> None:
    stripe.open_shop()
    client.environ_base["HTTP_ACCEPT"] = "text/html"
    form = fill_in(client)
    with database.transaction() as session:
        stop(session, Stopped.SIGN_UPS, NOTICE)
    assert NOTICE in read(client.get("/join")).get_text(" ")
    assert NOTICE in read(client.get("/gift")).get_text(" ")
    answer = send(client, form, tier="patron")
    assert answer.status_code == 503
    assert NOTICE in read(answer).get_text(" ")
    assert read(answer).select_one("[name=tier][value=patron][checked]")
    with database.transaction() as session:
        resume(session, Stopped.SIGN_UPS)
    assert send(client, form).status_code == 303
    assert NOTICE not in client.get("/join").text


def test_no_e_mail_leaves_while_they_are_stopped(
    database: Database, mail_server: MailServer, postbox: Postbox
) -> None:
    with database.transaction() as session:
        member = make_member(session)
        enqueue(session, "welcome", to=member.id, key=str(member.sequence))
        stop(session, Stopped.EMAILS)
    assert not deliver_some(database, mail_server)
    assert not postbox.emails
    with database.transaction() as session:
        resume(session, Stopped.EMAILS)
    assert deliver_some(database, mail_server)


@pytest.mark.parametrize("path", ["/campaigns/25000", "/how-we-count"])
def test_our_pages_say_that_the_number_is_being_checked(
    client: FlaskClient, database: Database, path: str
) -> None:
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
    mark = "[data-test=number-is-checked]"
    assert not read(client.get(path, headers=PAGE)).select_one(mark)
    with database.transaction() as session:
        stop(session, Stopped.NUMBER)
    assert read(client.get(path, headers=PAGE)).select_one(mark)


@pytest.mark.timeout(180)
def test_a_worker_waits_until_a_restored_backup_has_caught_up(
    environment: dict[str, str], database_url: str, database: Database
) -> None:
    """Called as the worker calls it, without Redis."""
    env = environment | {"DATABASE_URL": database_url}
    script = "from workers.tasks import beat, milestones; beat(); milestones()"

    def work() -> int | None:
        subprocess.run(python("-c", script), cwd=ROOT, env=env, check=True)
        with database.transaction() as session:
            assert session.get(Heartbeat, "worker"), "a worker that waits is alive"
            return session.scalars(select(Campaign.most_members)).one()

    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
        stop(session, Stopped.RESTORE)
    assert work() is None
    with database.transaction() as session:
        resume(session, Stopped.RESTORE)
    assert work() == 0


def test_the_operator_stops_and_resumes_by_command(
    environment: dict[str, str], database_url: str
) -> None:
    def say(*words: str) -> str:
        runner = CliRunner(env=environment | {"DATABASE_URL": database_url})
        result = runner.invoke(main, ["maintenance", *words])
        assert result.exit_code == 0, result.output
        return result.output

    assert say().count("as usual") == len(Stopped)
    assert "No e-mail is sent" in say("stop", "emails")
    assert say().count("as usual") == len(Stopped) - 1
    assert say("resume", "emails") == "emails goes on.\n"
    assert say("resume", "emails") == "emails was not stopped.\n"
