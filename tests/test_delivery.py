"""Each e-mail is sent once, as far as SMTP can: refusals, outages, lost answers, killed workers."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from sqlalchemy import select, update
from structlog.testing import CapturingLogger

from demo.servers import free_port
from fundraiser import db
from fundraiser.emails import delivery, smtp
from fundraiser.emails.delivery import WAITS
from fundraiser.emails.smtp import MailServer, UnreachableError
from fundraiser.members.models import Member
from fundraiser.outbox import Email, EmailState, enqueue
from tests.factories import make_member
from tests.mail import (
    Postbox,
    deliver,
    emails_in,
    enqueue_second,
    enqueue_welcome,
    enqueue_welcomes,
    listening,
    mail_settings,
    only_email,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundraiser.app import FundraiserApp
    from fundraiser.config import Settings
    from fundraiser.db import Database

ROOT = Path(__file__).parent.parent
CERTIFICATE = Path(__file__).parent / "localhost.pem"  # for these tests alone, with its key


def test_many_emails_go_over_one_connection(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    enqueue_welcomes(database, 5)
    deliver(database, mail_server)
    assert len(postbox.emails) == 5
    assert len(postbox.lines) == 1


def test_a_connection_that_the_server_has_closed_is_made_anew(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    enqueue_welcomes(database, 1)
    deliver(database, mail_server)
    postbox.hang_up()
    enqueue_welcomes(database, 1)
    deliver(database, mail_server)
    assert [email.state for email in emails_in(database)] == ["sent", "sent"]
    assert [email.attempts for email in emails_in(database)] == [1, 1]


def test_a_connection_that_was_idle_for_long_is_made_anew(
    database: Database,
    postbox: Postbox,
    mail_server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for moment, lines in ((0.0, 1), (59.0, 1), (120.0, 2)):
        clock = SimpleNamespace(monotonic=lambda moment=moment: moment)
        monkeypatch.setattr("fundraiser.emails.smtp.time", clock)
        enqueue_welcomes(database, 1)
        deliver(database, mail_server)
        assert len(postbox.lines) == lines
    assert len(postbox.emails) == 3


@pytest.mark.parametrize("reply", ["451 4.4.2 Timeout waiting for data", "421 4.4.2 Idle"])
def test_a_server_that_tires_of_an_idle_connection_gets_a_new_one_at_once(
    database: Database, postbox: Postbox, mail_server: MailServer, reply: str
) -> None:
    enqueue_welcomes(database, 1)
    deliver(database, mail_server)
    postbox.replies["MAIL"] = [reply]
    enqueue_welcomes(database, 1)
    deliver(database, mail_server)
    assert [email.state for email in emails_in(database)] == ["sent", "sent"]
    assert [email.attempts for email in emails_in(database)] == [1, 1]
    assert len(postbox.lines) == 2


def test_a_server_that_refuses_our_sender_twice_is_asked_again_later(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    enqueue_welcomes(database, 1)
    deliver(database, mail_server)
    postbox.replies["MAIL"] = ["451 4.3.0 Try later"] * 2
    enqueue_welcomes(database, 1)
    deliver(database, mail_server)
    assert sorted(email.state for email in emails_in(database)) == ["queued", "sent"]
    assert not postbox.replies["MAIL"], "once more, and not for ever"


def test_an_address_that_is_refused_for_good_is_not_tried_again(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    postbox.replies["RCPT"] = ["550 5.1.1 There is nobody of this name"]
    enqueue_welcomes(database, 2)
    deliver(database, mail_server)
    first, second = emails_in(database)
    assert first.state is EmailState.FAILED
    assert first.error == (
        "The mail server refuses the address: 550 5.1.1 There is nobody of this name"
    )
    assert second.state is EmailState.SENT
    assert len(postbox.lines) == 1


def test_an_email_whose_content_is_refused_for_good_is_not_tried_again(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    postbox.replies["DATA"] = ["554 5.6.0 Not like this"]
    enqueue_welcomes(database, 1)
    deliver(database, mail_server)
    email = only_email(database)
    assert email.state is EmailState.FAILED
    assert email.error == "The mail server refuses the e-mail: 554 5.6.0 Not like this"


@pytest.mark.parametrize("address", ["їжак@example.org", "nobody", "a b@example.org"])
def test_an_address_that_is_none_fails_at_once(
    database: Database, postbox: Postbox, mail_server: MailServer, address: str
) -> None:
    with database.transaction() as session:
        enqueue_welcome(session, email=address)
        enqueue_welcome(session, email=None, number=2)
        enqueue_welcome(session, email="a@пошта.укр", number=3)
    deliver(database, mail_server)
    assert [email.state for email in emails_in(database)] == ["failed", "withdrawn", "sent"]
    assert postbox.emails[0]["To"] == "a@xn--80a1acn3a.xn--j1amh"


def test_a_temporary_refusal_is_tried_again_with_growing_waits_over_a_day(
    database: Database,
    postbox: Postbox,
    mail_server: MailServer,
    pass_time: Callable[[timedelta], None],
) -> None:
    postbox.replies["RCPT"] = ["451 4.7.1 Come back later"] * (len(WAITS) + 1)
    enqueue_welcomes(database, 1)
    deliver(database, mail_server)
    for tries, wait in enumerate(WAITS, start=1):
        email = only_email(database)
        assert (email.state, email.attempts) == (EmailState.QUEUED, tries)
        assert timedelta() < email.due_at - db.now() <= wait
        pass_time(wait)
        deliver(database, mail_server)
    assert sum(WAITS, timedelta()) > timedelta(days=1)
    email = only_email(database)
    assert email.state is EmailState.FAILED
    assert email.error == "The mail server refuses the address: 451 4.7.1 Come back later"
    assert not postbox.emails


def test_an_outage_of_the_mail_server_costs_no_email_an_attempt(
    app: FundraiserApp, database: Database
) -> None:
    postbox, port = Postbox(), free_port()
    enqueue_welcomes(database, 2)
    with MailServer(mail_settings(app, f"smtp://127.0.0.1:{port}")) as server:
        deliver(database, server)
        assert {(email.state, email.attempts) for email in emails_in(database)} == {("queued", 0)}
        with listening(postbox, port):
            deliver(database, server)
    assert {email.state for email in emails_in(database)} == {EmailState.SENT}


def test_a_receipt_that_may_have_arrived_is_sent_again_once_under_the_same_name(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    postbox.replies["DATA"] = ["drop"]
    enqueue_welcomes(database, 1)
    deliver(database, mail_server)
    email = only_email(database)
    assert email.state is EmailState.SENT
    assert email.unknown_at, "staff still see that the first one is unknown"
    first, again = postbox.emails
    assert first["Message-ID"] == again["Message-ID"]


def test_a_receipt_that_may_have_arrived_twice_stays_unknown(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    postbox.replies["DATA"] = ["drop", "drop"]
    enqueue_welcomes(database, 1)
    deliver(database, mail_server)
    email = only_email(database)
    assert email.state is EmailState.UNKNOWN
    assert email.error == "The mail server went away before it said whether it took the e-mail."
    assert len(postbox.emails) == 2


@pytest.mark.usefixtures("at_noon")
def test_what_nobody_waits_for_stays_unknown_at_once(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    postbox.replies["DATA"] = ["drop"]
    enqueue_welcomes(database, 1)
    with database.transaction() as session:
        session.execute(update(Email).values(urgent=False))
    deliver(database, mail_server)
    assert only_email(database).state is EmailState.UNKNOWN
    assert len(postbox.emails) == 1


def test_what_a_killed_worker_was_sending_is_found_after_five_minutes(
    app: FundraiserApp,
    environment: dict[str, str],
    postbox: Postbox,
    mail_server: MailServer,
    pass_time: Callable[[timedelta], None],
) -> None:
    postbox.replies["DATA"] = ["hang"]
    enqueue_welcomes(app.database, 1)
    settings: Settings = app.extensions["settings"]
    own = {"DATABASE_URL": settings.database_url, "SMTP_URL": postbox.url}
    worker = subprocess.Popen(
        [sys.executable, "-c", "from workers.tasks import deliver; deliver()"],
        cwd=ROOT,
        env=os.environ | environment | own,
    )
    try:
        assert postbox.taken.wait(30)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
    deliver(app.database, mail_server)
    assert only_email(app.database).state is EmailState.SENDING
    pass_time(timedelta(minutes=4))
    deliver(app.database, mail_server)
    assert len(postbox.emails) == 1
    pass_time(timedelta(minutes=2))
    deliver(app.database, mail_server)
    email = only_email(app.database)
    assert email.state is EmailState.SENT
    assert email.unknown_at
    first, again = postbox.emails
    assert first["Message-ID"] == again["Message-ID"]


def test_workers_side_by_side_send_each_email_once(
    app: FundraiserApp, database: Database, postbox: Postbox
) -> None:
    enqueue_welcomes(database, 40)

    def work() -> None:
        with app.app_context(), MailServer(mail_settings(app, postbox.url)) as server:
            deliver(database, server)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result()
    names = [message["Message-ID"] for message in postbox.emails]
    assert len(names) == len(set(names)) == 40


def test_an_email_goes_out_while_its_person_is_being_settled(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        member_id = enqueue_welcome(session).id
    with database.transaction() as settling:
        settling.get_one(Member, member_id, with_for_update=True)
        deliver(database, mail_server)
    assert len(postbox.emails) == 1


def test_an_email_that_cannot_be_written_does_not_hold_up_the_others(
    database: Database, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        member = make_member(session)
        enqueue(session, "second_membership", to=member.id, key="sub")
        enqueue_welcome(session)
    deliver(database, mail_server)
    unwritten, written = emails_in(database)
    assert (unwritten.state, unwritten.attempts) == (EmailState.QUEUED, 1)
    assert unwritten.error == "The e-mail could not be written: KeyError."
    assert written.state is EmailState.SENT


def test_no_log_has_an_address_or_what_an_email_says(
    database: Database, postbox: Postbox, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = CapturingLogger()
    monkeypatch.setattr(delivery, "log", structlog.wrap_logger(logger))
    postbox.replies["RCPT"] = ["550 <secret@example.org> is nobody", "451 <secret@example.org>"]
    with database.transaction() as session:
        for number in range(3):
            enqueue_welcome(session, email=f"secret{number}@example.org", number=number)
        enqueue_second(session)
        session.scalars(select(Email)).all()[-1].context = {"secret": "secret"}
    deliver(database, mail_server)
    assert len(logger.calls) == 4
    assert "secret" not in str(logger.calls)


def test_outside_this_machine_a_server_without_starttls_gets_nothing(
    app: FundraiserApp,
    database: Database,
    postbox: Postbox,
    mail_server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert app
    monkeypatch.setattr(smtp, "LOOPBACK", set())
    enqueue_welcomes(database, 1)
    deliver(database, mail_server)
    assert only_email(database).state is EmailState.QUEUED
    assert not postbox.emails


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_the_password_and_the_email_go_over_tls_to_a_server_we_can_trust(
    app: FundraiserApp, database: Database, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setattr(smtp, "LOOPBACK", set())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    postbox = Postbox()
    options: dict[str, Any] = {"authenticator": postbox.authenticate}
    if scheme == "smtps":
        options |= {"ssl_context": context, "auth_require_tls": False}
    else:
        options |= {"tls_context": context, "require_starttls": True}
    enqueue_welcomes(database, 1)
    with listening(postbox, **options) as place:
        settings = mail_settings(app, f"{scheme}://user%40host:p%2Fw@{place}")
        with MailServer(settings) as server, pytest.raises(UnreachableError):
            server.open()
        assert not postbox.passwords
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        with MailServer(settings) as server:
            deliver(database, server)
    assert postbox.passwords == [b"p/w"]
    assert len(postbox.emails) == 1


def test_no_more_workers_wait_for_the_emails_budget_than_it_needs(
    app: FundraiserApp, environment: dict[str, str], postbox: Postbox
) -> None:
    """They all sat in front of it for seconds, while customers were to be settled."""
    enqueue_welcomes(app.database, 1)
    settings: Settings = app.extensions["settings"]
    own = {"DATABASE_URL": settings.database_url, "SMTP_URL": postbox.url}

    def work() -> None:
        subprocess.run(
            [sys.executable, "-c", "from workers.tasks import deliver; deliver()"],
            cwd=ROOT,
            env=os.environ | environment | own | {"EMAILS_PER_SECOND": "10"},
            check=True,
            timeout=60,
        )

    with app.database.transaction() as session:
        db.lock(session, "deliver", "0")
        work()
        assert postbox.emails == []
    work()
    assert len(postbox.emails) == 1
