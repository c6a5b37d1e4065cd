"""The operator is told what fails: once, by a way that works, and when it is over."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, select, update

from fundraiser.db import now
from fundraiser.incidents import Kind, SecurityEvent
from fundraiser.jobs import Heartbeat
from fundraiser.members.consistency import Finding, note_drift
from fundraiser.members.models import DriftKind
from fundraiser.newsroom.maintenance import Maintenance, Stopped
from fundraiser.outbox import Email, EmailState, enqueue
from fundraiser.payments import Refused, WebhookReason, note_refusal
from fundraiser.payments.intents import IntentKind, add_intent
from fundraiser.payments.models import Event, Reconciliation, Stage, SyncRequest
from fundraiser.watch.models import OpenTrouble, Trouble
from fundraiser.watch.notices import watch
from fundraiser.watch.troubles import find_troubles
from tests.factories import make_member, sync_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from fundraiser.app import FundraiserApp
    from fundraiser.config import Settings
    from fundraiser.db import Database
    from tests.mail import Postbox
    from tests.receiver import Receiver


@pytest.fixture
def told(app: FundraiserApp, receiver: Receiver, postbox: Postbox) -> Settings:
    """Settings by which the operator is told in every way."""
    settings: Settings = app.extensions["settings"]
    return replace(
        settings,
        smtp_url=postbox.url,
        operator_email="ops@example.org",
        operator_webhook=f"{receiver.url}/hook",
        operator_ping=f"{receiver.url}/ping",
    )


def later(database: Database, minutes: float) -> None:
    """Let time pass, by moving the rows' times back."""
    back = timedelta(minutes=minutes)
    with database.transaction() as session:
        session.execute(delete(Heartbeat).where(Heartbeat.name == "watch"))
        session.execute(
            update(OpenTrouble).values(
                since=OpenTrouble.since - back, gone_since=OpenTrouble.gone_since - back
            )
        )


def silence(database: Database) -> None:
    with database.transaction() as session:
        session.add(Heartbeat(name="worker", beat_at=now() - timedelta(minutes=10)))


def mend(database: Database) -> None:
    with database.transaction() as session:
        session.execute(delete(Heartbeat).where(Heartbeat.name == "worker"))


def test_a_trouble_is_told_once_and_when_it_is_over(
    database: Database, told: Settings, receiver: Receiver, postbox: Postbox
) -> None:
    silence(database)
    watch(database, told)
    assert not postbox.emails, "it may pass by itself"
    for _ in range(5):
        later(database, 5)
        watch(database, told)
    assert len(postbox.emails) == len(receiver.at("/hook")) == 1
    assert postbox.emails[0]["To"] == "ops@example.org"
    assert "start the workers" in postbox.emails[0]["Subject"]
    mend(database)
    for _ in range(5):
        later(database, 10)
        watch(database, told)
    assert len(postbox.emails) == len(receiver.at("/hook")) == 2
    assert "Over: workers" in postbox.emails[1]["Subject"]
    assert len(receiver.at("/ping")) == 11
    with database.transaction() as session:
        assert not session.scalars(select(OpenTrouble)).all()


def test_one_that_comes_and_goes_is_no_flood(
    database: Database, told: Settings, postbox: Postbox
) -> None:
    for _ in range(6):
        silence(database)
        watch(database, told)
        later(database, 5)
        watch(database, told)
        later(database, 1)
        mend(database)
        watch(database, told)
        later(database, 5)
    assert len(postbox.emails) == 1


def test_two_processes_that_look_at_once_tell_once(
    app: FundraiserApp, database: Database, told: Settings, postbox: Postbox
) -> None:
    silence(database)
    watch(database, told)
    later(database, 5)

    def look() -> None:
        with app.app_context():
            watch(database, told)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(postbox.emails) == 1


def test_where_nobody_can_be_told_the_ping_is_left_out_and_it_is_tried_again(
    database: Database, told: Settings, receiver: Receiver, postbox: Postbox
) -> None:
    silence(database)
    watch(database, told)
    later(database, 5)
    pings = len(receiver.at("/ping"))
    receiver.status, postbox.replies = 500, {"RCPT": ["550 No"] * 2}
    watch(database, told)
    assert len(receiver.at("/ping")) == pings
    later(database, 1)
    receiver.status = 200
    watch(database, told)
    assert len(receiver.at("/ping")) == pings + 1
    assert len(receiver.at("/hook")) == 2
    later(database, 1)
    watch(database, told)
    assert len(receiver.at("/hook")) == 2, "one way that works is enough"


def test_without_a_way_to_the_operator_nothing_is_sent_and_the_log_has_it(
    app: FundraiserApp, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    silence(database)
    settings: Settings = app.extensions["settings"]
    watch(database, settings)
    later(database, 5)
    watch(database, settings)
    later(database, 5)
    watch(database, settings)
    assert capsys.readouterr().out.count("operator_notice") == 1


def many_refused(session: Session) -> None:
    for _ in range(5):
        note_refusal(session.get_bind().engine, Refused.WEBHOOK, WebhookReason.SIGNATURE.value)


def emails_failed(session: Session) -> None:
    member = make_member(session)
    for number in range(5):
        enqueue(session, "welcome", to=member.id, key=str(number))
    session.flush()
    session.execute(update(Email).values(state=EmailState.FAILED))


def email_waits(session: Session) -> None:
    enqueue(session, "welcome", to=make_member(session).id, key="1")
    session.flush()
    session.execute(update(Email).values(due_at=now() - timedelta(minutes=20)))


def event_waits(session: Session) -> None:
    at = now() - timedelta(minutes=10)
    session.add(Event(id="evt_1", type="invoice.paid", created_at=at, received_at=at))


def sync_failed(session: Session) -> None:
    session.add(sync_request(customer_id="cus_1"))
    session.flush()
    session.execute(update(SyncRequest).values(due_at=None))


def compared_long_ago(session: Session) -> None:
    at = now() - timedelta(hours=60)
    session.add(Reconciliation(started_at=at, finished_at=at, stage=Stage.DONE))


def change_waits(session: Session) -> None:
    member = make_member(session).id
    asked = add_intent(session, IntentKind.REFUND, key="1", member_id=member, cause_ref=None)
    asked.created_at -= timedelta(hours=1)


CAUSES: dict[Trouble, Callable[[Session], Any]] = {
    Trouble.BEAT: lambda session: session.add(
        Heartbeat(name="beat", beat_at=now() - timedelta(minutes=10))
    ),
    Trouble.DRIFT: lambda session: note_drift(session, Finding(DriftKind.RULE, None, "1 differs")),
    Trouble.CHANGES: change_waits,
    Trouble.RECONCILIATION: compared_long_ago,
    Trouble.EVENTS: event_waits,
    Trouble.SYNCS: sync_failed,
    Trouble.WEBHOOKS: many_refused,
    Trouble.KEY: lambda session: note_refusal(
        session.get_bind().engine, Refused.CALL, "rak_charge_read"
    ),
    Trouble.EMAILS_WAIT: email_waits,
    Trouble.EMAILS_FAIL: emails_failed,
    Trouble.PROXY: lambda session: session.add(
        SecurityEvent(kind=Kind.PROXY, place="-", minute=now(), count=1)
    ),
    Trouble.STOPPED: lambda session: session.add(
        Maintenance(what=Stopped.EMAILS, since=now() - timedelta(hours=5))
    ),
}


@pytest.mark.parametrize("trouble", CAUSES)
def test_each_trouble_is_found_and_nothing_else(database: Database, trouble: Trouble) -> None:
    with database.transaction() as session:
        assert find_troubles(session) == {}
        CAUSES[trouble](session)
    with database.transaction() as session:
        found = find_troubles(session)
    assert list(found) == [trouble]
    assert "@" not in found[trouble]
