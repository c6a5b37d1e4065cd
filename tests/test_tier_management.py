"""Staff make memberships and their prices, here and at Stripe."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import select

from fundraiser.members.models import Interval
from fundraiser.payments.models import OldPrice, Price, Tier
from fundraiser.payments.products import missing_from_catalogue, publish_next
from fundraiser.payments.stripe.gateway import current_gateway
from tests.factories import make_campaign, make_tiers
from tests.management import (
    REFUSED,
    fields,
    landed,
    new_tier,
    post,
    said,
    shop_by_hand,  # noqa: F401 - a fixture
    staff_browser,  # noqa: F401 - a fixture
    unique,
)
from tests.pages import PageText
from tests.staff import PAGE, csrf_token, names, parse, wrong

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database
    from tests.factories import Stripe


def active_prices(stripe: Stripe, tier: Tier) -> list[tuple[str, int]]:
    """The prices at Stripe by which one can join."""
    found = stripe.call(
        "GET", "prices", product=f"fundraiser_{tier.slug}", active="true", limit=100
    )
    return sorted((price["recurring"]["interval"], price["unit_amount"]) for price in found["data"])


def tier_of(database: Database, name: str) -> Tier:
    with database.transaction() as session:
        return session.scalars(select(Tier).where(Tier.names["en"].astext == name)).one()


def test_a_new_price_is_made_and_the_old_one_archived_once_readers_are_through(
    staff: FlaskClient, stripe: Stripe, database: Database
) -> None:
    name = unique("Reader")
    new_tier(staff, name, **{"perks-en": "A letter each week\nNo advertising"})
    tier = tier_of(database, name)
    path = f"/staff/tiers/{tier.slug}"
    assert active_prices(stripe, tier) == [("month", 1000), ("year", 10000)]
    form = fields(staff, path) | {"prices-month-GBP": "12,50", "prices-month-EUR": "13"}
    for _ in range(2):
        assert {"notice-published", "notice-unchanged"} & {
            *landed(staff, post(staff, path, **form)).marks
        }
    tier = tier_of(database, name)
    current = {(p.interval, p.currency): p.amount for p in tier.prices}
    assert current[Interval.MONTH, "GBP"] == 1250
    assert current[Interval.MONTH, "EUR"] == 1300
    with database.transaction() as session:
        assert not publish_next(session, current_gateway())
        old = session.scalars(select(OldPrice)).one()
        assert (old.amount, old.archived_at) == (1000, None)
        old.retired_at -= timedelta(minutes=2)
    with database.transaction() as session:
        assert publish_next(session, current_gateway())
        assert not publish_next(session, current_gateway())
    assert active_prices(stripe, tier) == [("month", 1250), ("month", 1300), ("year", 10000)]
    back = fields(staff, path) | {"prices-month-GBP": "10"}
    assert post(staff, path, **back).status_code == 303
    with database.transaction() as session:
        stripe_id = session.scalars(
            select(Price.stripe_id).where(Price.tier_slug == tier.slug, Price.amount == 1000)
        ).one()
    assert stripe_id != old.stripe_id
    assert stripe.call("GET", f"prices/{stripe_id}")["active"]


def test_with_stripe_away_nothing_is_lost_and_it_is_tried_again(
    staff: FlaskClient, app: FundraiserApp, database: Database
) -> None:
    """Nothing listens where Stripe would be."""
    name = unique("Reader")
    marks = landed(staff, new_tier(staff, name)).marks
    assert {"notice-stripe-away", "waits-for-stripe"} <= {*marks}
    tier = tier_of(database, name)
    with database.transaction() as session:
        # The membership's product and two prices, and the product of contributions.
        assert missing_from_catalogue(session) == 4
    publication = f"/staff/tiers/{tier.slug}/publication"
    assert publication in staff.get(f"/staff/tiers/{tier.slug}").text
    assert "notice-stripe-away" in landed(staff, post(staff, publication)).marks
    assert app.extensions["gateway"]


def test_until_stripe_has_the_new_price_readers_pay_the_old_one(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
        for price in session.scalars(select(Price)):
            price.stripe_id = f"price_{price.id}"
        for tier in session.scalars(select(Tier)):
            tier.product_id = f"fundraiser_{tier.slug}"
    form = fields(staff, "/staff/tiers/member") | {"prices-month-GBP": "12"}
    answer = post(staff, "/staff/tiers/member", **form)
    assert "notice-stripe-away" in landed(staff, answer).marks
    assert "£10" in said(staff.get("/?currency=GBP"))
    assert "£12" not in said(staff.get("/?currency=GBP"))
    shown = fields(staff, "/staff/tiers/member")
    assert shown["prices-month-GBP"] == "12"


def test_a_name_and_the_end_of_an_offer_reach_stripe(
    staff: FlaskClient, stripe: Stripe, database: Database
) -> None:
    name = unique("Reader")
    new_tier(staff, name)
    tier = tier_of(database, name)
    path = f"/staff/tiers/{tier.slug}"
    form = fields(staff, path) | {"names-en": f"{name} plus", "names-uk": "Читач плюс"}
    assert post(staff, path, **form).status_code == 303
    product = f"products/fundraiser_{tier.slug}"
    assert stripe.call("GET", product)["name"] == f"{name} plus"
    for _ in range(2):
        assert "notice-published" in landed(staff, post(staff, f"{path}/retirement")).marks
    assert stripe.call("GET", product)["active"] is False
    assert "notice-published" in landed(staff, post(staff, f"{path}/return")).marks
    assert stripe.call("GET", product)["active"] is True


@pytest.mark.usefixtures("shop")
def test_what_a_campaign_has_chosen_beforehand_stays_on_offer(staff: FlaskClient) -> None:
    answer = post(staff, "/staff/tiers/member/retirement")
    assert answer.status_code == REFUSED
    assert "tier-chosen" in PageText.of(answer).marks
    form = fields(staff, "/staff/tiers/member") | {"prices-month-GBP": ""}
    answer = post(staff, "/staff/tiers/member", **form)
    assert answer.status_code == REFUSED
    assert "GBP" in PageText.of(answer).parts["price-chosen"]


@pytest.mark.usefixtures("shop")
def test_the_order_is_the_readers_order_however_often_the_button_is_pressed(
    staff: FlaskClient,
) -> None:
    for _ in range(2):
        assert post(staff, "/staff/tiers/patron/place", place="1").status_code == 303
    page = BeautifulSoup(staff.get("/").text, "html.parser")
    assert [name.text for name in page.select(".tier-name")] == ["Reader", "Patron", "Member"]
    assert post(staff, "/staff/tiers/patron/place", place="first").status_code == 400
    assert post(staff, "/staff/tiers/patron/place", place="9" * 23).status_code == 303


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"names-en": ""}, ""),
        ({"names-en": "Reader"}, "name-taken"),
        ({"names-en": "Contribution"}, "name-taken"),
        ({"names-en": "Друг"}, "no-slug"),
        ({"prices-month-GBP": "ten"}, "12.50"),
        ({"prices-month-GBP": "-3"}, "12.50"),
        ({"prices-month-GBP": "1"}, "£2 "),
        ({"prices-month-GBP": ""}, ""),
    ],
)
def test_a_membership_that_can_not_be_is_said_so(
    staff: FlaskClient, form: dict[str, str], told: str
) -> None:
    typed = {"names-en": "Friend", "descriptions-uk": "Друг газети", **form}
    answer = new_tier(staff, typed.pop("names-en"), **typed)
    assert answer.status_code == REFUSED
    page = parse(answer)
    (error,) = wrong(page).values()
    assert told in names(page) or told in error
    assert "Друг газети" in answer.text


@pytest.mark.usefixtures("shop")
def test_the_second_who_edits_a_membership_is_told(staff: FlaskClient, database: Database) -> None:
    mine = fields(staff, "/staff/tiers/member") | {"prices-year-GBP": "90"}
    with database.transaction() as session:
        session.get_one(Tier, "member").names = {"en": "Regular", "uk": "Сталий"}
    answer = post(staff, "/staff/tiers/member", **mine)
    assert answer.status_code == 409
    theirs = BeautifulSoup(answer.text, "html.parser").select_one(
        "#conflict li:has([href='#names-en'])"
    )
    assert theirs
    assert theirs.text.endswith(": Regular")
    assert 'value="90"' in answer.text


def test_two_clicks_at_once_make_one_membership_and_one_product(
    staff: FlaskClient, stripe: Stripe, database: Database
) -> None:
    name = unique("Twice")
    form = fields(staff, "/staff/tiers/new") | {"names-en": name, "prices-month-EUR": "9"}
    form["csrf_token"] = csrf_token(staff, "/staff")
    cookie = staff.get_cookie("staff")
    assert cookie

    def click(_number: int) -> int:
        client = staff.application.test_client()
        client.set_cookie("staff", cookie.value)
        return client.post("/staff/tiers", data=form, headers=PAGE).status_code

    with ThreadPoolExecutor(4) as clicks:
        assert list(clicks.map(click, range(4))) == [303] * 4
    tier = tier_of(database, name)
    assert active_prices(stripe, tier) == [("month", 900)]


@pytest.mark.usefixtures("shop")
def test_what_members_get_stands_on_the_readers_pages(staff: FlaskClient) -> None:
    form = fields(staff, "/staff/tiers/member") | {"perks-en": "A letter each week\r\nNo ads"}
    assert post(staff, "/staff/tiers/member", **form).status_code == 303
    for path in ("/", "/join"):
        words = said(staff.get(path))
        assert "A letter each week" in words
        assert "No ads" in words


def test_readers_find_only_intervals_and_currencies_that_are_sold(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
        for price in session.scalars(select(Price)):
            if price.interval is Interval.YEAR or price.currency == "USD":
                session.delete(price)
    for path in ("/", "/join"):
        switches = BeautifulSoup(staff.get(path).text, "html.parser").select(
            ".switches a, .switches button"
        )
        texts = [link.text for link in switches]
        assert texts[-2:] == ["€", "£"]
        intervals = [str(link.get("href") or link["value"]) for link in switches[:-2]]
        assert not any("interval=year" in address for address in intervals)
    shown = staff.get("/campaigns/25000/appearance").json
    assert shown
    assert (shown["intervals"], shown["currencies"]) == (["month"], ["EUR", "GBP"])
