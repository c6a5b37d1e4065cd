"""Staff who set up the shop and the campaign: what the tests of both share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from bs4 import BeautifulSoup

from tests.factories import make_campaign, make_tiers
from tests.pages import PageText
from tests.staff import PAGE, csrf_token, hire, sign_in

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.db import Database

REFUSED = 422


@pytest.fixture(name="staff")
def staff_browser(client: FlaskClient, database: Database) -> FlaskClient:
    """A browser in which a manager is signed in."""
    sign_in(client, hire(database))
    client.environ_base["HTTP_ACCEPT"] = "text/html"
    return client


@pytest.fixture(name="shop")
def shop_by_hand(database: Database) -> None:
    """Tiers, and the campaign of 25,000, both as they were made by hand."""
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)


def fields(client: FlaskClient, path: str) -> dict[str, Any]:
    """What a browser would send of the page's long form, as it stands there."""
    page = BeautifulSoup(client.get(path, headers=PAGE).text, "html.parser")
    form = page.select_one("form.long-form")
    assert form, page.text
    sent: dict[str, Any] = {}
    for found in form.select("input, textarea, select"):
        name, kind = str(found.get("name")), found.get("type")
        if found.name == "textarea":
            sent[name] = found.text
        elif found.name == "select":
            chosen = found.select_one("option[selected]") or found.select_one("option")
            sent[name] = str(chosen["value"]) if chosen else ""
        elif kind == "checkbox":
            if found.has_attr("checked"):
                sent.setdefault(name, []).append(str(found["value"]))
        elif kind != "radio" or found.has_attr("checked"):
            sent[name] = str(found.get("value", ""))
    return sent


def post(client: FlaskClient, path: str, **form: Any) -> TestResponse:
    return client.post(
        path, data={"csrf_token": csrf_token(client, "/staff"), **form}, headers=PAGE
    )


def said(answer: TestResponse) -> str:
    return BeautifulSoup(answer.text, "html.parser").get_text(" ", strip=True)


def landed(client: FlaskClient, answer: TestResponse) -> PageText:
    """The page that the answer leads to."""
    assert answer.status_code == 303, said(answer)
    return PageText.of(client.get(answer.headers["Location"], headers=PAGE))


def new_tier(client: FlaskClient, name: str, **form: str) -> TestResponse:
    typed = {"names-en": name, "prices-month-GBP": "10", "prices-year-GBP": "100", **form}
    return post(client, "/staff/tiers", **fields(client, "/staff/tiers/new") | typed)


def new_campaign(client: FlaskClient, **form: Any) -> TestResponse:
    typed = {
        "slug": "spring-2030",
        "goal": "5 000",
        "headlines-en": "Keep the lights on",
        "messages-en": "Help us reach 5,000 members by the spring",
        "deadline": "2060-03-31T23:59",
        "sites": "https://news.example.org",
        "default_currency": "GBP",
        **form,
    }
    return post(client, "/staff/campaigns", **fields(client, "/staff/campaigns/new") | typed)


def unique(name: str) -> str:
    return f"{name} {datetime.now(UTC).timestamp():.6f}".replace(".", " ")
