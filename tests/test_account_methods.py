"""Another payment method: what is charged on it, and what the member reads of that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from fundraiser.db import now
from tests.members import OURS, Olena, sign_in

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from tests.factories import Stripe
    from tests.pages import PageText

WORKS, FAILS, ASKS = "4242424242424242", "4000000000000341", "4000002760003184"
OTHER = "5555555555554444"
ABOUT_MEMBERSHIP = (
    *("payment_failed_first", "payment_failed_day_0", "payment_failed_day_3"),
    *("payment_failed_day_7", "payment_failed_day_12", "payment_confirmation"),
    *("renewal_coming", "canceled", "ended", "win_back"),
)


def visit_the_portal(olena: Olena, card: str | None, **values: str) -> PageText:
    """Press the button, enter a card on Stripe's page or not, come back; what we then say."""
    path = olena.path("card")
    portal = olena.send(path, olena.form("/account", path)).headers["Location"]
    form = {
        "billingName": "Olena Hrytsenko",
        "billingCountry": "GB",
        "method": "card",
        "cardNumber": card or "",
        "cardExpiry": "12/60",
        "cardCvc": "123",
    }
    page = requests.get(portal, timeout=10).text
    if card is None:
        back = page.partition("/card?")[2].partition('"')[0].replace("&amp;", "&")
        back = f"{path}?{back}"
    else:
        answer = requests.post(
            f"{portal}/payment-method", data=form | values, allow_redirects=False, timeout=10
        )
        assert answer.status_code == 303, answer.text
        address = urlsplit(answer.headers["Location"])
        assert set(parse_qs(address.query)) <= {"was", "overdue"}
        back = f"{address.path}?{address.query}"
    assert olena.client.get(back, headers=OURS).status_code == 303
    return olena.overview()


def falls_behind(olena: Olena) -> None:
    """The next renewal fails, and the member knows."""
    olena.stripe.change_card(olena.customer, FAILS)
    olena.stripe.settle(olena.customer)
    olena.stripe.advance(days=32)
    olena.stripe.settle(olena.customer)
    assert olena.membership.status == "past_due"


def test_a_card_changed_in_the_portal_is_the_one_that_is_charged(olena: Olena) -> None:
    said = visit_the_portal(olena, OTHER)
    assert "notice-method_saved" in said.marks
    assert "4444" in said.parts["method"]
    olena.stripe.advance(days=32)
    charges = olena.stripe.call("GET", "charges", customer=olena.customer)["data"]
    paid_by = [charge["payment_method_details"]["card"]["last4"] for charge in charges]
    assert paid_by == ["4444", "4242"]


def test_a_card_changed_without_us_is_followed_by_the_next_sync(olena: Olena) -> None:
    olena.stripe.change_default_card(olena.customer, OTHER)
    olena.stripe.settle(olena.customer)
    assert olena.membership.card_last4 == "4444"
    customer = olena.stripe.call("GET", f"customers/{olena.customer}")
    default = customer["invoice_settings"]["default_payment_method"]
    assert olena.at_stripe()["default_payment_method"] == default


def test_who_comes_back_without_a_new_card_reads_that_nothing_has_changed(olena: Olena) -> None:
    assert "notice-method_kept" in visit_the_portal(olena, None).marks
    assert "4242" in olena.overview().parts["method"]


def test_a_new_card_pays_at_once_what_is_overdue(olena: Olena) -> None:
    falls_behind(olena)
    said = visit_the_portal(olena, WORKS)
    assert "£10 " in said.parts["notice-method_paid"]
    assert olena.taken()[:2] == [1000, 1000]
    assert olena.membership.status == "active"
    assert olena.number() == 1


def test_a_new_card_that_is_refused_is_tried_once_and_said_to_be(olena: Olena) -> None:
    falls_behind(olena)
    tries = len(olena.taken())
    said = visit_the_portal(olena, FAILS)
    assert "£10 " in said.parts["notice-method_refused"]
    assert len(olena.taken()) == tries + 1
    for _ in range(3):
        olena.stripe.settle(olena.customer)
    assert len(olena.taken()) == tries + 1


def test_a_new_card_whose_bank_asks_leads_to_confirm(olena: Olena) -> None:
    falls_behind(olena)
    said = visit_the_portal(olena, ASKS)
    assert "£10 " in said.parts["notice-method_to_confirm"]
    assert "£10." in said.parts["confirm-payment"]
    link = olena.open("/account").select_one("main a[href*='/invoice/']")
    assert link
    assert link["data-test"] == "confirm"
    requests.post(str(link["href"]), timeout=10)
    olena.stripe.settle(olena.customer)
    assert olena.membership.status == "active"
    assert olena.open("/account").select_one("main a[href*='/invoice/']") is None


def asks_for_more(olena: Olena) -> PageText:
    """Upgrade to £25 with a card whose bank asks at each payment; what we then say."""
    olena.stripe.change_default_card(olena.customer, ASKS)
    olena.stripe.settle(olena.customer)
    olena.stripe.advance(days=3)
    path = olena.path("price")
    answer = olena.send(path, olena.form(path, path, tier="patron", interval="month"))
    assert answer.status_code == 303, answer.text
    return olena.overview()


def test_an_upgrade_that_the_bank_wants_confirmed_leads_there_and_then_holds(olena: Olena) -> None:
    said = asks_for_more(olena)
    assert "notice-to_confirm" in said.marks
    assert "notice-changed" not in said.marks
    assert "confirm-change" in said.marks
    assert "£10 " in said.parts["pays"]
    assert (olena.membership.amount, olena.number()) == (1000, 1)
    link = olena.open("/account").select_one("main a[href*='/invoice/']")
    assert link
    requests.post(str(link["href"]), timeout=10)
    olena.stripe.settle(olena.customer)
    assert "You pay £25 a month" in olena.overview()
    assert olena.open("/account").select_one("main a[href*='/invoice/']") is None


def test_an_upgrade_that_nobody_confirms_changes_nothing(olena: Olena) -> None:
    asks_for_more(olena)
    olena.stripe.advance(days=2)
    olena.stripe.settle(olena.customer)
    said = olena.overview()
    assert "£10 " in said.parts["pays"]
    assert "confirm" not in said
    assert olena.number() == 1
    assert olena.taken() == [1000]


def joins_with(stripe: Stripe, client: FlaskClient, **how: str) -> Olena:
    """A member who pays in euros by something that is no card, and is signed in."""
    page = stripe.checkout(currency="EUR")
    answer = stripe.pay(page, "petro@example.org", **how)
    assert answer.status_code == 303, answer.text
    if answer.headers["Location"].endswith("/bank"):
        confirms = {"answer": "confirm"}
        requests.post(f"{page}/bank", data=confirms, allow_redirects=False, timeout=10)
    customer = stripe.customer_of(page)
    member = stripe.settle(customer)
    assert member
    petro = Olena.__new__(Olena)
    petro.stripe, petro.client, petro.database = stripe, client, stripe.app.database
    petro.email, petro.customer, petro.member_id = "petro@example.org", customer, member.id
    sign_in(client, stripe.app.database, member.id)
    return petro


NO_CARDS = [
    (
        {"method": "sepa_debit", "iban": "DE89370400440532013000"},
        "Bank debit, account ending in 3000",
    ),
    ({"method": "paypal", "account": "paypal"}, "PayPal"),
    ({"method": "link", "account": "link"}, "Link"),
    ({"method": "ideal", "account": "ideal"}, "Bank debit, account ending in 3000"),
    ({"method": "bancontact", "account": "bancontact"}, "Bank debit, account ending in 3000"),
]


@pytest.mark.parametrize(("how", "name"), NO_CARDS)
def test_people_who_pay_without_a_card_read_of_none(
    stripe: Stripe, client: FlaskClient, app: FundraiserApp, how: dict[str, str], name: str
) -> None:
    stripe.open_shop()
    petro = joins_with(stripe, client, **how)
    pages = [
        petro.overview(),
        *(
            petro.open(petro.path(page)).get_text(" ", strip=True)
            for page in ("cancellation", "pause", "price")
        ),
        petro.open(petro.path("price"), tier="patron", interval="month").get_text(" "),
    ]
    assert petro.overview().parts["method"] == name
    assert "change-method" in petro.overview().marks
    at = now()
    with app.test_request_context():
        for kind in ABOUT_MEMBERSHIP:
            words = petro.body_of(kind, grace_from=at, cancel_at=at, paid_at=None)
            told = [*words.paragraphs, *(f"{a} {b}" for a, b in words.rows or ()), words.subject]
            pages.append(" ".join([*told, words.heading, *(words.advice or ())]))
            pages.append(words.link.text if words.link else "")
    for page in pages:
        assert not re.search(r"\bcards?\b", page, re.IGNORECASE), page
