"""The campaign's page and how we count: what a reader and a site that embeds us find there."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import select

from fundraiser.campaigns.models import Campaign, Counts, Goal
from fundraiser.db import now
from fundraiser.members.counting import recount
from fundraiser.members.eligibility import RULE
from fundraiser.members.models import Cause
from tests.factories import GRACE, make_campaign, make_member, make_membership, make_tiers
from tests.pages import PageText
from tests.staff import count

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session
    from werkzeug.test import TestResponse

    from fundraiser.db import Database


@pytest.fixture(autouse=True)
def browser(client: FlaskClient) -> None:
    """Whoever asks wants pages, in English unless said otherwise."""
    client.environ_base["HTTP_ACCEPT"] = "text/html"


@pytest.fixture
def shop(database: Database) -> None:
    """Tiers, and the campaign of 25,000 with no member yet."""
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)


def add_members(session: Session, count: int) -> None:
    for _ in range(count):
        member = make_member(session)
        session.add(make_membership(member))
        recount(session, member, GRACE, cause=Cause.STRIPE)


def read(answer: TestResponse) -> BeautifulSoup:
    return BeautifulSoup(answer.text, "html.parser")


def said(answer: TestResponse) -> str:
    return read(answer).get_text(" ", strip=True)


@pytest.mark.usefixtures("shop")
def test_the_membership_page_shows_the_running_campaign(client: FlaskClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert "Quality journalism takes work" in said(answer)
    assert "of 25,000 members" in said(answer)


@pytest.mark.usefixtures("shop")
def test_the_page_shows_the_number_and_what_is_missing(
    client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        add_members(session, 3)
        count(session, make_member(session), cause=Cause.IMPORT)
    parts = PageText.of(client.get("/campaigns/25000")).parts
    assert re.search(r"\b4\b.*\b25,000\b", said(client.get("/campaigns/25000")))
    assert parts["still-needed"].endswith(" 24,996")
    assert parts["joined-day"].endswith(" 3")


@pytest.mark.usefixtures("shop")
def test_the_chosen_tier_leads_to_the_join_page_with_the_choice_made(client: FlaskClient) -> None:
    page = read(client.get("/campaigns/25000?interval=year&currency=EUR&lang=en"))
    form = page.select_one("form[action^='/join']")
    assert form
    hidden = {str(field["name"]): field["value"] for field in form.select("[type=hidden]")}
    assert hidden == {"campaign": "25000", "interval": "year", "currency": "EUR", "lang": "en"}
    assert [tier["value"] for tier in form.select("[name=tier]")] == ["reader", "member", "patron"]
    joining = read(client.get("/join", query_string=hidden | {"tier": "patron"}))
    assert joining.select_one("[name=tier][value=patron][checked]")
    assert [price.text for price in page.select(".tier-amount")] == ["€50", "€100", "€250"]


@pytest.mark.usefixtures("shop")
def test_other_sites_find_the_picture_and_the_embedding(client: FlaskClient) -> None:
    page = read(client.get("/campaigns/25000"))
    address = "http://127.0.0.1:8000/campaigns/25000"
    picture = page.select_one('meta[property="og:image"]')
    embedding = page.select_one('link[type="application/json+oembed"]')
    assert picture is not None
    assert picture["content"] == f"{address}/progress.png?lang=en"
    assert embedding is not None
    assert str(embedding["href"]).startswith("http://127.0.0.1:8000/oembed?url=http%3A%2F%2F127")


@pytest.mark.usefixtures("shop")
def test_other_sites_are_told_in_the_language_of_the_page(client: FlaskClient) -> None:
    page = read(client.get("/campaigns/25000?lang=uk"))
    for found, name in (
        (page.select_one('meta[property="og:image"]'), "content"),
        (page.select_one('meta[property="og:url"]'), "content"),
        (page.select_one("link[rel=canonical]"), "href"),
    ):
        assert found is not None
        assert str(found[name]).endswith("?lang=uk")
    title = page.select_one('meta[property="og:title"]')
    embedding = page.select_one('link[type="application/json+oembed"]')
    assert title is not None
    assert embedding is not None
    said = client.get(str(embedding["href"]).removeprefix("http://127.0.0.1:8000")).json
    assert said is not None
    assert said["title"] == title["content"]
    assert "/embed?lang=uk" in said["html"]
    assert said["thumbnail_url"].endswith("?lang=uk")


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("path", ["/campaigns/25000", "/join"])
def test_what_paying_by_the_year_saves_is_said(client: FlaskClient, path: str) -> None:
    for interval in ("month", "year"):
        page = read(client.get(path, query_string={"campaign": "25000", "interval": interval}))
        savings = [saving.text for saving in page.select("[data-test=saving]")]
        assert [re.findall(r"£\d+", sentence)[-1] for sentence in savings] == ["£10", "£20", "£50"]
    assert not read(client.get("/gift")).select("[data-test=saving]"), "nobody pays a gift monthly"


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("path", ["/campaigns/25000", "/join"])
def test_giving_once_a_gift_and_a_reminder_are_found(client: FlaskClient, path: str) -> None:
    page = read(client.get(path))
    for found in ("[href^='/gift']", "[href*='/reminder']"):
        assert page.select_one(f"main {found}"), found
    assert page.select_one("main [href*='interval=once'], main [value='interval=once']")


@pytest.mark.wording
def test_the_last_day_and_the_goal_are_seen(client: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        found = make_campaign(session, goals=[Goal(members=2, set_at=now())])
        found.deadline = now().astimezone(found.zone).replace(hour=23, minute=59, second=59)
    assert "last-day" in PageText.of(client.get("/campaigns/25000")).marks
    assert ">Last day<" in client.get("/campaigns/25000/progress.svg?shape=card").text
    with database.transaction() as session:
        add_members(session, 2)
    for path in ("/campaigns/25000", "/join"):
        page = PageText.of(client.get(path))
        assert "reached" in page.marks
        assert "the goal and are still counting" in page, "nobody is asked to reach it"
    assert ".." not in PageText.of(client.get("/campaigns/25000?lang=uk"))


def test_beyond_the_goal_the_surplus_is_said_and_drawn(
    client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        make_campaign(session, goals=[Goal(members=2, set_at=now())])
        add_members(session, 3)
    answer = client.get("/campaigns/25000")
    assert re.search(r"\b3\b \w+, 1 ", said(answer))
    assert "still-needed" not in PageText.of(answer).marks
    assert read(answer).select_one("#hatch") is not None


def test_a_campaign_of_new_members_says_so(client: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        make_campaign(session, counts=Counts.NEW)
    assert "0 of 25,000 new members" in said(client.get("/campaigns/25000"))


@pytest.mark.parametrize(
    ("starts_in", "ends_in", "status"), [(1, 9, "scheduled"), (-9, -1, "ended")]
)
def test_a_campaign_that_does_not_run_says_so(
    client: FlaskClient, database: Database, starts_in: int, ends_in: int, status: str
) -> None:
    with database.transaction() as session:
        make_campaign(
            session,
            starts_at=now() + timedelta(days=starts_in),
            deadline=now() + timedelta(days=ends_in),
        )
    marks = PageText.of(client.get("/campaigns/25000")).marks
    assert status in marks
    assert "joined-day" not in marks


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("ends_in", [1, -1])
@pytest.mark.parametrize("path", ["/campaigns/25000", "/join", "/campaigns/25000/members"])
def test_after_its_end_nobody_is_asked_to_reach_the_goal(
    client: FlaskClient, database: Database, path: str, ends_in: int
) -> None:
    with database.transaction() as session:
        campaign = session.scalars(select(Campaign)).one()
        campaign.messages = {"en": "Help us reach it"}
        campaign.starts_at, campaign.deadline = (
            now() - timedelta(days=9),
            now() + timedelta(days=ends_in),
        )
    assert ("Help us reach it" in client.get(path).text) is (ends_in > 0)


def test_the_deadline_is_shown_in_the_newsrooms_zone(
    client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        make_campaign(session, deadline=datetime(2099, 7, 1, 22, 59, 59, tzinfo=UTC))
    assert "1 July 2099, 23:59" in said(client.get("/"))


@pytest.mark.usefixtures("shop")
def test_an_unknown_campaign_is_a_page_that_says_so(client: FlaskClient) -> None:
    answer = client.get("/campaigns/none")
    assert (answer.status_code, "error-404" in PageText.of(answer).marks) == (404, True)


@pytest.mark.parametrize("path", ["/", "/join", "/join?interval=once"])
def test_before_there_is_a_campaign_readers_are_told_so(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert "not-open" in PageText.of(answer).marks


@pytest.mark.usefixtures("shop")
def test_a_language_that_was_chosen_stays_chosen_on_every_link(client: FlaskClient) -> None:
    page = read(client.get("/?lang=uk"))
    assert page.html is not None
    assert page.html["lang"] == "uk"
    ours = [str(link["href"]) for link in page.select("main a, footer a")]
    assert ours
    assert [address for address in ours if "lang=uk" not in address] == []


@pytest.mark.usefixtures("shop")
def test_a_reader_meets_the_language_of_the_browser(client: FlaskClient) -> None:
    answer = client.get("/", headers={"Accept-Language": "uk-UA,uk;q=0.9,en;q=0.5"})
    assert "із 25\xa0000 учасників" in said(answer)
    assert "Україн" not in said(client.get("/?lang=xx")).replace("Українською", "")


@pytest.mark.usefixtures("shop")
def test_how_we_count_says_the_whole_rule_and_the_figures(
    client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        add_members(session, 2)
    answer = client.get("/how-we-count")
    words = said(answer)
    assert answer.status_code == 200
    assert RULE in words
    assert " 14 " in words, "for how long an overdue member is counted"
    assert "line 2, written on" in words
    assert len(read(answer).select("tbody tr")) == 20


@pytest.mark.wording
@pytest.mark.usefixtures("shop")
def test_each_row_of_how_we_count_answers_as_the_rule_does(client: FlaskClient) -> None:
    """The rows in the published rule's order; before a comma or a semicolon, yes, no or neither."""
    rows = read(client.get("/how-we-count")).select("section[aria-labelledby=rule] tbody tr")
    answers = [re.split("[,;]", row.select("td")[1].get_text())[0] for row in rows]
    yes, no = "Yes", "No"
    assert answers == [
        *(yes, yes, yes, yes, yes, yes, yes, yes),  # paid, renewed, overdue, paused, until the end
        *(no, no, no, no, no),  # free and never paid, ended, another product, refunded, disputed
        "That changes nothing",
        *(yes, yes, yes),  # a gift, paid elsewhere
        *(no, no, no),  # refunded there, complimentary, given once
    ]


def test_how_we_count_is_there_without_a_campaign(client: FlaskClient) -> None:
    assert "0 members" in said(client.get("/how-we-count"))


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("path", ["/", "/join", "/how-we-count", "/campaigns/none"])
def test_no_page_carries_a_style_or_a_script_that_the_policy_refuses(
    client: FlaskClient, path: str
) -> None:
    answer = client.get(path)
    page = read(answer)
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert not page.select("style, [style], script:not([src])")
    assert not [name for tag in page.find_all(True) for name in tag.attrs if name.startswith("on")]
