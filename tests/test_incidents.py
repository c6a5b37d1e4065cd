"""Security events and networks: what is refused leaves a trace, and whose address it is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import time_machine
from flask import request

from fundraiser import incidents
from fundraiser.app import create_app
from fundraiser.db import now
from fundraiser.doctor.service import examine
from fundraiser.incidents import Kind, SecurityEvent
from fundraiser.networks import near, read_address, wide
from fundraiser.payments.stripe.account_gateway import AccountGateway
from tests.staff import hire, names, read, sign_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.config import Settings
    from fundraiser.db import Database

OURS = {"Origin": "http://127.0.0.1:8000"}
EMAIL = "olena@example.org"


def counted(app: FundraiserApp) -> dict[Kind, int]:
    """What happened so far, but for what did not."""
    app.extensions["incidents"].write()
    with app.database.transaction() as session:
        found = incidents.count_all(session, timedelta(hours=1))
    return {kind: count for kind, count in found.items() if count}


# A trace


def test_a_wrong_password_is_counted_and_logged_without_whose(
    app: FundraiserApp, client: FlaskClient, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    email = hire(database)
    for _ in range(3):
        sign_in(client, email, "wrong")
    assert counted(app) == {Kind.PASSWORD: 3}
    said = capsys.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if "security_event" in line]
    assert [json.loads(line)["place"] for line in lines] == ["/staff/sign-in"] * 2
    assert [json.loads(line).get("more") for line in lines] == [None, 2]
    assert not any(text in "".join(lines) for text in (email, "127.0.0"))


def test_a_limit_that_is_met_is_counted(
    app: FundraiserApp, client: FlaskClient, database: Database
) -> None:
    email = hire(database)
    statuses = [sign_in(client, email, "wrong").status_code for _ in range(12)]
    assert statuses[-2:] == [429, 429]
    assert counted(app) == {Kind.PASSWORD: 10, Kind.LIMIT: 2}


def test_refused_webhooks_are_counted_by_their_reason(
    app: FundraiserApp, client: FlaskClient
) -> None:
    client.post("/webhooks/stripe", data=b"{}")
    client.post("/webhooks/email", data=b"{}")
    assert counted(app) == {Kind.STRIPE_WEBHOOK: 1, Kind.EMAIL_WEBHOOK: 1}
    with app.database.transaction() as session:
        places = {entry.place for entry in incidents.read_entries(session, timedelta(days=1), 10)}
    assert places == {"no_signature", "/webhooks/email"}


def test_a_wrong_code_and_a_wrong_link_of_a_member_are_counted(
    app: FundraiserApp, client: FlaskClient
) -> None:
    client.post("/account/sign-in", data={"email": EMAIL}, headers=OURS)
    client.post("/account/sign-in/code", data={"code": "000000"}, headers=OURS)
    client.post("/account/sign-in/link", data={"link": "nobody's"}, headers=OURS)
    client.post("/gift/redeem", data={"code": "AAAA-BBBB-CCCC-DDDD"}, headers=OURS)
    assert counted(app) == {Kind.MEMBER_CODE: 2, Kind.GIFT_CODE: 1}


def test_the_figures_tell_what_was_refused_in_the_last_hour(client: FlaskClient) -> None:
    client.post("/webhooks/stripe", data=b"{}")
    text = client.get("/metrics").text
    assert 'fundraiser_security_events{kind="stripe_webhook"} 1.0' in text
    assert 'fundraiser_security_events{kind="password"} 0.0' in text


def test_what_is_older_than_90_days_is_deleted(app: FundraiserApp) -> None:
    with app.test_request_context("/"):
        incidents.note(Kind.LIMIT)
    assert counted(app) == {Kind.LIMIT: 1}
    with app.database.transaction() as session:
        assert incidents.forget_old(session) == 0
    with time_machine.travel(now() + timedelta(days=91)), app.database.transaction() as session:
        assert incidents.forget_old(session) == 1
        assert session.query(SecurityEvent).count() == 0


# Whose address it is


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("unknown", None),
        ("_hidden", None),
        ("", None),
        (None, None),
        ("1" * 4000, None),
        ("[", None),
    ],
)
def test_an_address_is_read_as_proxies_write_it(text: str | None, address: str | None) -> None:
    assert str(read_address(text)) == str(address)


@pytest.mark.parametrize(
    ("address", "small", "large"),
    [
        ("203.0.113.7", "203.0.113.7/32", "203.0.113.0/24"),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64", "2001:db8:1::/48"),
    ],
)
def test_networks_are_a_connection_and_what_a_provider_hands_around(
    app: FundraiserApp, address: str, small: str, large: str
) -> None:
    with app.test_request_context(environ_overrides={"REMOTE_ADDR": address}):
        assert (near(), wide()) == (small, large)


@pytest.fixture
def behind_one(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(replace(settings, trusted_proxies=1))
    yield app.test_client()
    app.database.dispose()


@pytest.mark.parametrize(
    "forwarded",
    ["203.0.113.7:4711", "[2001:db8::7]:80", "unknown", "_a", "", ",", "1" * 5000, "é", "1, [::"],
)
def test_whatever_a_proxy_calls_a_reader_no_page_fails(
    behind_one: FlaskClient, forwarded: str
) -> None:
    headers = {**OURS, "X-Forwarded-For": forwarded}
    answer = behind_one.post("/account/sign-in", data={"email": EMAIL}, headers=headers)
    assert answer.status_code in {303, 429}
    assert behind_one.get("/metrics", headers=headers).status_code == 404


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [("[2001:db8::7]:80", "2001:db8::7"), ("unknown", "127.0.0.1"), ("_a", "127.0.0.1")],
)
def test_what_is_no_address_gives_way_to_the_proxy_s_own(
    settings: Settings, forwarded: str, address: str
) -> None:
    app, seen = create_app(replace(settings, trusted_proxies=1)), []
    app.before_request(lambda: seen.append(request.remote_addr))
    app.test_client().get("/healthz", headers={"X-Forwarded-For": forwarded})
    assert seen == [address]
    app.database.dispose()


# A proxy that nobody told us of


def lines_of_metrics(client: FlaskClient) -> str:
    return client.get("/metrics", base_url="http://localhost").text


def test_a_proxy_while_none_is_trusted_is_told_at_once(
    app: FundraiserApp,
    client: FlaskClient,
    database: Database,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "fundraiser_proxy_untrusted 0.0" in lines_of_metrics(client)
    client.get("/healthz", headers={"X-Forwarded-For": "203.0.113.7"})
    said = capsys.readouterr()
    assert "Set TRUSTED_PROXIES" in said.out + said.err
    assert "fundraiser_proxy_untrusted 1.0" in lines_of_metrics(client)
    sign_in(client, hire(database))
    assert "untrusted-proxy" in names(read(client, "/staff"))
    found = list(examine(settings, app.database, AccountGateway(settings, app.database)))
    assert any("TRUSTED_PROXIES" in one.sentence and not one.is_well for one in found)


def test_one_stranger_s_invention_is_no_proxy(app: FundraiserApp, client: FlaskClient) -> None:
    client.environ_base["REMOTE_ADDR"] = "1.1.1.1"
    for _ in range(99):
        client.get("/healthz", headers={"X-Forwarded-For": "8.8.8.8"})
    assert counted(app) == {Kind.FORWARDED: 99}
    with app.database.transaction() as session:
        assert not incidents.is_proxy_untrusted(session)
    client.get("/healthz", headers={"Via": "1.1 somebody"})
    assert counted(app) == {Kind.FORWARDED: 100}
    with app.database.transaction() as session:
        assert incidents.is_proxy_untrusted(session)


@pytest.mark.parametrize(
    "headers",
    [{"X-Forwarded-For": "127.0.0.1"}, {"Via": "1.1 proxy"}, {"Host": "members.example.org"}],
)
def test_the_figures_stay_private_behind_a_proxy_that_nobody_told_us_of(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    assert client.get("/metrics", headers=headers).status_code == 404


def test_forty_readers_of_one_office_may_all_ask_to_sign_in(settings: Settings) -> None:
    app = create_app(replace(settings, join_limit="20 per 10 minutes"))
    statuses = set()
    for number in range(40):
        client = app.test_client()
        client.environ_base["REMOTE_ADDR"] = f"198.18.7.{number}"
        data = {"email": f"reader{number}@example.org"}
        statuses.add(client.post("/account/sign-in", data=data, headers=OURS).status_code)
    assert statuses == {303}
    app.database.dispose()
