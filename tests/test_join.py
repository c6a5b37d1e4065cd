"""Joining: the form, what is refused, the way to Stripe's page and back."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from fundraiser.joining.join import one_later
from fundraiser.joining.reminders import Reminder
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Interval, Membership
from fundraiser.payments.models import Checkout
from fundraiser.payments.stripe.gateway import Gateway
from tests.factories import make_campaign, make_tiers
from tests.joining import fill_in, form_of, read, send, thanks_of
from tests.staff import names, shown, words, wrong

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.config import Settings
    from fundraiser.db import Database
    from tests.factories import Stripe

ARTICLE = "http://127.0.0.1:8001/2026/crane?page=2#top"


@pytest.fixture(autouse=True)
def browser(client: FlaskClient) -> None:
    """Whoever asks wants pages, in English unless said otherwise."""
    client.environ_base["HTTP_ACCEPT"] = "text/html"


@pytest.fixture
def shop(database: Database) -> None:
    """A campaign whose tiers are not at Stripe: enough for what never gets there."""
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)


def said(answer: TestResponse) -> str:
    return read(answer).get_text(" ", strip=True)


@pytest.mark.usefixtures("shop")
def test_the_form_opens_with_the_choice_of_the_link(client: FlaskClient) -> None:
    form = fill_in(
        client, campaign="25000", tier="patron", interval="year", currency="EUR", ref="a/b"
    )
    del form["nonce"]
    assert form == {
        "campaign": "25000",
        "tier": "patron",
        "interval": "year",
        "currency": "EUR",
        "ref": "a/b",
        "amount": "",
    }


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("query", "utm"),
    [
        ({"utm_source": "news", "utm_campaign": "may"}, "news / may"),
        ({"return": ARTICLE.replace("#", "&utm_source=x&utm_medium=email#")}, "x / email"),
        ({"utm": "a / b", "utm_source": "c"}, "a / b"),
    ],
)
def test_the_tags_of_the_link_or_of_the_articles_link_are_kept(
    client: FlaskClient, query: dict[str, str], utm: str
) -> None:
    assert fill_in(client, **query)["utm"] == utm
    tags = {name: value for name, value in query.items() if name.startswith("utm")}
    page = read(client.get("/campaigns/25000", query_string=tags))
    links = [str(link["href"]) for link in page.select("a[href*='/join']")]
    assert all(("utm=" in link) == bool(tags) for link in links)


@pytest.mark.usefixtures("shop")
def test_without_a_choice_the_campaigns_own_stands(client: FlaskClient) -> None:
    form = fill_in(client)
    assert (form["tier"], form["interval"], form["currency"]) == ("member", "month", "GBP")


@pytest.mark.usefixtures("shop")
def test_covering_the_fee_says_what_it_adds(client: FlaskClient) -> None:
    text = said(client.get("/join"))
    assert [fee in text for fee in ("£0.28", "£0.36", "£0.59")] == [True] * 3


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("query", "options"),
    [({"tier": "gold"}, ""), ({"currency": "XAU"}, "EUR, GBP, USD"), ({"interval": "week"}, "")],
)
def test_what_is_not_on_offer_is_said_above_the_form(
    client: FlaskClient, query: dict[str, str], options: str
) -> None:
    answer = client.get("/join", query_string=query)
    assert answer.status_code == 422
    errors = wrong(read(answer))
    assert errors.keys() == query.keys()
    assert options in "".join(errors.values())
    assert read(answer).select_one("#pay") is not None


@pytest.mark.usefixtures("shop")
def test_a_way_back_to_a_site_that_is_not_on_the_list_is_refused_and_the_form_stands(
    client: FlaskClient,
) -> None:
    for address in (
        "https://evil.example/",
        "//evil.example",
        "javascript:alert(1)",
        "http://127.0.0.1:8001.evil.example/",
        "http://127.0.0.1:8001\\@evil.example/",
        "http://[",
    ):
        query = {"return": address, "tier": "patron"}
        answers = client.get("/join", query_string=query), send(client, fill_in(client), **query)
        for answer in answers:
            assert answer.status_code == 400, address
            assert "astray" in names(read(answer))
            assert read(answer).select_one("[value=patron][checked]") is not None
            assert read(answer).select_one("[name=return]") is None


@pytest.mark.usefixtures("shop")
def test_amounts_are_suggested_and_one_press_fills_the_field(client: FlaskClient) -> None:
    for interval, amounts in (("once", [5, 10, 25, 50, 100]), ("month", [50, 100])):
        page = read(client.get(f"/join?interval={interval}"))
        values = [str(one["value"]) for one in page.select("button[value^='amount=']")]
        assert values == [f"amount={amount}" for amount in amounts]
        typed = {"email": "anna@example.org", "write_to_me": "yes", "cover_fee": "yes"}
        again = read(send(client, form_of(page) | typed, switch="amount=50"))
        filled = again.select_one("#amount")
        assert filled
        assert filled["value"] == "50"
        assert again.select_one("[name=cover_fee][checked]"), "nothing typed is lost"


def way_back(client: FlaskClient, path: str, came_from: str) -> str | None:
    """Where the form leads who followed a plain link and chose to pay by the year."""
    page = read(client.get(path, headers={"Referer": came_from}))
    inside = {"Referer": f"http://127.0.0.1:8000{path}"}
    if link := page.select_one("nav a[href*='interval=year']"):
        page = read(client.get(str(link["href"]), headers=inside))
    if form := page.select_one("form[method=get][action^='/join']"):
        chosen = form.select("[type=hidden], [checked]")
        query = {str(field["name"]): str(field["value"]) for field in chosen}
        page = read(client.get("/join", query_string=query, headers=inside))
    if page.select_one("[name=switch][value='interval=year']:not([aria-current])"):
        page = read(send(client, form_of(page), switch="interval=year"))
    assert page.select_one("[name=interval][value=year]")
    field = page.select_one("[name=return]")
    return str(field["value"]) if field else None


@pytest.mark.usefixtures("shop")
def test_a_plain_link_leads_back_to_where_the_browser_says_it_stood_if_that_is_on_the_list(
    client: FlaskClient,
) -> None:
    article = "http://127.0.0.1:8001/2026/crane?page=2"
    for path in ("/join", "/campaigns/25000", "/"):
        assert way_back(client, path, article) == article
    assert way_back(client, "/join", "http://127.0.0.1:8001/") == "http://127.0.0.1:8001/"
    assert way_back(client, f"/join?return={article[:-7]}", article) == article[:-7]
    for astray in (
        "https://evil.example/2026/crane",
        "http://127.0.0.1:8001\\@evil.example/",
        "http://127.0.0.1:8001/" + "a" * 2000,
        "http://127.0.0.1:8000/campaigns/25000",
        "http://[",
    ):
        assert way_back(client, "/join", astray) is None


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "path",
    ["/join?campaign=a%00", "/join?ref=%00", "/campaigns/a%00", "/join/thanks?session_id=%00"],
)
def test_an_address_with_a_nul_in_it_is_refused(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 400
    assert send(client, fill_in(client), ref="a\0").status_code == 400


@pytest.mark.usefixtures("open_shop")
def test_an_address_is_kept_only_of_who_ticked_that_we_may_write(
    client: FlaskClient, database: Database
) -> None:
    def addresses() -> list[str]:
        with database.transaction() as session:
            return list(session.scalars(select(Reminder.email)))

    assert send(client, fill_in(client), email="reader@example.org").status_code == 303
    assert addresses() == []
    refused = send(client, fill_in(client), write_to_me="yes", email="reader")
    assert refused.status_code == 422
    assert list(wrong(read(refused))) == ["email"]
    for _ in range(2):  # a second beginning is the same reader: one e-mail
        answer = send(client, fill_in(client), write_to_me="yes", email=" Reader@example.org ")
        assert answer.status_code == 303
    assert addresses() == ["Reader@example.org"]
    with database.transaction() as session:
        newest = session.scalars(select(Checkout.id).order_by(Checkout.created_at.desc())).first()
        assert session.scalars(select(Reminder.checkout_id)).one() == newest


@pytest.mark.usefixtures("shop")
def test_an_unknown_campaign_can_not_be_joined(client: FlaskClient) -> None:
    assert client.get("/join?campaign=none").status_code == 404
    assert send(client, fill_in(client), campaign="none").status_code == 404


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("origin", ["https://evil.example", "null", None])
def test_a_form_of_another_site_is_refused(client: FlaskClient, origin: str | None) -> None:
    headers = {"Origin": origin} if origin else {}
    answer = client.post("/join", data=fill_in(client), headers=headers)
    assert answer.status_code == 403
    assert "error-403" in names(read(answer))


@pytest.mark.usefixtures("shop")
def test_a_form_without_its_nonce_is_refused(client: FlaskClient) -> None:
    assert send(client, fill_in(client), nonce="").status_code == 400


@pytest.mark.usefixtures("shop")
def test_before_the_tiers_are_at_stripe_nothing_can_be_paid(client: FlaskClient) -> None:
    answer = send(client, fill_in(client), amount="12")
    assert answer.status_code == 503
    assert "not-set-up" in names(read(answer))


@pytest.mark.usefixtures("open_shop")
def test_where_stripe_is_silent_the_form_stays_and_says_that_nothing_was_taken(
    client: FlaskClient, stripe: Stripe, settings: Settings
) -> None:
    form = fill_in(client, tier="patron")
    stripe.app.extensions["gateway"] = Gateway(settings, stripe.app.database)
    answer = send(client, form)
    assert answer.status_code == 503
    assert "not-begun" in names(read(answer))
    assert read(answer).select_one("[value=patron][checked]") is not None


@pytest.mark.usefixtures("open_shop")
@pytest.mark.parametrize(
    ("amount", "told"),
    [("1.99", "£2 "), ("a lot", "12.50"), ("-5", "12.50"), ("9000000", "£1,000,000 ")],
)
def test_an_amount_that_can_not_be_paid_keeps_what_was_typed(
    client: FlaskClient, amount: str, told: str
) -> None:
    answer = send(client, fill_in(client, tier="patron"), amount=amount, cover_fee="yes")
    page = read(answer)
    field = page.select_one("#amount")
    assert answer.status_code == 422
    assert told in wrong(page)["amount"]
    assert field is not None
    assert field["value"] == amount
    assert field["aria-invalid"] == "true"
    assert page.select_one("[name=cover_fee][checked]") is not None
    assert page.select_one("[value=patron][checked]") is not None


@pytest.mark.usefixtures("open_shop")
def test_a_contribution_needs_an_amount(client: FlaskClient) -> None:
    answer = send(client, fill_in(client, interval="once"))
    assert answer.status_code == 422
    assert list(wrong(read(answer))) == ["amount"]


@pytest.mark.usefixtures("open_shop")
def test_the_button_leads_to_the_payment_page(client: FlaskClient, stripe: Stripe) -> None:
    answer = send(client, fill_in(client))
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(f"{stripe.url}/pay/cs_")


@pytest.mark.usefixtures("open_shop")
def test_the_form_sent_twice_is_one_checkout(client: FlaskClient, database: Database) -> None:
    form = fill_in(client)
    places = {send(client, form).headers["Location"] for _ in range(2)}
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Checkout)) == 1
    assert len(places) == 1


@pytest.mark.usefixtures("open_shop")
def test_a_reader_who_pays_is_a_member_with_a_number_and_a_way_back(
    client: FlaskClient, stripe: Stripe, database: Database
) -> None:
    form = fill_in(client, **{"return": ARTICLE, "utm_source": "news"})
    page = send(client, form).headers["Location"]
    stripe.pay(page, "first@example.org")
    answer = client.get(thanks_of(page))
    thanks = read(answer)
    back = thanks.select_one(".actions a")
    assert "1" in shown(thanks, "outcome-joined").split()
    ways = [link["href"] for link in thanks.select("[data-test=lead-on] a")]
    passed_on = thanks.select_one("[data-test=share] input")
    assert passed_on
    assert str(passed_on["value"]).endswith("/campaigns/25000")
    before = thanks.select_one("[data-joined]")
    assert before
    assert before["data-before"] == "0", "from which the number rises"
    assert ways == ["/account/invitation", "/account/details", "/account"]
    assert "£10" in words(thanks, ".standfirst")
    assert words(thanks, ".tally-figure") == "1"
    assert back is not None
    assert back["href"] == "http://127.0.0.1:8001/2026/crane?page=2#joined=25000"
    with database.transaction() as session:
        assert read_balance(session).members == 1
        assert session.scalars(select(Membership.utm)).one() == "news"


@pytest.mark.usefixtures("open_shop")
def test_looking_at_the_thanks_page_again_counts_nobody_twice(
    client: FlaskClient, stripe: Stripe, database: Database
) -> None:
    page = stripe.checkout()
    stripe.pay(page, "again@example.org")
    first, second = (said(client.get(thanks_of(page))) for _ in range(2))
    assert first == second
    with database.transaction() as session:
        assert read_balance(session).version == 1


@pytest.mark.usefixtures("open_shop")
def test_a_page_that_was_paid_in_ukrainian_thanks_in_ukrainian(
    client: FlaskClient, stripe: Stripe
) -> None:
    page = stripe.checkout(language="uk")
    stripe.pay(page, "uk@example.org")
    assert "Ви з нами під номером 1" in said(client.get(thanks_of(page)))


@pytest.mark.usefixtures("open_shop")
def test_a_debit_in_process_counts_and_says_so(client: FlaskClient, stripe: Stripe) -> None:
    page = stripe.checkout(currency="EUR")
    stripe.pay(page, "iban@example.org", method="sepa_debit", iban="DE89370400440532013000")
    thanks = read(client.get(thanks_of(page)))
    assert "1" in shown(thanks, "outcome-in_process").split()
    assert "€10" in words(thanks, ".standfirst")


@pytest.mark.usefixtures("open_shop")
def test_a_contribution_is_thanked_for_and_not_counted(client: FlaskClient, stripe: Stripe) -> None:
    page = send(client, fill_in(client, interval="once"), amount="20").headers["Location"]
    stripe.pay(page, "once@example.org")
    thanks = read(client.get(thanks_of(page)))
    assert "£20" in shown(thanks, "outcome-contributed")
    assert "not-counted" in names(thanks)
    assert words(thanks, ".tally-figure") == "0"


@pytest.mark.usefixtures("open_shop")
def test_a_member_who_joins_again_is_told_that_it_is_paid_back(
    client: FlaskClient, stripe: Stripe
) -> None:
    stripe.settle(stripe.join("twice@example.org"))
    stripe.advance(minutes=1)
    page = stripe.checkout(tier="patron")
    stripe.pay(page, "Twice@example.org")
    thanks = read(client.get(thanks_of(page)))
    assert {"outcome-second", "canceled"} <= names(thanks)
    assert "£25" in shown(thanks, "refunded")
    assert words(thanks, ".tally-figure") == "1"


@pytest.mark.usefixtures("open_shop")
def test_a_payment_that_was_not_made_can_be_tried_again(client: FlaskClient) -> None:
    page = send(client, fill_in(client, tier="reader"), amount="7.50").headers["Location"]
    answer = client.get(thanks_of(page))
    again = read(answer).select_one(".actions a.button-pay")
    assert {"outcome-not_paid", "not-charged"} <= names(read(answer))
    assert again is not None
    form = read(client.get(str(again["href"])))
    amount = form.select_one("#amount")
    assert amount is not None
    assert amount["value"] == "7.50"
    assert form.select_one("[value=reader][checked]") is not None


@pytest.mark.usefixtures("open_shop")
def test_back_from_a_payment_that_was_made_leads_to_the_thanks(
    client: FlaskClient, stripe: Stripe, database: Database
) -> None:
    stripe.settle(stripe.join("back@example.org"))
    with database.transaction() as session:
        checkout = session.scalars(select(Checkout)).one()
    answer = client.get("/join", query_string={"canceled": checkout.id.hex})
    assert answer.status_code == 302
    assert checkout.session_id is not None
    assert answer.headers["Location"].endswith(checkout.session_id)


@pytest.mark.usefixtures("open_shop")
def test_where_nobody_knows_yet_the_page_looks_again_by_itself(
    client: FlaskClient, stripe: Stripe, settings: Settings
) -> None:
    page = stripe.checkout()
    stripe.pay(page, "slow@example.org")
    # These settings have an address for Stripe at which nobody answers.
    stripe.app.extensions["gateway"] = Gateway(settings, stripe.app.database)
    answer = client.get(thanks_of(page))
    refresh = read(answer).select_one("meta[http-equiv=refresh]")
    assert answer.status_code == 200
    assert {"outcome-waiting", "dont-pay-again"} <= names(read(answer))
    assert refresh is not None
    assert str(refresh["content"]).startswith("3; url=/join/thanks?session_id=cs_")


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "path", ["/join/thanks", "/join/thanks?session_id=cs_not_ours", "/join?canceled=nonsense"]
)
def test_a_payment_that_is_not_ours_is_not_found(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert {"error-404", "payment-not-found"} <= names(read(answer))
    assert client.get(f"/join?canceled={uuid4().hex}").status_code == 404


@pytest.mark.parametrize(
    ("day", "interval", "later"),
    [
        ("2026-03-03", Interval.MONTH, "2026-04-03"),
        ("2026-01-31", Interval.MONTH, "2026-02-28"),
        ("2026-12-15", Interval.MONTH, "2027-01-15"),
        ("2028-02-29", Interval.YEAR, "2029-02-28"),
    ],
)
def test_the_next_payment_is_on_the_same_day_or_the_months_last(
    day: str, interval: Interval, later: str
) -> None:
    at = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/London"))
    assert one_later(at, interval).date().isoformat() == later


TYPED = {
    "tier": "patron",
    "amount": "62,50",
    "cover_fee": "yes",
    "write_to_me": "yes",
    "email": "olena@example.org",
}


def typed_in(page: BeautifulSoup) -> dict[str, str]:
    """What the page shows of it: chosen, typed and ticked."""
    chosen = page.select("#join [name=tier][checked], #join [type=hidden][name=tier]")
    chosen += page.select("#join [type=hidden]:is([name=email], [name=write_to_me])")
    fields = chosen + page.select("#amount, #email, #join [type=checkbox][checked]")
    return {str(field["name"]): str(field["value"]) for field in fields}


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("switch", ["interval=year", "currency=USD", "interval=month"])
def test_a_switch_keeps_all_that_was_chosen_typed_and_ticked(
    client: FlaskClient, switch: str
) -> None:
    answer = send(client, fill_in(client, ref="a/b"), **TYPED, switch=switch)
    page = read(answer)
    assert (answer.status_code, wrong(page)) == (200, {})
    assert typed_in(page) == TYPED
    name, _equals, value = switch.partition("=")
    assert page.select_one(f"[name={name}][value='{value}']")
    assert page.select_one("[name=ref][value='a/b']")
    # The language's link has the choice, and nothing that is somebody's own.
    link = str(page.select_one(".masthead [hreflang]")["href"])  # type: ignore[index]
    assert f"{name}={value}" in link
    assert "olena" not in link


@pytest.mark.usefixtures("shop")
def test_what_was_withdrawn_stays_withdrawn_over_a_switch_and_an_error(client: FlaskClient) -> None:
    form = fill_in(client, tier="reader") | {"amount": "x", "email": "olena@"}
    for changed in ({"switch": "currency=EUR"}, {}):
        page = read(send(client, form, **changed))
        assert typed_in(page) == {"tier": "reader", "amount": "x", "email": "olena@"}


@pytest.mark.usefixtures("shop")
def test_who_looks_at_giving_once_finds_the_membership_again(client: FlaskClient) -> None:
    once = read(send(client, fill_in(client), **TYPED, switch="interval=once"))
    assert once.select_one("[type=radio]") is None
    assert typed_in(once) == TYPED
    form = fill_in(client, interval="once") | typed_in(once)
    again = read(send(client, form, switch="interval=month"))
    assert typed_in(again) == TYPED


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("switch", ["interval=week", "currency=XAU", "nonce=", "campaign=x", "x"])
def test_a_switch_that_is_none_changes_nothing(client: FlaskClient, switch: str) -> None:
    answer = send(client, fill_in(client), **TYPED, switch=switch)
    assert answer.status_code == 200
    assert typed_in(read(answer)) == TYPED


def test_the_address_for_the_reminder_is_filled_in_at_checkout(
    client: FlaskClient, stripe: Stripe
) -> None:
    stripe.open_shop()
    for ticked, typed, filled_in in (
        ({"write_to_me": "yes"}, "olena@example.org", "olena@example.org"),
        ({"write_to_me": "yes"}, "olena@приклад.укр", "olena@xn--80aikifvh.xn--j1amh"),
        ({}, "olena@example.org", None),
    ):
        answer = send(client, fill_in(client), email=typed, **ticked)
        assert answer.status_code == 303, wrong(read(answer))
        session_id = answer.headers["Location"].rsplit("/", 1)[1]
        made = stripe.call("GET", f"checkout/sessions/{session_id}")
        assert made["customer_email"] == filled_in


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("address", ["ü@münchen.example", "користувач@приклад.укр"])
def test_an_address_that_no_mail_server_takes_is_refused_before_paying_and_says_why(
    client: FlaskClient, address: str
) -> None:
    answer = send(client, fill_in(client), write_to_me="yes", email=address)
    assert answer.status_code == 422
    assert "address-not-ascii" in names(read(answer))
    assert list(wrong(read(answer))) == ["email"]
    assert address in str(read(answer).select_one("#email"))
    nonsense = send(client, fill_in(client), write_to_me="yes", email="olena@")
    assert "no-address" in names(read(nonsense))


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("typed", "hint"), [("1,000", "1000"), ("1.000", "1000"), ("25 €", "EUR")])
def test_an_amount_that_may_mean_another_is_asked_about(
    client: FlaskClient, typed: str, hint: str
) -> None:
    answer = send(client, fill_in(client), amount=typed)
    assert answer.status_code == 422
    assert hint in wrong(read(answer))["amount"]
    assert typed_in(read(answer))["amount"] == typed


@pytest.mark.parametrize(
    ("chosen", "bought"),
    [
        ({"tier": "patron", "amount": "2"}, "reader"),
        ({"tier": "patron", "amount": "12"}, "member"),
        ({"tier": "patron", "amount": "200"}, "patron"),
        ({"tier": "reader", "amount": "200"}, "reader"),
        ({"tier": "member", "amount": ""}, "member"),
    ],
)
def test_a_tier_costs_its_price_at_least(
    client: FlaskClient, database: Database, stripe: Stripe, chosen: dict[str, str], bought: str
) -> None:
    stripe.open_shop()
    answer = send(client, fill_in(client), **chosen)
    assert answer.status_code == 303
    with database.transaction() as session:
        checkout = session.scalars(select(Checkout)).one()
    assert checkout.tier == bought
