"""What staff read is in words: old and new values, events, articles; in the language they chose."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from fundraiser.dashboard.articles import article
from fundraiser.dashboard.finance.labels import event
from fundraiser.db import now
from fundraiser.newsroom.audit import Action, record, record_once
from fundraiser.newsroom.models import Role
from fundraiser.webhooks.inbox import HANDLED
from tests.factories import make_campaign, make_tiers
from tests.staff import hire, post, read, sign_in, staff_of, words

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database


def changes(page: BeautifulSoup, action: str) -> list[str]:
    found = page.select(f"tr[data-test={action}] [data-test=change]")
    return [" ".join(each.get_text(" ").split()) for each in found]


def test_the_log_shows_old_and_new_values_and_sums(admin: FlaskClient, database: Database) -> None:
    email = hire(database, Role.SUPPORT)
    colleague = staff_of(database, email)
    with database.transaction() as session:
        make_campaign(session)
        goal = 25000
        record_once(
            session,
            Action.REFUNDED,
            "member 7",
            staff=colleague,
            key="k",
            details={"payment": "ch_1", "amount": 1050, "currency": "GBP"},
        )
        record(
            session,
            Action.CHANGED_EMAIL_KIND,
            "email a",
            staff=None,
            changes={"text": ("x" * 999, "")},
        )
    post(admin, f"/staff/team/{colleague.id}/role", role="finance")
    post(admin, "/staff/campaigns/25000/goals", before=str(goal), goal="26000")
    post(admin, "/staff/emails/kinds/welcome/switch", on="no")
    post(admin, "/staff/rates", currency="USD", day=f"{now():%Y-%m-%d}", rate="0.8")
    post(admin, "/staff/rates", currency="USD", day=f"{now():%Y-%m-%d}", rate="0.85")
    page = read(admin, "/staff/audit-log")
    assert [text.partition(": ")[2] for text in changes(page, "changed_staff")] == [
        "Support → Finance"
    ]
    assert changes(page, "set_goal")[0].endswith("25,000 → 26,000")
    assert changes(page, "entered_rate")[0].endswith("0.8 → 0.85"), "latest first"
    assert changes(page, "entered_rate")[1].endswith("– → 0.8")
    switched, long = changes(page, "changed_letter")
    assert switched.endswith("on → off")
    assert long.endswith("… → –"), "a long text is cut"
    refund = page.select_one("tr[data-test=refunded] [data-test=sums]")
    assert refund
    assert refund.get_text() == "£10.50"


def test_a_changed_tier_says_what_it_said_before(admin: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        make_tiers(session)
    page = read(admin, "/staff/tiers/member")
    form = {
        str(field["name"]): str(field.get("value", "") or field.get_text())
        for field in page.select("main form [name]")
        if field["name"] != "csrf_token"
    }
    answer = post(admin, "/staff/tiers/member", **form | {"names-en": "Friend"})
    assert answer.status_code == 303, answer.text
    assert [
        text.partition(": ")[2] for text in changes(read(admin, "/staff/audit-log"), "changed_tier")
    ] == ["Member → Friend"]


def test_each_event_that_we_handle_has_words(app: FundraiserApp) -> None:
    with app.test_request_context():
        for kind in HANDLED:
            assert event(kind) != event(f"{kind}.new"), kind
            assert "." not in event(kind)
        assert event("invoice.new_kind") == "invoice new kind", "an unknown one stays readable"


@pytest.mark.wording
@pytest.mark.parametrize(
    ("ref", "shown"),
    [
        (
            "news.example/articles/harbour-tide-gauges",
            "Harbour tide gauges · /articles/harbour-tide-gauges",
        ),
        ("news.example/2026/12/the-sea_wall.html", "The sea wall · /2026/12/the-sea_wall.html"),
        ("news.example", "Home page"),
        ("news.example/", "Home page"),
        ("other.example/", "other.example"),
        ("other.example/a/long-read/", "Long read · other.example/a/long-read/"),
        (
            "127.0.0.1:8002/articles/tide-gauges",
            "Tide gauges · 127.0.0.1:8002/articles/tide-gauges",
        ),
        ("news.example/2026/12/4711", "/2026/12/4711"),
        ("news.example/%D1%97%D0%B6%D0%B0%D0%BA-%C3%BC", "Їжак ü · /їжак-ü"),
        ("newsletter", "newsletter"),
        ("week.35 / email", "week.35 / email"),
        ("", ""),
        ("/", "/"),
        ("a.b/%", "a.b/%"),
    ],
)
def test_an_article_is_named_by_title_and_path(
    app: FundraiserApp, monkeypatch: pytest.MonkeyPatch, ref: str, shown: str
) -> None:
    settings = dataclasses.replace(app.extensions["settings"], newsroom_url="https://news.example/")
    monkeypatch.setitem(app.extensions, "settings", settings)
    with app.test_request_context():
        assert article(ref) == shown


@pytest.mark.parametrize(
    ("wish", "heading"), [("uk", "Учасники"), ("en", "Members"), ("xx", "Members")]
)
def test_staff_read_in_the_language_that_they_chose(
    client: FlaskClient, database: Database, wish: str, heading: str
) -> None:
    email = hire(database)
    sign_in(client, email)
    post(client, "/staff/account/language", "/staff", language=wish)
    page = read(client, "/staff/members")
    assert heading in words(page, "h1")
    assert page.html
    post(client, "/staff/sign-out", "/staff")
    sign_in(client, email)
    assert heading in words(read(client, "/staff/members"), "h1"), "also after signing in again"
    assert staff_of(database, email).language == (wish if wish == "uk" else "en")
    assert "Members" in words(read(client, "/staff/members?lang=en"), "h1"), "the address wins"
