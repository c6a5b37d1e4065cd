"""Sums with a discount: what is charged is what is said, on every page and in every e-mail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from fundraiser.members.models import Interval
from tests.pages import PageText

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
    parts = olena.overview().parts
    assert "£5 " in parts["pays"]
    assert "£5 " in parts["next-charge"]
    assert "£10" not in parts["pays"] + parts["next-charge"]
    olena.stripe.advance(days=32)
    assert olena.taken()[0] == 500


def test_half_the_price_until_a_day_tells_what_comes_then(olena: Olena) -> None:
    discount(olena, percent_off=50, duration="repeating", duration_in_months=6)
    assert re.search(r"£5 .*\d+ \w+ \d{4}.* £10 ", olena.overview().parts["pays"])


def test_nobody_is_told_of_a_payment_while_a_discount_takes_all_of_it_off(olena: Olena) -> None:
    discount(olena, percent_off=100, duration="repeating", duration_in_months=3)
    until = re.search(r"£0 .*?(\d+ \w+ \d{4})", olena.overview().parts["pays"])
    assert until
    for _ in range(2):
        parts = olena.overview().parts
        assert until[1] in parts["free-until"]
        assert "£10" in parts["free-until"]
        assert "next-charge" not in parts
        olena.stripe.advance(days=32)
        olena.stripe.settle(olena.customer)
    assert olena.taken() == [1000]
    discount(olena, percent_off=100, duration="forever")
    assert not {"free-until", "next-charge"} & olena.overview().parts.keys()


def test_a_preview_says_what_will_be_charged_after_the_discount(olena: Olena) -> None:
    discount(olena, percent_off=50, duration="repeating", duration_in_months=6)
    page = olena.open(olena.path("price"), tier="patron", interval="month")
    parts = PageText.of(page).parts
    assert re.search(r"£12\.50 .*\d+ \w+ \d{4}", parts["renews-monthly"])
    assert re.search(r"\d+ \w+ \d{4}.* £25 ", parts["discount-ends"])
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
    said = PageText.of(olena.open(path, tier="member", interval="month", amount="8"))
    assert "nothing-now" in said.marks
    assert "£4 " in said.parts["renews-monthly"]
    said = PageText.of(olena.open(path, tier="member", interval="month", amount="10"))
    assert "paid-already" in said.marks


def test_e_mails_name_what_is_charged(olena: Olena, app: FundraiserApp) -> None:
    discount(olena, percent_off=50, duration="forever")
    with app.test_request_context():
        words = olena.body_of("renewal_coming", interval=Interval.YEAR)
    assert "£5 " in words.subject
    assert "£10" not in " ".join(value for _label, value in words.rows or ())


@pytest.mark.parametrize(
    ("credit", "sums"),
    [(0, {"£90"}), (4000, {"£50"}), (9000, {"£90"}), (9900, {"£99", "£90"})],
)
def test_the_renewals_email_takes_off_what_the_credit_pays(
    olena: Olena, app: FundraiserApp, credit: int, sums: set[str]
) -> None:
    with app.test_request_context():
        yearly = {"interval": Interval.YEAR, "amount": 9000, "credit": credit}
        words = olena.body_of("renewal_coming", **yearly)
    said = set(re.findall(r"£\d+", " ".join([words.subject, *words.paragraphs])))
    assert said == sums
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
    assert "£4 " in olena.overview().parts["payment-failed"]
    with app.test_request_context():
        words = olena.body_of("payment_failed_day_0")
    assert "£4 " in words.subject
