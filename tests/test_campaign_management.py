"""Staff set up a campaign, without code: from an empty deployment to its result."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from bs4 import BeautifulSoup
from PIL import Image
from sqlalchemy import select

from fundraiser.campaigns.forms import read_goal, read_site, read_slug
from fundraiser.campaigns.models import Campaign, Counts, Goal
from fundraiser.campaigns.progress import read_progress
from fundraiser.errors import UnprocessableError
from fundraiser.members.counting import recount
from fundraiser.members.models import Cause
from fundraiser.newsroom.models import AuditEntry, Role
from fundraiser.payments.models import Tier
from fundraiser.payments.products import missing_from_catalogue
from tests.factories import GRACE, make_campaign, make_member, make_membership, make_tiers
from tests.management import (
    REFUSED,
    fields,
    landed,
    new_campaign,
    new_tier,
    post,
    said,
    shop_by_hand,  # noqa: F401 - a fixture
    staff_browser,  # noqa: F401 - a fixture
    unique,
)
from tests.pages import PageText
from tests.staff import PAGE, hire, sign_in

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session
    from werkzeug.test import TestResponse

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database
    from tests.factories import Stripe

FORM = "/staff/campaigns/25000/edit"


def marks(page: TestResponse) -> list[str]:
    return PageText.of(page).marks


# An empty deployment


def test_an_empty_deployment_leads_from_nothing_to_a_reader_who_pays(
    staff: FlaskClient, stripe: Stripe, database: Database
) -> None:
    assert "set-up" in marks(staff.get("/staff"))
    assert "first-membership" in marks(staff.get("/staff/campaigns"))
    answer = staff.get("/staff/campaigns/new")
    assert answer.headers["Location"] == "/staff/tiers/new"
    name = unique("Friend")
    assert "notice-published" in landed(staff, new_tier(staff, name)).marks
    assert "first-campaign" in marks(staff.get("/staff/campaigns"))
    assert "notice-campaign-made" in landed(staff, new_campaign(staff)).marks
    assert "Keep the lights on" in said(staff.get("/"))
    with database.transaction() as session:
        assert missing_from_catalogue(session) == 0
        tier = session.scalars(select(Tier).where(Tier.slug != "contribution")).one()
    page = BeautifulSoup(staff.get("/join").text, "html.parser")
    nonce = page.select_one("input[name=nonce]")
    assert nonce
    for form in (
        {"tier": tier.slug, "interval": "month"},
        {"interval": "once", "amount": "12"},
    ):
        sent = {"campaign": "spring-2030", "currency": "GBP", "nonce": str(nonce["value"]), **form}
        paid = staff.post("/join", data=sent, headers={"Origin": "http://127.0.0.1:8000"})
        assert paid.status_code == 303, said(paid)
        assert paid.headers["Location"].startswith(stripe.url)


def test_without_permission_the_steps_are_to_read_only(
    client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database, Role.FINANCE))
    page = client.get("/staff/campaigns", headers=PAGE)
    assert "ask-an-administrator" in marks(page)
    for path in ("/staff/campaigns", "/staff/tiers"):
        assert post(client, path).status_code == 403
    for path in ("/staff/campaigns/new", "/staff/tiers/new"):
        assert client.get(path, headers=PAGE).status_code == 403


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "path",
    [
        *("campaigns/25000/edit", "campaigns/25000/goals", "campaigns/25000/end"),
        *("campaigns/25000/archiving", "campaigns/25000/restoring", "tiers/member"),
        *("tiers/member/publication", "tiers/member/place", "tiers/member/retirement"),
        "tiers/member/return",
    ],
)
def test_only_who_may_changes_anything(client: FlaskClient, database: Database, path: str) -> None:
    sign_in(client, hire(database, Role.SUPPORT))
    assert post(client, f"/staff/{path}", goal="1", place="0").status_code == 403


# A campaign's plan


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "form",
    [
        {"deadline": "2020-01-01T00:00"},
        {"starts_at": "2019-01-01T00:00", "deadline": "2020-01-01T00:00"},
        {"deadline": "soon"},
        {"deadline": "0001-01-01T00:00"},
        {"deadline": "2060-03-28T01:30"},
        {"goal": "0"},
        {"goal": "many"},
        {"goal": "-5"},
        {"goal": "12.5"},
        {"goal": "9" * 40},
        {"slug": "25000"},
        {"slug": "Über uns"},
        {"slug": "new"},
        {"headlines-en": ""},
        {"messages-uk": "ї" * 301},
        {"sites": "http://news.example.org"},
        {"sites": "https://news.example.org/politics"},
        {"sites": "https://u:p@news.example.org"},
        {"sites": "https://[oops"},
        {"tiers": []},
        {"tiers": ["reader"], "default_tier": "patron"},
        {"default_currency": "XAU"},
        {"counts": "dogs"},
    ],
)
def test_what_can_not_be_is_said_and_nothing_typed_is_lost(
    staff: FlaskClient, database: Database, form: dict[str, Any]
) -> None:
    answer = new_campaign(staff, **{"headlines-uk": "Тримаймо світло"}, **form)
    assert answer.status_code == REFUSED
    wrong = PageText.of(answer).wrong
    assert wrong
    assert set(wrong) <= set(form)
    assert "Тримаймо світло" in answer.text
    with database.transaction() as session:
        assert session.scalars(select(Campaign.slug)).all() == ["25000"]


@pytest.mark.usefixtures("shop")
def test_a_campaign_is_made_once_however_often_the_button_is_pressed(
    staff: FlaskClient, database: Database
) -> None:
    form = fields(staff, "/staff/campaigns/new") | {"slug": "spring-2030", "goal": "5000"}
    form |= {"headlines-en": "Keep the lights on", "messages-en": "Help", "default_currency": "GBP"}
    form["deadline"] = "2060-03-31T23:59"
    for _ in range(2):
        assert post(staff, "/staff/campaigns", **form).status_code == 303
    with database.transaction() as session:
        made = session.get_one(Campaign, "spring-2030")
        assert [goal.members for goal in made.goals] == [5000]
        assert made.deadline == datetime(2060, 3, 31, 22, 59, tzinfo=UTC)


@pytest.mark.usefixtures("shop")
def test_a_change_reaches_the_pages_and_is_in_the_trail(
    staff: FlaskClient, database: Database
) -> None:
    form = fields(staff, FORM) | {
        "headlines-en": "A new headline",
        "headlines-uk": "Новий заголовок",
        "deadline": "2061-01-01T00:00",
        "tiers": ["member", "patron"],
        "sites": "https://News.example.org/\r\nhttps://новини.укр",
    }
    assert "notice-campaign-changed" in landed(staff, post(staff, FORM, **form)).marks
    assert "A new headline" in said(staff.get("/campaigns/25000"))
    shown = staff.get("/campaigns/25000/appearance").json
    assert shown
    assert shown["headline"] == {"en": "A new headline", "uk": "Новий заголовок"}
    assert [tier["tier"] for tier in shown["tiers"]] == ["member", "patron"]
    with database.transaction() as session:
        found = session.get_one(Campaign, "25000")
        assert found.sites == ["https://news.example.org", "https://xn--b1amarcd.xn--j1amh"]
        assert found.revision == 2
        trail = session.scalars(select(AuditEntry).where(AuditEntry.subject == "campaign 25000"))
        assert [entry.action for entry in trail] == ["changed_campaign"]


@pytest.mark.usefixtures("shop")
def test_sending_the_form_unchanged_or_twice_changes_nothing_more(
    staff: FlaskClient, database: Database
) -> None:
    form = fields(staff, FORM)
    assert "notice-unchanged" in landed(staff, post(staff, FORM, **form)).marks
    form["headlines-en"] = "A new headline"
    for _ in range(2):
        assert post(staff, FORM, **form).status_code == 303
    with database.transaction() as session:
        assert session.get_one(Campaign, "25000").revision == 2


@pytest.mark.usefixtures("shop")
def test_the_second_of_two_who_edit_is_told_and_loses_nothing(
    staff: FlaskClient, app: FundraiserApp, database: Database
) -> None:
    mine = fields(staff, FORM) | {"headlines-en": "Mine"}
    other = app.test_client()
    sign_in(other, hire(database))
    theirs = fields(other, FORM) | {"headlines-en": "Theirs", "messages-en": "Their message"}
    theirs["deadline"] = "2027-03-05T18:30"
    assert post(other, FORM, **theirs).status_code == 303
    answer = post(staff, FORM, **mine)
    assert answer.status_code == 409
    words = said(answer)
    assert "Iryna Bondar" in words
    page = BeautifulSoup(answer.text, "html.parser")
    theirs_now = {
        str(link["href"]): link.parent.text.partition(": ")[2] if link.parent else ""
        for link in page.select("#conflict a")
    }
    assert theirs_now == {
        "#headlines-en": "Theirs",
        "#messages-en": "Their message",
        "#deadline": "5 March 2027, 18:30",
    }
    typed, seen = page.select_one("#headlines-en"), page.select_one("input[name=seen]")
    assert typed
    assert seen
    assert typed["value"] == "Mine"
    with database.transaction() as session:
        assert session.get_one(Campaign, "25000").headlines["en"] == "Theirs"
    again = mine | {"seen": str(seen["value"]), "messages-en": "Their message"}
    assert post(staff, FORM, **again).status_code == 303
    with database.transaction() as session:
        found = session.get_one(Campaign, "25000")
        assert (found.headlines["en"], found.messages["en"]) == ("Mine", "Their message")


@pytest.mark.usefixtures("shop")
def test_what_a_running_campaign_counts_from_stays(staff: FlaskClient) -> None:
    form = fields(staff, FORM) | {"starts_at": "2020-01-01T00:00", "counts": "new"}
    answer = post(staff, FORM, **form)
    assert answer.status_code == REFUSED
    assert sorted(PageText.of(answer).wrong) == ["counts", "starts_at"]


@pytest.mark.usefixtures("shop")
def test_who_edits_while_the_campaign_begins_can_keep_the_rest(
    staff: FlaskClient, database: Database
) -> None:
    """The start has no field any more, so that what it said before is no obstacle."""
    with database.transaction() as session:
        session.get_one(Campaign, "25000").starts_at = datetime.now(UTC) + timedelta(days=1)
    form = fields(staff, FORM) | {"headlines-en": "Mine"}
    with database.transaction() as session:
        session.get_one(Campaign, "25000").starts_at = datetime.now(UTC) - timedelta(days=1)
    answer = post(staff, FORM, **form)
    assert answer.status_code == 409
    page = BeautifulSoup(answer.text, "html.parser")
    theirs = [str(link["href"]) for link in page.select("#conflict a")]
    assert "#starts_at" in theirs
    assert "#tiers" not in theirs
    for name in ("seen", "starts_at"):
        field = page.select_one(f"input[name={name}]")
        assert field
        form[name] = str(field["value"])
    assert post(staff, FORM, **form).status_code == 303
    with database.transaction() as session:
        assert session.get_one(Campaign, "25000").headlines["en"] == "Mine"


# The goal


@pytest.mark.usefixtures("shop")
def test_a_raised_goal_keeps_its_history(staff: FlaskClient, database: Database) -> None:
    path = "/staff/campaigns/25000"
    for _ in range(2):
        answer = post(staff, f"{path}/goals", goal="30 000", before="25000")
        assert "notice-goal" in landed(staff, answer).marks
    progress = staff.get("/campaigns/25000").text
    assert "30,000" in progress
    rows = BeautifulSoup(staff.get(path).text, "html.parser").select("#goals ~ table tbody tr")
    texts = [row.get_text(" ", strip=True) for row in rows]
    assert len(texts) == 2
    assert texts[0].endswith("Iryna Bondar 25,000 30,000")
    assert texts[1].endswith(" – 25,000"), "by the operator, from nothing"
    with database.transaction() as session:
        assert session.get_one(Campaign, "25000").revision == 2


@pytest.mark.usefixtures("shop")
def test_a_lower_goal_is_asked_about_once_more(staff: FlaskClient, database: Database) -> None:
    path = "/staff/campaigns/25000/goals"
    answer = post(staff, path, goal="20000", before="25000")
    assert answer.status_code == REFUSED
    assert BeautifulSoup(answer.text, "html.parser").select_one("[name=lower]")
    assert 'value="20000"' in answer.text
    assert post(staff, path, goal="20000", before="25000", lower="yes").status_code == 303
    with database.transaction() as session:
        assert session.get_one(Campaign, "25000").goal == 20_000


@pytest.mark.usefixtures("shop")
def test_who_sets_a_goal_beside_somebody_else_is_told(staff: FlaskClient) -> None:
    path = "/staff/campaigns/25000/goals"
    assert post(staff, path, goal="40000", before="25000").status_code == 303
    answer = post(staff, path, goal="30000", before="25000")
    assert answer.status_code == REFUSED
    assert "40,000" in said(answer)
    before = BeautifulSoup(answer.text, "html.parser").select_one("input[name=before]")
    assert before
    again = post(staff, path, goal="30000", before=str(before["value"]), lower="yes")
    assert again.status_code == 303


@pytest.mark.parametrize(
    ("typed", "goal"),
    [("25000", 25000), ("25 000", 25000), ("25,000", 25000), ("25\xa0000", 25000), (" 7 ", 7)],
)
def test_a_goal_is_read_as_people_write_it(typed: str, goal: int) -> None:
    assert read_goal(typed) == goal


# The end


def add_member(session: Session) -> None:
    member = make_member(session)
    session.add(make_membership(member))
    recount(session, member, GRACE, cause=Cause.STRIPE)


@pytest.mark.parametrize("counts", list(Counts))
def test_the_result_stays_whatever_arrives_later(
    client: FlaskClient, database: Database, counts: Counts
) -> None:
    begin = datetime.now(UTC)
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(
            session,
            counts=counts,
            starts_at=begin - timedelta(days=1),
            deadline=begin + timedelta(hours=1),
            goals=[Goal(members=10, set_at=begin)],
        )
        for _ in range(3):
            add_member(session)
    with time_machine.travel(begin + timedelta(hours=2)):
        with database.transaction() as session:
            before = read_progress(session, session.get_one(Campaign, "25000")).as_json()
        with database.transaction() as session:
            add_member(session)
        with database.transaction() as session:
            after = read_progress(session, session.get_one(Campaign, "25000")).as_json()
        shown = client.get("/campaigns/25000", headers=PAGE)
    assert (before["members"], before["status"]) == (3, "ended")
    assert after["version"] == before.pop("version") + 1
    assert after | before == after
    assert re.search(r"\b3 of 10\b", said(shown))
    assert "ended" in marks(shown)


@pytest.mark.usefixtures("shop")
def test_ended_now_the_campaign_keeps_the_number_of_that_moment(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        add_member(session)
    for _ in range(2):
        answer = post(staff, "/staff/campaigns/25000/end")
        assert "notice-campaign-ended" in landed(staff, answer).marks
    with database.transaction() as session:
        add_member(session)
    assert "1 of 25,000" in said(staff.get("/campaigns/25000"))
    with database.transaction() as session:
        trail = session.scalars(
            select(AuditEntry.action).where(AuditEntry.action == "ended_campaign")
        )
        assert len(trail.all()) == 1
    refused = post(staff, "/staff/campaigns/25000/goals", goal="30000", before="25000")
    assert refused.status_code == REFUSED
    assert PageText.of(refused).wrong == ["goal"]
    form = fields(staff, FORM) | {"headlines-en": "We did not make it"}
    assert post(staff, FORM, **form).status_code == 303
    later = fields(staff, FORM) | {"deadline": "2061-01-01T00:00"}
    assert PageText.of(post(staff, FORM, **later)).wrong == ["deadline"]


@pytest.mark.usefixtures("shop")
def test_only_a_campaign_that_does_not_run_goes_into_the_archive(
    staff: FlaskClient,
) -> None:
    path = "/staff/campaigns/25000"
    answer = post(staff, f"{path}/archiving")
    assert answer.status_code == REFUSED
    post(staff, f"{path}/end")
    assert "notice-archived" in landed(staff, post(staff, f"{path}/archiving")).marks
    assert "not-open" in marks(staff.get("/"))
    assert "ended" in marks(staff.get("/campaigns/25000"))
    assert "notice-restored" in landed(staff, post(staff, f"{path}/restoring")).marks
    assert "ended" in marks(staff.get("/"))


def test_a_campaign_that_has_not_begun_is_scheduled_and_not_ended(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session, starts_at=datetime.now(UTC) + timedelta(days=1))
    assert "scheduled" in marks(staff.get("/campaigns/25000"))
    answer = post(staff, "/staff/campaigns/25000/end")
    assert answer.status_code == REFUSED


@pytest.mark.parametrize("text", ["ftp://a.example", "https://", "https://a b", "", "//a.example"])
def test_a_site_is_an_https_origin(text: str, app: FundraiserApp) -> None:
    del app
    with pytest.raises(UnprocessableError):
        read_site(text, is_demonstration=True)
    with pytest.raises(UnprocessableError):
        read_site("http://127.0.0.1:8001", is_demonstration=False)
    assert read_site("http://127.0.0.1:8001", is_demonstration=True) == "http://127.0.0.1:8001"
    assert read_site("https://a.example:443", is_demonstration=False) == "https://a.example"
    assert read_slug(" Spring-2030 ") == "spring-2030"


# What readers see beside the number


COLOURS = {"JPEG": "red", "PNG": "green", "WEBP": "blue"}


def photograph(
    mode: str = "RGB", size: tuple[int, int] = (2400, 1600), kind: str = "JPEG"
) -> bytes:
    made, exif = io.BytesIO(), Image.Exif()
    exif[0x010E] = "taken at home"  # what a camera writes into it
    Image.new(mode, size, COLOURS[kind]).save(made, kind, exif=exif)
    return made.getvalue()


def upload(staff: FlaskClient, sent: bytes) -> list[str]:
    page = BeautifulSoup(staff.get("/staff/campaigns/25000").text, "html.parser")
    token = page.select_one("[data-test=picture] [name=csrf_token]")
    assert token
    form = {"csrf_token": str(token["value"]), "picture": (io.BytesIO(sent), "face.jpg")}
    return landed(staff, staff.post("/staff/campaigns/25000/picture", data=form)).marks


def test_staff_choose_a_picture_and_reasons_and_readers_see_them(
    staff: FlaskClient, database: Database, client: FlaskClient
) -> None:
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session, reasons={"en": "We sit in court.\nWe read the budget."})
    assert client.get("/campaigns/25000").status_code == 200, "without a picture too"
    addresses = []
    for kind, mode in (("JPEG", "RGB"), ("PNG", "RGBA"), ("WEBP", "RGB")):
        size = (2400, 1600 + len(kind))
        assert "notice-picture" in upload(staff, photograph(mode, size, kind))
        page = BeautifulSoup(client.get("/campaigns/25000").text, "html.parser")
        image = page.select_one("figure img")
        assert image
        addresses.append(str(image["src"]))
        shown = client.get(addresses[-1])
        assert "immutable" in shown.headers["Cache-Control"]
        assert b"taken at home" not in shown.data
        assert max(Image.open(io.BytesIO(shown.data)).size) == 1600
    assert client.get(addresses[0]).status_code == 404, "its address changes with it"
    assert [one.text for one in page.select("[data-test=reasons] li")] == [
        "We sit in court.",
        "We read the budget.",
    ]
    post(staff, "/staff/campaigns/25000/picture/removal")
    assert "<figure" not in client.get("/campaigns/25000").text


@pytest.mark.parametrize(
    "sent",
    [b"", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>", photograph()[:2000]],
    ids=["nothing", "a GIF", "an SVG", "cut"],
)
def test_what_is_no_picture_is_refused_with_the_reason(
    staff: FlaskClient, database: Database, sent: bytes
) -> None:
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
    assert "notice-picture-refused" in upload(staff, sent)
    assert "notice-picture-refused" in upload(staff, photograph(size=(300, 900)))
    assert "<figure" not in staff.get("/campaigns/25000").text
