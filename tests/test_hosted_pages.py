"""The way to Stripe's pages: on Stripe's own hosts, and on a domain of the account's."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import select, update

from fundraiser.payments.stripe.account import HostedOrigin
from fundraiser.payments.stripe.hosted import lead_to
from tests.gifts import FORM
from tests.members import OURS, Olena

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database
    from tests.factories import Stripe

HEADERS = {"Origin": "http://127.0.0.1:8000", "Accept": "text/html"}


@pytest.fixture
def domain(stripe: Stripe) -> Iterator[str]:
    """The domain that Stripe's pages are at from now on."""
    stripe.open_shop()
    own = stripe.url.replace("127.0.0.1", "localhost")
    stripe.control("choices", checkout_domain=own)
    yield own
    stripe.control("choices", checkout_domain=None)


def press(client: FlaskClient, path: str, **typed: str) -> Any:
    """Press a form's button as it stands."""
    page = BeautifulSoup(client.get(path).text, "html.parser")
    fields = page.select("form input[type=hidden], form input[checked]")
    form = {str(field["name"]): str(field.get("value", "")) for field in fields}
    return client.post(path, data=form | typed, headers=HEADERS)


def may_lead_to(client: FlaskClient, path: str) -> set[str]:
    policy = client.get(path).headers["Content-Security-Policy"]
    found = re.search("form-action ([^;]*)", policy)
    assert found
    return set(found[1].split())


def onward(answer: Any) -> str:
    """Where a page of ours goes on to by itself, and by its link."""
    page = BeautifulSoup(answer.text, "html.parser")
    refresh = page.select_one("meta[http-equiv=refresh]")
    link = page.select_one("main a")
    assert refresh
    assert link
    assert refresh["content"] == f"0; url={link['href']}"
    return str(link["href"])


def test_to_stripes_own_host_the_form_is_redirected(client: FlaskClient, stripe: Stripe) -> None:
    stripe.open_shop()
    answer = press(client, "/join")
    assert answer.status_code == 303
    assert stripe.url in may_lead_to(client, "/join")


@pytest.mark.parametrize("path", ["/join", "/gift"])
def test_a_domain_of_the_accounts_own_is_reached_from_the_first_reader_on(
    client: FlaskClient, database: Database, domain: str, path: str
) -> None:
    gift = FORM if path == "/gift" else {}
    assert domain not in may_lead_to(client, path)
    first = press(client, path, **gift)
    assert first.status_code == 200, first.text
    assert onward(first).startswith(f"{domain}/")
    assert domain in may_lead_to(client, path)
    # A page that was opened before may still be open: it is not redirected yet.
    assert onward(press(client, path, **gift)).startswith(f"{domain}/")
    with database.transaction() as session:
        session.execute(update(HostedOrigin).values(seen_at=HostedOrigin.seen_at - timedelta(2)))
    later = press(client, path, **gift)
    assert (later.status_code, later.headers["Location"].startswith(f"{domain}/")) == (303, True)


def test_the_portal_is_reached_there_too(client: FlaskClient, stripe: Stripe) -> None:
    stripe.open_shop()
    olena = Olena(stripe, client)
    path = olena.path("card")
    page = BeautifulSoup(client.get("/account", headers=OURS).text, "html.parser")
    form = page.select_one(f"form[action='{path}']")
    assert form
    fields = {str(one["name"]): str(one.get("value", "")) for one in form.select("input[name]")}
    own = stripe.url.replace("127.0.0.1", "localhost")
    stripe.control("choices", checkout_domain=own)
    try:
        answer = client.post(path, data=fields, headers=OURS)
    finally:
        stripe.control("choices", checkout_domain=None)
    assert onward(answer).startswith(f"{own}/portal/")
    assert own in may_lead_to(client, "/account")


@pytest.mark.parametrize(
    "address", ["http://evil.example/pay", "javascript:alert(1)", "https://a@evil.example/"]
)
def test_what_no_policy_may_name_is_not_remembered(
    app: FundraiserApp, database: Database, address: str
) -> None:
    with app.test_request_context("/join"), database.transaction() as session:
        lead_to(session, address)
        assert session.scalars(select(HostedOrigin)).all() == []


def test_only_so_many_are_remembered(app: FundraiserApp, database: Database) -> None:
    with app.test_request_context("/join"), database.transaction() as session:
        for number in range(20):
            lead_to(session, f"https://pay{number}.example/c/1")
        assert len(session.scalars(select(HostedOrigin)).all()) == 8
