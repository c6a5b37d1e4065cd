"""Sums with a discount: what is charged is what is said, on every page and in every e-mail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from fundraiser.members.models import Interval

if TYPE_CHECKING:
    from fundraiser.app import FundraiserApp
    from tests.members import Olena


def discount(olena: Olena, **coupon: object) -> None:
    made = olena.stripe.call("POST", "coupons", **coupon)["id"]
    path = f"subscriptions/{olena.membership.reference}"
    olena.stripe.call("POST", path, **{"discounts[0][coupon]": made})
    olena.stripe.settle(olena.customer)


def test_half_the_price_is_said_and_charged(olena: Olena) -> None:
    discount(olena, percent_off=50, duration="forever")
    said = olena.overview()
    assert "You pay £5 a month" in said
    assert "The next £5 will be charged on" in said
    assert "£10 a month" not in said
    olena.stripe.advance(days=32)
    assert olena.taken()[0] == 500


def test_half_the_price_until_a_day_tells_what_comes_then(olena: Olena) -> None:
    discount(olena, percent_off=50, duration="repeating", duration_in_months=6)
    assert re.search(r"You pay £5 a month until \d+ \w+ \d{4}, then £10 a month", olena.overview())


def test_nobody_is_told_of_a_payment_while_a_discount_takes_all_of_it_off(olena: Olena) -> None:
    discount(olena, percent_off=100, duration="repeating", duration_in_months=3)
    until = re.search(r"You pay £0 a month until (\d+ \w+ \d{4}), then", olena.overview())
    assert until
    for _ in range(2):
        said = olena.overview()
        assert f"It is free until {until[1]}. Then you’ll be charged £10." in said
        assert "The next £" not in said
        olena.stripe.advance(days=32)
        olena.stripe.settle(olena.customer)
    assert olena.taken() == [1000]
    discount(olena, percent_off=100, duration="forever")
    assert "charged £10" not in olena.overview()
    assert "The next £" not in olena.overview()


def test_a_preview_says_what_will_be_charged_after_the_discount(olena: Olena) -> None:
    discount(olena, percent_off=50, duration="repeating", duration_in_months=6)
    page = olena.open(olena.path("price"), tier="patron", interval="month")
    said = page.get_text(" ", strip=True)
    assert re.search(r"You’ll be charged £12\.50 on \d+ \w+ \d{4}, and every month", said)
    assert re.search(r"Your discount ends on \d+ \w+ \d{4}. From then on you pay £25 a", said)
    path = olena.path("price")
    olena.send(path, olena.form(path, path, tier="patron", interval="month"))
    assert olena.membership.amount == 1250
    olena.stripe.advance(days=32)
    assert olena.taken()[0] == 1250


def test_a_smaller_amount_than_the_list_price_is_smaller_whatever_the_discount(
    olena: Olena,
) -> None:
    discount(olena, percent_off=50, duration="forever")
    path = olena.path("price")
    said = olena.open(path, tier="member", interval="month", amount="8").get_text(" ", strip=True)
    assert "You won’t be charged now." in said
    assert "You’ll be charged £4 on" in said
    said = olena.open(path, tier="member", interval="month", amount="10").get_text(" ", strip=True)
    assert "This is what you pay already." in said


def test_e_mails_name_what_is_charged(olena: Olena, app: FundraiserApp) -> None:
    discount(olena, percent_off=50, duration="forever")
    with app.test_request_context():
        words = olena.body_of("renewal_coming", interval=Interval.YEAR)
    assert words.subject.startswith("You’ll be charged £5 on")
    assert "£10" not in " ".join(value for _label, value in words.rows or ())


@pytest.mark.parametrize(
    ("credit", "said"),
    [
        (0, "You’ll be charged £90 on"),
        (4000, "You’ll be charged £50 on"),
        (9000, "Your credit of £90 pays the £90 for the next year on"),
        (9900, "Your credit of £99 pays the £90 for the next year on"),
    ],
)
def test_the_renewals_email_takes_off_what_the_credit_pays(
    olena: Olena, app: FundraiserApp, credit: int, said: str
) -> None:
    with app.test_request_context():
        yearly = {"interval": Interval.YEAR, "amount": 9000, "credit": credit}
        words = olena.body_of("renewal_coming", **yearly)
    text = " ".join([words.subject, *words.paragraphs])
    assert said in text
    assert ("you won’t be charged" in text) == (credit >= 9000)
    assert (words.original is None) == (credit >= 9000), "staff's own words name a charge"


def test_a_failed_payment_is_named_by_what_its_invoice_asks_for(
    olena: Olena, app: FundraiserApp
) -> None:
    discount(olena, percent_off=50, duration="forever")
    olena.stripe.set_balance(olena.customer, -100)
    olena.stripe.change_card(olena.customer, "4000000000000341")
    olena.stripe.advance(days=32)
    olena.stripe.settle(olena.customer)
    assert (olena.membership.amount, olena.membership.due) == (500, 400)
    assert "The last payment of £4 failed." in olena.overview()
    with app.test_request_context():
        words = olena.body_of("payment_failed_day_0")
    assert words.subject == "Your payment of £4 failed"
