"""Milestones: told once to the staff, and to the site by a request that it can verify."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import select, update

from fundraiser.campaigns import outgoing_webhook
from fundraiser.campaigns.milestones import (
    WAITS,
    between,
    keep_webhook,
    look_for_milestones,
    tell_next,
    try_hook,
)
from fundraiser.campaigns.models import Campaign, Goal, Milestone
from fundraiser.campaigns.plan import set_goal
from fundraiser.db import now
from fundraiser.members.models import LedgerHead
from fundraiser.newsroom.models import AuditEntry, Role, Staff
from fundraiser.outbox import Email
from tests.factories import make_campaign, make_tiers
from tests.staff import PAGE, csrf_token, hire, names, read, shown, sign_in, wrong as wrong_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


class Site:
    """The site's server: keeps what it is told, and answers as it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.url = ""

    def verified(self, secret: str) -> list[dict[str, Any]]:
        """What was told, each checked as the standard's own libraries check it."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        for headers, body in self.told:
            signed = f"{headers['Webhook-Id']}.{headers['Webhook-Timestamp']}.".encode() + body
            made = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
            assert headers["Webhook-Signature"] == f"v1,{made}"
            assert abs(int(headers["Webhook-Timestamp"]) - now().timestamp()) < 60
        return [json.loads(body) for _headers, body in self.told]


@contextmanager
def listening() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            site.told.append((dict(self.headers), body))
            self.send_response(site.status)
            self.send_header("Location", site.url)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}/hooks?from=members"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    with listening() as found:
        yield found


def number(database: Database, members: int) -> list[int]:
    """Have so many members, look, and say what was reached so far."""
    with database.transaction() as session:
        session.scalars(select(LedgerHead)).one().balance = members
        look_for_milestones(session)
        session.flush()
        return list(session.scalars(select(Milestone.members).order_by(Milestone.id)))


def campaign_with_hook(database: Database, url: str | None, goal: int = 25_000) -> str:
    """A running campaign that tells this address; returns the secret."""
    with database.transaction() as session:
        make_tiers(session)
        campaign = make_campaign(session, goals=[Goal(members=goal, set_at=WHEN)])
        keep_webhook(session, campaign, url)
        return outgoing_webhook.secret_of(campaign)


def tell_all(database: Database) -> None:
    while tell_next(database):
        pass


@pytest.mark.parametrize(
    ("before", "members", "goal", "found"),
    [
        (16_234, 16_999, 25_000, {}),
        (16_234, 17_499, 25_000, {17_000: None}),
        (16_999, 17_500, 25_000, {17_000: None, 17_500: 70}),
        (24_999, 26_000, 25_000, {25_000: 100, 26_000: None}),
        (0, 3, 25, {3: 10}),
        (2, 1, 3, {}),
        (0, 3, 3, {1: 30, 2: 60, 3: 100}),
    ],
)
def test_each_thousand_each_tenth_of_the_goal_and_the_goal_are_milestones(
    before: int, members: int, goal: int, found: dict[int, int | None]
) -> None:
    assert between(before, members, goal) == found


def test_a_milestone_is_reached_once_even_where_the_number_dips_or_the_goal_is_raised(
    app: FundraiserApp, database: Database
) -> None:
    hire(database)
    campaign_with_hook(database, None)
    with database.transaction() as session:
        session.execute(update(Staff).values(language="uk"))
    assert number(database, 16_234) == [], "what was passed before anybody looked is no news"
    assert number(database, 16_999) == []
    assert number(database, 17_001) == [17_000]
    assert number(database, 16_998) == [17_000]
    assert number(database, 17_003) == [17_000]
    with database.transaction() as session:
        set_goal(session.get_one(Campaign, "25000"), 28_000, session.scalars(select(Staff)).one())
    assert number(database, 17_004) == [17_000], "60 % of the new goal was passed before"
    assert number(database, 28_500) == [17_000, 28_000], "the goal goes before all others"
    with database.transaction() as session:
        emails = session.scalars(select(Email).order_by(Email.id)).all()
    assert [email.context["language"] for email in emails] == ["uk", "uk"]
    assert "28\xa0000" in emails[1].context["subject"]
    assert app.extensions["settings"].public_url in emails[1].context["link"][1]


def test_the_last_moments_before_the_deadline_count_and_later_ones_do_not(
    database: Database,
) -> None:
    campaign_with_hook(database, None)
    number(database, 24_000)
    with database.transaction() as session:
        session.scalars(select(LedgerHead)).one().balance = 25_000
        campaign = session.get_one(Campaign, "25000")
        campaign.deadline = now() - timedelta(seconds=1)
    # The result is what the ledger says of the deadline: nobody had joined by it in this ledger.
    assert number(database, 30_000) == []


def test_the_site_is_told_once_by_a_request_that_it_can_verify(
    database: Database, site: Site
) -> None:
    secret = campaign_with_hook(database, site.url)
    number(database, 24_400)
    number(database, 25_100)
    site.status = 500
    tell_all(database)
    tell_all(database)
    assert len(site.told) == 1, "it waits before it tries again"
    for wait in WAITS[1:3]:
        with database.transaction() as session:
            milestone = session.scalars(select(Milestone)).one()
            assert milestone.error == "500"
            milestone.tell_at = now()
        tell_all(database)
        with database.transaction() as session:
            due = session.scalars(select(Milestone.tell_at)).one()
        assert due is not None
        assert abs(due - now() - wait) < timedelta(seconds=30)
    site.status = 204
    with database.transaction() as session:
        session.execute(update(Milestone).values(tell_at=now()))
    tell_all(database)
    tell_all(database)
    told = site.verified(secret)
    assert len(told) == 4
    assert len({headers["Webhook-Id"] for headers, _body in site.told}) == 1
    assert told[-1]["type"] == "milestone"
    assert told[-1]["data"] == {
        "campaign": "25000",
        "members": 25_000,
        "percent": 100,
        "goal": 25_000,
        "page": "http://127.0.0.1:8000/campaigns/25000",
    }
    with database.transaction() as session:
        milestone = session.scalars(select(Milestone)).one()
    assert (milestone.error, milestone.tell_at) == (None, None)
    assert milestone.told_at


def test_a_site_that_never_answers_is_left_alone_in_the_end(database: Database) -> None:
    campaign_with_hook(database, "http://127.0.0.1:9/hooks")
    number(database, 24_400)
    number(database, 25_100)
    for _try in range(len(WAITS) + 3):
        with database.transaction() as session:
            session.execute(
                update(Milestone).where(Milestone.tell_at.is_not(None)).values(tell_at=now())
            )
        tell_all(database)
    with database.transaction() as session:
        milestone = session.scalars(select(Milestone)).one()
    assert (milestone.attempts, milestone.tell_at) == (len(WAITS) + 1, None)
    assert milestone.error == outgoing_webhook.Fault.SILENT


PRIVATE = (
    *("127.0.0.1", "localhost", "10.1.2.3", "169.254.169.254", "224.0.0.1", "0", "[::1]"),
    *("[::ffff:10.0.0.1]", "[64:ff9b::a00:1]", "[2002:7f00:1::]", "[fe80::1]", "[fd00::1]"),
    *("[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[fec0::1]", "[2001:0:7f00:1::]", "[ff02::1]"),
    *("[::ffff:127.0.0.1]", "[100::1]", "[2001:db8::1]", "[::]", "240.0.0.1", "100.64.0.1"),
    *("192.0.0.8", "192.88.99.1", "[3fff::1]"),
)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34"])
def test_what_is_the_public_s_is_known_as_such(address: str) -> None:
    assert outgoing_webhook._is_public(address)  # noqa: SLF001 - nobody public can be told from here


def test_nobody_in_a_private_network_is_told(
    app: FundraiserApp, database: Database, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_with_hook(database, site.url)
    settings = app.extensions["settings"]
    public = dataclasses.replace(settings, public_url="https://members.example.org")
    monkeypatch.setitem(app.extensions, "settings", public)
    with database.transaction() as session:
        campaign = session.get_one(Campaign, "25000")
    assert try_hook(campaign) == outgoing_webhook.Fault.PRIVATE
    assert not site.told
    for host in PRIVATE:
        campaign.webhook_url = f"https://{host}/hooks"
        assert try_hook(campaign) == outgoing_webhook.Fault.PRIVATE, host
    # The control: without the guard the site on this machine hears it.
    monkeypatch.setattr(outgoing_webhook, "_is_public", lambda _address: True)
    campaign.webhook_url = site.url
    assert try_hook(campaign) is None
    assert site.told


def test_a_name_that_leads_elsewhere_at_the_second_look_is_looked_up_once(
    app: FundraiserApp, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = dataclasses.replace(app.extensions["settings"], public_url="https://x.example.org")
    monkeypatch.setitem(app.extensions, "settings", public)
    port = int(site.url.rpartition(":")[2].partition("/")[0])
    looks, reached = ["192.0.2.1", "127.0.0.1"], []
    told_of = outgoing_webhook._is_public  # noqa: SLF001 - no address of the tests' is public

    def look_up(*_: object, **__: object) -> list[tuple[object, ...]]:
        address = looks.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(address: tuple[str, int], *_: object) -> None:
        reached.append(address[0])
        raise OSError

    monkeypatch.setattr(
        outgoing_webhook, "_is_public", lambda one: one == "192.0.2.1" or told_of(one)
    )
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(outgoing_webhook.HookError):
        outgoing_webhook._post(f"https://rebinding.example:{port}/hooks", b"{}", {})  # noqa: SLF001 - as above
    assert (reached, looks) == (["192.0.2.1"], ["127.0.0.1"])


def test_a_site_that_answers_a_byte_now_and_then_holds_nobody(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing_webhook, "PATIENCE", 1.0)
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20:
                if over.wait(0.2):
                    return
                connection.sendall(bytes([byte]))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=drip, args=(listener,))
        server.start()
        campaign_with_hook(database, f"http://127.0.0.1:{listener.getsockname()[1]}/hooks")
        began = time.monotonic()
        with database.transaction() as session:
            assert try_hook(session.get_one(Campaign, "25000")) == outgoing_webhook.Fault.SILENT
        assert time.monotonic() - began < 4
        over.set()
        server.join()


def test_a_redirect_is_not_followed(database: Database, site: Site) -> None:
    campaign_with_hook(database, site.url)
    site.status = 307
    with database.transaction() as session:
        assert try_hook(session.get_one(Campaign, "25000")) == "307"
    assert len(site.told) == 1


def test_staff_say_where_the_site_is_told_and_see_whether_it_was(
    client: FlaskClient, database: Database, site: Site
) -> None:
    sign_in(client, hire(database))
    campaign_with_hook(database, None)
    page = "/staff/campaigns/25000/milestones"
    token = csrf_token(client, page)

    def send(what: str, status: int = 303, **form: str) -> str:
        answer = client.post(f"{page}/{what}", data=form | {"csrf_token": token}, headers=PAGE)
        assert answer.status_code == status, answer.text
        return answer.text

    for wrong in ("http://news.example.org/x", "ftp://a.b", "https://", "https://a:b@c.de/", "x y"):
        page_of_it = BeautifulSoup(send("hook", 422, webhook_url=wrong), "html.parser")
        assert list(wrong_fields(page_of_it)) == ["webhook_url"]
    send("trial", 422)
    send("hook", webhook_url=site.url)
    send("hook", webhook_url=site.url)
    send("trial")
    secret = read(client, page).select_one("details code")
    assert secret
    (trial,) = site.verified(secret.text)
    assert trial["type"] == "test"
    number(database, 24_400)
    number(database, 25_100)
    site.status = 503
    tell_all(database)
    assert " 503 " in send("trial", 422)
    untold = shown(read(client, "/staff"), "milestone-untold")
    assert "25,000" in untold
    assert " 503 " in untold
    with database.transaction() as session:
        milestone = session.scalars(select(Milestone)).one()
        milestone.tell_at = None
    site.status = 200
    send(f"{milestone.id}/telling")
    send(f"{milestone.id}/telling")
    tell_all(database)
    assert "told" in names(read(client, page))
    seen = read(client, page).select_one("input[name=seen]")
    assert seen
    send("secret", seen=str(seen["value"]))
    send("secret", seen=str(seen["value"]))
    new = read(client, page).select_one("details code")
    assert new
    assert new.text != secret.text
    send("hook", webhook_url="")
    with database.transaction() as session:
        acts = session.scalars(
            select(AuditEntry.action).where(AuditEntry.subject == "campaign 25000")
        )
        assert sorted(acts) == ["changed_hook"] * 3 + ["tried_hook"]


def test_the_secret_is_shown_to_nobody_who_may_not_change_the_campaign(
    client: FlaskClient, database: Database, site: Site
) -> None:
    secret = campaign_with_hook(database, site.url)
    sign_in(client, hire(database, Role.FINANCE))
    assert secret not in client.get("/staff/campaigns/25000/milestones", headers=PAGE).text


def test_who_wants_no_emails_about_milestones_gets_none(
    client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database))
    campaign_with_hook(database, None)
    token = csrf_token(client, "/staff/account")
    client.post("/staff/account/emails", data={"csrf_token": token, "milestones": "no"})
    assert "milestones-off" in names(read(client, "/staff/account"))
    number(database, 24_400)
    number(database, 25_100)
    with database.transaction() as session:
        assert session.scalars(select(Email)).all() == []
