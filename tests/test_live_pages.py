"""Patreon's webhook, and what staff, readers and the operator see of a source that is asked."""

from __future__ import annotations

import hmac
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from bs4 import BeautifulSoup
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from fundraiser.config import ConfigError, load_settings
from fundraiser.doctor.service import _examine_sources
from fundraiser.members.ledger import read_balance
from fundraiser.newsroom.models import Role
from fundraiser.sources.live.tokens import Tokens, seal, unseal
from fundraiser.sources.models import ImportBatch, Live, LiveChange, LiveSource
from fundraiser.sources.overview import refresh
from simulator.elsewhere.ghost import Ghost
from simulator.elsewhere.patreon import Hook, Member, Patreon
from tests.factories import make_campaign
from tests.live_sources import HOOK_SECRET, paying, serving, with_patreon, work
from tests.sources import GRACE, NOON
from tests.staff import PAGE, csrf_token, hire, read, sign_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.app import FundraiserApp
    from fundraiser.config import Settings
    from fundraiser.db import Database

HOOK = "/webhooks/patreon"
SOURCES = "/staff/sources"
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=True) as traveller:
        yield traveller


@pytest.fixture
def patreon() -> Patreon:
    return Patreon()


@pytest.fixture
def url(patreon: Patreon) -> Iterator[str]:
    with serving(patreon, Ghost()) as address:
        yield address


@pytest.fixture
def set_up(app: FundraiserApp, url: str, patreon: Patreon) -> Settings:
    settings = with_patreon(app.extensions["settings"], url, patreon)
    app.extensions["settings"] = settings
    return settings


def event(member: Member, campaign: str = "123456") -> dict[str, Any]:
    return {
        "data": {
            "attributes": {"full_name": "Nobody looks at this"},
            "id": member.id,
            "relationships": {"campaign": {"data": {"id": campaign, "type": "campaign"}}},
            "type": "member",
        }
    }


def send(
    client: FlaskClient, body: bytes, signature: str | None = None, trigger: str = "members:update"
) -> TestResponse:
    made = hmac.new(HOOK_SECRET.encode(), body, "md5").hexdigest()
    headers = {"X-Patreon-Event": trigger, "X-Patreon-Signature": signature or made}
    return client.post(HOOK, data=body, headers=headers, content_type="application/json")


def number(database: Database) -> int:
    with database.transaction() as session:
        return read_balance(session).members


def changes(database: Database) -> int:
    with database.transaction() as session:
        return session.scalar(select(func.count()).select_from(LiveChange)) or 0


def test_new_tokens_outlast_a_database_that_is_away_for_a_moment(
    set_up: Settings, database: Database, patreon: Patreon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patreon has voided the old ones, and tells the new ones once."""
    failures = iter([True, True])

    def fail_twice(settings: Settings, found: Tokens) -> bytes:
        if next(failures, False):
            raise OperationalError("UPDATE", {}, Exception("the server closed the connection"))
        return seal(settings, found)

    monkeypatch.setattr("fundraiser.sources.live.tokens.seal", fail_twice)
    monkeypatch.setattr("fundraiser.sources.live.asking._STORED_AGAIN", (0, 0, 0))
    work(database, set_up)
    assert patreon.calls.count("token") == 1
    with database.transaction() as session:
        found = session.scalars(select(LiveSource)).one()
        kept = found.tokens and unseal(set_up, found.tokens)
    assert kept
    assert (kept.access, kept.refresh) == (patreon.access, patreon.refresh)


def test_whom_the_webhook_tells_of_is_asked_about_and_counted(
    set_up: Settings, client: FlaskClient, database: Database, patreon: Patreon
) -> None:
    work(database, set_up)
    joined = patreon.put("1", **paying(1))
    for _ in range(3):
        assert send(client, json.dumps(event(joined)).encode()).status_code == 204
    assert changes(database) == 1
    work(database, set_up)
    assert number(database) == 1
    assert patreon.calls.count("find") == 1
    assert changes(database) == 0
    with database.transaction() as session:
        assert session.scalars(select(ImportBatch.live)).all() == [Live.CHANGES]
    left = patreon.put("1", last_charge_status="Refunded")
    send(client, json.dumps(event(left)).encode())
    work(database, set_up)
    assert number(database) == 0


def test_whom_the_webhook_tells_of_without_news_leaves_no_file(
    set_up: Settings, client: FlaskClient, database: Database, patreon: Patreon
) -> None:
    joined = patreon.put("1", **paying(1))
    work(database, set_up)
    send(client, json.dumps(event(joined)).encode())
    work(database, set_up)
    send(client, json.dumps(event(Member("2", {}))).encode(), trigger="members:delete")
    work(database, set_up)
    with database.transaction() as session:
        query = select(ImportBatch.live, ImportBatch.state).order_by(ImportBatch.id)
        states = session.execute(query).all()
    assert [(live, state.value) for live, state in states] == [
        (Live.LISTING, "applied"),
        (Live.CHANGES, "discarded"),
    ]
    assert number(database) == 1


def test_an_event_that_is_forged_or_is_none_is_refused(
    set_up: Settings, client: FlaskClient, database: Database, patreon: Patreon
) -> None:
    del set_up
    body = json.dumps(event(patreon.put("1", **paying(1)))).encode()
    made = hmac.new(b"another secret", body, "md5").hexdigest()
    for signature in (made, "é", "0" * 10_000):
        assert send(client, body, signature).status_code == 400
    assert client.post(HOOK, data=body).status_code == 400
    for odd in (b"", b"[]", b"{}", b'{"data": 1}', b"[" * 5000, b'{"data": {"type": "member"}}'):
        assert send(client, odd).status_code == 400
    assert send(client, b"x" * (1 << 20 | 1)).status_code == 413
    assert changes(database) == 0


def test_an_event_of_another_campaign_or_kind_is_passed_over(
    set_up: Settings, client: FlaskClient, database: Database, patreon: Patreon
) -> None:
    del set_up
    joined = patreon.put("1", **paying(1))
    assert send(client, json.dumps(event(joined, "999")).encode()).status_code == 204
    body = json.dumps(event(joined)).encode()
    assert send(client, body, trigger="posts:publish").status_code == 204
    assert changes(database) == 0


def test_without_the_secret_there_is_no_webhook(client: FlaskClient) -> None:
    assert send(client, b"{}").status_code == 404


def test_a_webhook_that_patreon_paused_is_resumed_with_the_next_listing(
    set_up: Settings, database: Database, patreon: Patreon
) -> None:
    patreon.hook = Hook(f"{set_up.public_url}{HOOK}", HOOK_SECRET, paused=True)
    work(database, set_up)
    assert not patreon.hook.paused


@pytest.fixture
def manager(client: FlaskClient, database: Database) -> FlaskClient:
    sign_in(client, hire(database, Role.MANAGER))
    return client


def test_staff_and_readers_see_that_a_source_no_longer_answers(
    set_up: Settings,
    client: FlaskClient,
    database: Database,
    patreon: Patreon,
    clock: time_machine.Traveller,
) -> None:
    patreon.put("1", **paying(1))
    work(database, set_up)
    with database.transaction() as session:
        make_campaign(session, starts_at=NOON - DAY, deadline=NOON + 9 * DAY)
        refresh(session, GRACE)
    patreon.faults.set({"status": 500})
    clock.shift(DAY)
    work(database, set_up)
    manager = client
    sign_in(manager, hire(database, Role.MANAGER))
    assert not read(manager, SOURCES).select("[data-test=stale]"), "it may pass by itself"
    clock.shift(timedelta(minutes=16))
    assert read(manager, SOURCES).select_one("[data-test=stale][data-source=patreon]")
    assert read(manager, "/staff").select_one("[data-test=stale-source]")
    page = BeautifulSoup(manager.get("/how-we-count").text, "html.parser")
    assert page.select_one("[data-test=sources] [data-test=stale]")


def test_staff_let_a_source_rest_and_ask_it_again(
    set_up: Settings, manager: FlaskClient, database: Database, patreon: Patreon
) -> None:
    work(database, set_up)
    patreon.put("1", **paying(1))

    def post(act: str) -> TestResponse:
        form = {"csrf_token": csrf_token(manager, SOURCES)}
        return manager.post(f"{SOURCES}/live/{act}", data=form, headers=PAGE)

    assert post("patreon/pause").status_code == 303
    assert read(manager, SOURCES).select_one("[data-test=stale][data-source=patreon]")
    work(database, set_up)
    assert number(database) == 0
    assert post("patreon/listing").status_code == 303
    work(database, set_up)
    assert number(database) == 1
    for unknown in ("ghost/listing", "ghost/pause", "nobody/pause"):
        assert post(unknown).status_code == 404


def test_whoever_may_not_import_may_not_ask_either(
    set_up: Settings, client: FlaskClient, database: Database
) -> None:
    work(database, set_up)
    sign_in(client, hire(database, Role.FINANCE))
    assert not read(client, SOURCES).select("[data-test=live] form")
    form = {"csrf_token": csrf_token(client, SOURCES)}
    answer = client.post(f"{SOURCES}/live/patreon/pause", data=form, headers=PAGE)
    assert answer.status_code == 403


def test_doctor_says_whether_each_source_answers(
    set_up: Settings, database: Database, patreon: Patreon, url: str
) -> None:
    del url
    (found,) = _examine_sources(set_up, database)
    assert found.is_well
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(LiveSource)) == 0
    patreon.access = "another"
    (found,) = _examine_sources(set_up, database)
    assert not found.is_well
    assert "Patreon" in found.sentence


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"PATREON_ACCESS_TOKEN": "a"}, "PATREON_CAMPAIGN_ID"),
        ({"PATREON_CAMPAIGN_ID": "12"}, "PATREON_ACCESS_TOKEN"),
        ({"PATREON_CAMPAIGN_ID": "x", "PATREON_ACCESS_TOKEN": "a"}, "PATREON_CAMPAIGN_ID"),
        (
            {
                "PATREON_CAMPAIGN_ID": "12",
                "PATREON_ACCESS_TOKEN": "a",
                "PATREON_REFRESH_TOKEN": "b",
            },
            "PATREON_CLIENT_ID",
        ),
        ({"GHOST_URL": "https://news.example"}, "GHOST_ADMIN_API_KEY"),
        ({"GHOST_URL": "https://a.example", "GHOST_ADMIN_API_KEY": "x"}, "GHOST_ADMIN_API_KEY"),
        ({"GHOST_ADMIN_API_KEY": "ab12:ff00"}, "GHOST_URL"),
        ({"GHOST_URL": "http://a.example", "GHOST_ADMIN_API_KEY": "ab12:ff00"}, "GHOST_URL"),
    ],
)
def test_settings_that_can_not_work_are_named_at_the_start(
    environment: dict[str, str], values: dict[str, str], word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        load_settings(environment | values)


def test_a_secret_may_stand_in_a_file(environment: dict[str, str], tmp_path: Any) -> None:
    file = tmp_path / "key"
    file.write_text("ab12:ff00\n")
    values = {"GHOST_URL": "https://a.example", "GHOST_ADMIN_API_KEY_FILE": str(file)}
    settings = load_settings(environment | values)
    assert settings.ghost
    assert settings.ghost.secret == b"\xff\x00"
    assert "ff00" not in repr(settings)
