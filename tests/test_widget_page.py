"""The page where staff choose the widget's look and take its code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import select

from fundraiser.campaigns.models import Campaign
from fundraiser.campaigns.theme import LEAST_FOR_WORDS, contrast_of_bar, contrast_of_words
from fundraiser.newsroom.models import AuditEntry, Role
from fundraiser.widget.script import current_script
from tests.factories import make_campaign, make_tiers
from tests.pages import PageText
from tests.staff import PAGE, csrf_token, hire, sign_in

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.db import Database

URL = "http://127.0.0.1:8000"
ADDRESS = "/staff/campaigns/25000/widget"


@pytest.fixture(autouse=True)
def campaign(database: Database) -> None:
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)


def read(client: FlaskClient, query: str = "") -> BeautifulSoup:
    answer = client.get(ADDRESS + query, headers=PAGE)
    assert answer.status_code == 200, answer.text
    return BeautifulSoup(answer.text, "html.parser")


def code(page: BeautifulSoup, name: str) -> BeautifulSoup:
    """The code of a snippet, as a browser would parse it where it is pasted."""
    found = page.select_one(f"#code-{name}")
    assert found
    return BeautifulSoup(found.text, "html.parser")


def element(page: BeautifulSoup, name: str = "html") -> dict[str, object]:
    found = code(page, name).find("membership-progress")
    assert found
    return dict(found.attrs)


def keep(client: FlaskClient, **form: str) -> TestResponse:
    form = {"csrf_token": csrf_token(client, "/staff"), **form}
    return client.post(f"{ADDRESS}/look", data=form, headers=PAGE)


def look(database: Database) -> tuple[str, str, int]:
    with database.transaction() as session:
        found = session.get_one(Campaign, "25000")
        return found.theme, found.accent, found.revision


def test_the_rail_leads_to_the_running_campaigns_widget(staff: FlaskClient) -> None:
    page = BeautifulSoup(staff.get("/staff", headers=PAGE).text, "html.parser")
    link = page.find("a", string="Widget")
    assert link
    answer = staff.get(str(link["href"]), headers=PAGE)
    assert answer.headers["Location"] == ADDRESS


def test_without_a_campaign_the_first_steps_are_shown(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        session.delete(session.get_one(Campaign, "25000").goals[0])
        session.flush()
        session.delete(session.get_one(Campaign, "25000"))
    answer = staff.get("/staff/widget", headers=PAGE)
    assert answer.headers["Location"] == "/staff/campaigns"


def test_the_code_of_the_usual_choice_is_the_shortest(staff: FlaskClient) -> None:
    page = read(staff)
    assert element(page) == {"campaign": "25000"}
    pasted = code(page, "html")
    script, style, link = pasted.script, pasted.style, pasted.a
    assert script
    assert style
    assert link
    assert script["src"] == f"{URL}/widget.js"
    assert "min-height" in style.text
    assert link["href"] == f"{URL}/campaigns/25000"
    assert link["referrerpolicy"] == "no-referrer-when-downgrade"
    assert link.text.strip()


def test_the_code_and_the_preview_have_the_choice(staff: FlaskClient) -> None:
    query = (
        "?variant=bar&theme=dark&accent=%23052962&tier=patron&interval=year&currency=EUR&lang=uk"
    )
    page = read(staff, query)
    chosen = {
        "campaign": "25000",
        "variant": "bar",
        "theme": "dark",
        "accent": "#052962",
        "tier": "patron",
        "interval": "year",
        "currency": "EUR",
        "lang": "uk",
    }
    for name in ("html", "ghost", "server"):
        assert element(page, name) == chosen
    preview = page.select_one("#preview membership-progress")
    assert preview
    assert preview.attrs == chosen
    link = code(page, "html").a
    assert link
    assert link.text == "Долучитися"
    frame = code(page, "iframe").iframe
    assert frame
    assert "variant=bar" in str(frame["src"])
    assert "theme=dark" in str(frame["src"])
    assert "allow-same-origin" not in str(frame["sandbox"])
    picture = code(page, "newsletter").img
    assert picture
    assert picture["src"] == f"{URL}/campaigns/25000/progress.png?lang=uk"


def test_what_the_snippets_point_at_is_there(staff: FlaskClient) -> None:
    page = read(staff, "?variant=compact&lang=uk")
    frame, picture = code(page, "iframe").iframe, code(page, "newsletter").img
    assert frame
    assert picture
    shown = staff.get(str(frame["src"]).removeprefix(URL))
    assert shown.status_code == 200
    assert 'variant="compact"' in shown.text
    assert staff.get(str(picture["src"]).removeprefix(URL)).mimetype == "image/png"
    address = page.select_one("#code-wordpress")
    assert address
    found = staff.get(f"/oembed?url={address.text}").json
    assert found
    assert found["type"] == "rich"
    assert "lang=uk" in found["html"]


def test_the_number_stands_in_the_code_for_servers(staff: FlaskClient) -> None:
    found = code(read(staff), "server").find("membership-progress")
    assert found
    assert found.get_text(" ", strip=True) == "0 of 25,000 members Become a member"


def test_the_pinned_script_is_the_one_of_now_with_its_value(staff: FlaskClient) -> None:
    script = code(read(staff), "pinned").script
    assert script
    assert script["integrity"] == current_script().integrity
    assert script["crossorigin"] == "anonymous"
    body = staff.get(str(script["src"]).removeprefix(URL)).data
    assert body == current_script().body


def test_a_headline_with_a_quote_stays_inside_its_attribute(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        session.get_one(Campaign, "25000").headlines = {"en": 'Say "yes" <b>', "uk": "Так"}
    frame = code(read(staff), "iframe").iframe
    assert frame
    assert frame["title"] == 'Say "yes" <b>'


@pytest.mark.parametrize("query", ["variant=heart", "tier=baron", "currency=JPY", "lang=xx"])
def test_what_there_is_not_is_refused(staff: FlaskClient, query: str) -> None:
    answer = staff.get(f"{ADDRESS}?{query}", headers=PAGE)
    assert answer.status_code == 400
    assert "error-400" in PageText.of(answer).marks


def test_a_colour_that_is_none_is_refused(staff: FlaskClient) -> None:
    answer = staff.get(f"{ADDRESS}?accent=red;x:y", headers=PAGE)
    assert answer.status_code == 422
    assert "#0b5d46" in answer.text


def test_a_look_that_is_kept_is_the_campaigns_everywhere(
    staff: FlaskClient, database: Database
) -> None:
    answer = keep(staff, theme="dark", accent="#052962", variant="bar")
    assert answer.status_code == 303
    assert "variant=bar" in answer.headers["Location"]
    assert "csrf" not in answer.headers["Location"]
    assert look(database) == ("dark", "#052962", 2)
    shown = staff.get("/campaigns/25000/appearance").json
    assert shown
    assert shown["look"] == {"theme": "dark", "accent": "#052962"}
    page = staff.get(answer.headers["Location"], headers=PAGE).text
    assert "notice-look-kept" in PageText.of(BeautifulSoup(page, "html.parser")).marks
    assert element(BeautifulSoup(page, "html.parser")) == {"campaign": "25000", "variant": "bar"}
    with database.transaction() as session:
        entries = session.scalars(
            select(AuditEntry).where(AuditEntry.action == "changed_look")
        ).all()
        assert [entry.subject for entry in entries] == ["campaign 25000"]


def test_the_same_look_again_is_no_change(staff: FlaskClient, database: Database) -> None:
    assert keep(staff, theme="auto", accent="#0B5D46").status_code == 303
    assert look(database) == ("auto", "#0b5d46", 1)
    with database.transaction() as session:
        assert not session.scalars(
            select(AuditEntry).where(AuditEntry.action == "changed_look")
        ).all()


def test_on_every_accent_black_or_white_can_be_read() -> None:
    steps = range(0, 256, 15)
    worst = min(
        contrast_of_words(f"#{red:02x}{green:02x}{blue:02x}")
        for red in steps
        for green in steps
        for blue in steps
    )
    assert worst >= LEAST_FOR_WORDS


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.FINANCE])
def test_who_may_not_change_campaigns_may_look_and_copy(
    client: FlaskClient, database: Database, role: Role
) -> None:
    sign_in(client, hire(database, role))
    page = read(client)
    assert element(page)
    assert page.select_one("button[formmethod=post]") is None
    assert keep(client, theme="dark").status_code == 403
    assert look(database) == ("auto", "#0b5d46", 1)


def test_a_look_without_the_forms_token_is_refused(staff: FlaskClient, database: Database) -> None:
    assert staff.post(f"{ADDRESS}/look", data={"theme": "dark"}).status_code == 400
    assert look(database) == ("auto", "#0b5d46", 1)


def test_the_page_speaks_ukrainian(staff: FlaskClient) -> None:
    answer = staff.get(ADDRESS, headers=PAGE | {"Accept-Language": "uk"})
    assert re.search("<h1>Віджет</h1>", answer.text)
    assert "Копіювати" in answer.text


@pytest.mark.parametrize(
    ("accent", "words", "bar"),
    [("#000000", 21, 21), ("#ffffff", 21, 1), ("#0b5d46", 7.9, 7.9), ("#ffe500", 16.5, 1.3)],
)
def test_contrast_is_measured_as_wcag_does(accent: str, words: float, bar: float) -> None:
    assert contrast_of_words(accent) == pytest.approx(words, abs=0.05)
    assert contrast_of_bar(accent) == pytest.approx(bar, abs=0.05)
