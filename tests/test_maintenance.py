"""What the operator stops for a while: e-mails, sign-ups, and the number that is being checked."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from fundraiser.campaigns.models import Campaign
from fundraiser.cli import main
from fundraiser.dashboard.service.events import without_personal_data
from fundraiser.db import now
from fundraiser.emails.delivery import deliver_some
from fundraiser.jobs import Heartbeat, beat
from fundraiser.members.models import Drift, DriftKind
from fundraiser.newsroom.maintenance import (
    Maintenance,
    Stopped,
    is_stopped,
    read_maintenance,
    resume,
    stop,
)
from fundraiser.newsroom.models import AuditEntry
from fundraiser.outbox import Email, EmailState, enqueue
from fundraiser.payments.models import Event, SyncRequest
from fundraiser.payments.stripe.types import read_event
from fundraiser.webhooks.inbox import receive
from tests.deployment import ROOT, python
from tests.factories import make_campaign, make_member, make_tiers
from tests.joining import fill_in, read, send
from tests.staff import csrf_token, hire, names, parse, read as read_staff, sign_in, words
from tests.webhooks import event

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from tests.factories import Stripe
    from tests.mail import Postbox

PAGE = {"Accept": "text/html"}
SERVICE = "/staff/service"
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


# The staff's page


def test_staff_stop_and_resume_what_the_operator_can(
    client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database))
    assert {"worker-fails", "beat-fails", "events-fine", "no-drift"} <= names(
        read_staff(client, SERVICE)
    )
    assert switch(client, "emails").status_code == 303
    for page in ("/staff", "/staff/members", SERVICE):
        assert "stopped-emails" in names(read_staff(client, page)), page
    with database.transaction() as session:
        assert is_stopped(session, Stopped.EMAILS)
    assert switch(client, "emails", end=True).status_code == 303
    assert switch(client, "emails", end=True).status_code == 303, "a form sent twice"
    assert "stopped-emails" not in names(read_staff(client, "/staff"))
    with database.transaction() as session:
        said = session.execute(select(AuditEntry.action, AuditEntry.subject)).all()
    stops = [tuple(row) for row in said if row.action in {"stopped", "resumed"}]
    assert stops == [("stopped", "stop emails"), ("resumed", "stop emails")]


def test_what_readers_are_told_is_kept_changed_and_never_lost(
    client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database))
    too_long = switch(client, "sign-ups", notice="x" * 301)
    assert too_long.status_code == 422
    area = parse(too_long).select_one("textarea[name=notice][aria-invalid]")
    assert area
    assert area.get_text() == "x" * 301
    for notice, stored in ((NOTICE, NOTICE), ("  ", None)):
        assert switch(client, "sign-ups", notice=notice).status_code == 303
        with database.transaction() as session:
            assert session.get_one(Maintenance, Stopped.SIGN_UPS).notice == stored
    with database.transaction() as session:
        since = session.get_one(Maintenance, Stopped.SIGN_UPS).since
        changes = session.scalars(select(AuditEntry.subject).filter_by(action="stopped")).all()
    assert since
    assert changes == ["stop sign-ups"] * 2


@pytest.mark.parametrize("what", ["restore", "everything", "emails%00"])
def test_staff_end_no_restore_and_stop_nothing_unknown(
    client: FlaskClient, database: Database, what: str
) -> None:
    with database.transaction() as session:
        stop(session, Stopped.RESTORE)
    sign_in(client, hire(database))
    assert switch(client, what).status_code in {400, 404}
    assert switch(client, what, end=True).status_code in {400, 404}
    assert "stopped-restore" in names(read_staff(client, SERVICE))
    with database.transaction() as session:
        assert set(read_maintenance(session)) == {Stopped.RESTORE}


def test_what_fails_is_shown_with_where_to_mend_it(client: FlaskClient, database: Database) -> None:
    sign_in(client, hire(database))
    with database.transaction() as session:
        member = make_member(session)
        enqueue(session, "welcome", to=member.id, key=str(member.sequence))
        session.flush()
        session.scalars(select(Email)).one().state = EmailState.BOUNCED
        session.add(SyncRequest(customer_id="cus_1", attempts=12, created_at=now()))
        detail = "Stripe has sub_1 as active, we as canceled."
        found = {"kind": DriftKind.STRIPE, "customer_id": "cus_2", "detail": detail}
        session.add(Drift(**found, member_id=member.id, since=now()))
        receive(session, [read_event(event(created=1))])
        session.scalars(select(Event)).one().received_at = now() - timedelta(minutes=6)
        for part in ("worker", "beat"):
            beat(session, part)
    page = read_staff(client, SERVICE)
    shown = {"worker-fine", "beat-fine", "events-fails", "syncs-fails", "emails-failed-fails"}
    assert shown | {"drift", "reconciliation-fine", "emails-wait-fine"} <= names(page)
    assert detail in words(page)
    for link in ("/staff/emails?state=bounced", "/staff/failed-syncs", f"{SERVICE}/events"):
        assert page.select_one(f"main td a[href='{link}'], main th a[href='{link}']"), link
    assert page.select_one("form[action='/staff/customers/cus_2/sync']")


@pytest.mark.usefixtures("open_shop")
def test_an_event_is_shown_with_its_payload_and_without_personal_data(
    client: FlaskClient, database: Database, stripe: Stripe
) -> None:
    stripe.join("olena.secret@example.org")
    told = stripe.call("GET", "events", limit=100)["data"]
    completed = [one for one in told if one["type"] == "checkout.session.completed"]
    (joined,) = [one for one in completed if "olena.secret" in str(one)]
    sign_in(client, hire(database))
    page = read_staff(client, f"{SERVICE}/events/{joined['id']}")
    assert "never-received" in names(page)
    assert {"none-waiting", "no-events"} <= names(read_staff(client, f"{SERVICE}/events"))
    with database.transaction() as session:
        receive(session, [read_event(joined)])
    listed = read_staff(client, f"{SERVICE}/events")
    assert listed.select_one(f"a[href$='{joined['id']}']")
    page = read_staff(client, f"{SERVICE}/events/{joined['id']}")
    assert "not-synced" in names(page)
    payload = page.select_one("[data-test=payload]")
    assert payload
    shown = json.loads(payload.get_text())["data"]["object"]
    whole = joined["data"]["object"]
    kept = ("id", "customer", "subscription", "amount_total", "payment_status")
    assert {name: shown[name] for name in kept} == {name: whole[name] for name in kept}
    assert shown["customer_details"]["email"] == "hidden"
    assert "olena" not in page.get_text()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"status": "active", "name": "active"}, {"status": "active", "name": "hidden"}),
        ({"status": "Olena Bondar"}, {"status": "hidden"}),
        ({"metadata": {"phone": "1"}}, {"metadata": "hidden"}),
        ({"card": {"exp_month": 4, "last4": "4242"}}, {"card": dict.fromkeys(
            ("exp_month", "last4"), "hidden")}),
        ({"customer": "cus_Olena123", "x": [{"description": "a_b"}, None, True, 5]},
         {"customer": "cus_Olena123", "x": [{"description": "hidden"}, None, True, 5]}),
        ({"client_secret": "pi_3abcdefg_secret_abcdefgh"}, {"client_secret": "hidden"}),
        ({"email": "a@example.org", "city": ""}, {"email": "hidden", "city": ""}),
    ],
)  # fmt: skip
def test_a_payload_keeps_only_what_is_stripes_own(
    app: FundraiserApp, value: dict[str, Any], shown: dict[str, Any]
) -> None:
    with app.test_request_context():
        assert without_personal_data(value) == shown


@pytest.mark.usefixtures("open_shop")
def test_an_event_that_cannot_be_shown_says_why(
    client: FlaskClient, database: Database, stripe: Stripe
) -> None:
    sign_in(client, hire(database))
    unknown = read_staff(client, f"{SERVICE}/events/evt_never", status=404)
    assert "no-payload" in names(unknown)
    assert read_staff(client, f"{SERVICE}/events/of-nobody", status=404)
    asked = read_staff(client, f"{SERVICE}/events?id=<b>")
    assert "no-event-id" in names(asked)
    assert client.get(f"{SERVICE}/events?id=+evt_1+").location == f"{SERVICE}/events/evt_1"
    with database.transaction() as session:
        receive(session, [read_event(event(id="evt_ours"))])
    stripe.control("faults", api_500=1.0)
    try:
        page = read_staff(client, f"{SERVICE}/events/evt_ours")
    finally:
        stripe.control("faults", api_500=0.0)
    assert {"no-payload", "not-synced"} <= names(page)


def switch(client: FlaskClient, what: str, *, end: bool = False, **form: str) -> TestResponse:
    token = csrf_token(client, SERVICE)
    path = f"{SERVICE}/stops/{what}{'/end' if end else ''}"
    return client.post(path, data=form | {"csrf_token": token}, headers=PAGE)
