"""Sums, rhythms, discounts, free periods and pauses, as Stripe says them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from fundraiser.db import now
from fundraiser.members.models import Member, Status
from fundraiser.payments.models import Payment
from fundraiser.payments.reconcile import still_differs
from fundraiser.payments.stripe.gateway import current_gateway
from tests.settlements import (
    DAY,
    changes,
    coupon,
    join,
    live_through,
    memberships,
    number,
    rewrite,
    store_at_stripe,
    stripe_url,  # noqa: F401 - a fixture
    time_passes,
    welcomes,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from fundraiser.db import Database
    from tests.factories import Stripe

pytestmark = pytest.mark.usefixtures("open_shop")


# Money


def test_a_discount_is_what_is_charged_and_the_price_stays_known(
    stripe: Stripe, database: Database
) -> None:
    """Where Stripe names only the discount's ID, what was charged last says it."""
    customer, name = join(stripe)
    invoice = stripe.call("GET", "invoices", customer=customer)["data"][0]["id"]
    rewrite(invoice, {"total": 500, "amount_due": 500, "amount_paid": 500})
    rewrite(name, {"discounts": ["di_half_off"]})
    stripe.settle(customer)
    found = memberships(database)[0]
    assert (found.amount, found.price) == (500, 1000)


def test_a_price_in_parts_of_a_penny_or_in_tiers_is_not_free(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe)
    for decimal, amount in (("833.3333", 833), (None, 1000)):

        def of_parts(whole: Any, decimal: str | None = decimal) -> Any:
            item = whole["items"]["data"][0]
            price = {**item["price"], "unit_amount": None, "unit_amount_decimal": decimal}
            return {**whole, "items": {**whole["items"], "data": [{**item, "price": price}]}}

        rewrite(name, of_parts)
        stripe.settle(customer)
        assert memberships(database)[0].amount == amount
        assert number(database) == 1


def test_a_price_in_several_currencies_is_counted_in_the_one_that_is_charged(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe)

    def in_dollars(whole: Any) -> Any:
        item = whole["items"]["data"][0]
        price = {**item["price"], "currency": "usd", "unit_amount": 99900}
        return {**whole, "items": {**whole["items"], "data": [{**item, "price": price}]}}

    rewrite(name, in_dollars)
    stripe.settle(customer)
    found = memberships(database)[0]
    assert (found.amount, found.currency) == (1000, "GBP")


@pytest.mark.parametrize(("interval", "count"), [("week", 1), ("day", 1), ("month", 3)])
def test_any_rhythm_counts_and_hides_nobody_elses_end(
    stripe: Stripe, database: Database, interval: str, count: int
) -> None:
    customer, name = join(stripe)

    def in_rhythm(whole: Any) -> Any:
        item = whole["items"]["data"][0]
        rhythm = {**item["price"]["recurring"], "interval": interval, "interval_count": count}
        price = {**item["price"], "recurring": rhythm}
        return {
            **whole,
            "id": f"{name}x",
            "items": {**whole["items"], "data": [{**item, "price": price}]},
        }

    with store_at_stripe() as store:
        store.put(in_rhythm(store.one(name)))
    rewrite(name, {"status": "canceled", "ended_at": int(now().timestamp())})
    stripe.settle(customer)
    ended, other = memberships(database)
    assert ended.status is Status.CANCELED
    assert (other.interval, other.interval_count) == (interval, count)
    assert number(database) == 0, "nothing was paid for it"


def test_all_payments_are_known_however_many_there_are(stripe: Stripe, database: Database) -> None:
    customer, _ = join(stripe)
    invoice = stripe.call("GET", "invoices", customer=customer)["data"][0]["id"]
    charge = stripe.call("GET", "charges", customer=customer)["data"][0]["id"]
    with store_at_stripe() as store:
        whole, paid = store.one(invoice), store.one(charge)
        link = store.find("invoice_payment", where={"parent": invoice})[0]
        for turn in range(1, 121):
            at, intent = whole["created"] - turn * 30 * DAY, f"pi_old{turn}"
            store.put({**whole, "id": f"in_old{turn}", "created": at})
            of_intent = {**link["payment"], "payment_intent": intent}
            more = {"id": f"inpay_old{turn}", "invoice": f"in_old{turn}", "payment": of_intent}
            store.put({**link, **more, "created": at})
            store.put({**paid, "id": f"ch_old{turn}", "created": at, "payment_intent": intent})
    stripe.settle(customer)
    with database.transaction() as session:
        assert len(session.scalars(select(Payment.id)).all()) == 121


# Free periods and pauses


def given_free(until: Callable[[int], int]) -> Callable[[Any], Any]:
    def change(whole: Any) -> Any:
        item = whole["items"]["data"][0]
        end = until(item["current_period_end"])
        items = {**whole["items"], "data": [{**item, "current_period_end": end}]}
        trial = {"status": "trialing", "trial_start": whole["created"], "trial_end": end}
        return {**whole, **trial, "items": items}

    return change


def test_a_free_month_for_whoever_has_paid_is_no_leaving(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe)
    rewrite(name, given_free(lambda end: end + 30 * DAY))
    stripe.settle(customer)
    assert number(database) == 1
    until: datetime | None = memberships(database)[0].free_until
    assert until is not None
    with database.transaction() as session:
        assert session.scalars(select(Member.recount_at)).all() == [until]


def test_a_pause_takes_effect_when_what_is_paid_for_is_over(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe, interval="year")
    stripe.advance(days=40)
    stripe.call("POST", f"subscriptions/{name}", **{"pause_collection[behavior]": "void"})
    stripe.settle(customer)
    assert number(database) == 1
    time_passes(stripe, database, customer, days=320)
    assert number(database) == 1
    time_passes(stripe, database, customer, days=10)
    assert number(database) == 0
    assert changes(database)[-1] == (-1, "collection_paused")


def test_a_renewal_invoiced_by_e_mail_counts_until_grace_after_its_due_date(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe)
    by_mail = {"collection_method": "send_invoice", "days_until_due": 10}
    stripe.call("POST", f"subscriptions/{name}", **by_mail)
    # A month that is paid, ten days until it is due, two weeks of grace.
    assert live_through(stripe, database, customer, 52) == [1] * 17
    assert live_through(stripe, database, customer, 9)[-1] == 0
    invoice = stripe.call("GET", "invoices", customer=customer)["data"][0]["id"]
    stripe.call("POST", f"invoices/{invoice}/pay", paid_out_of_band="true")
    stripe.settle(customer)
    assert number(database) == 1
    assert changes(database) == [(1, "paid"), (-1, "grace_over"), (1, "paid")]
    assert welcomes(database) == 2


def test_a_trial_given_to_a_member_and_the_renewal_after_it_change_nothing(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe)
    item = stripe.call("GET", f"subscriptions/{name}")["items"]["data"][0]
    end = item["current_period_end"] + 30 * DAY
    stripe.call("POST", f"subscriptions/{name}", trial_end=end, proration_behavior="none")
    stripe.settle(customer)
    assert memberships(database)[0].status is Status.TRIALING
    assert set(live_through(stripe, database, customer, 75)) == {1}
    assert memberships(database)[0].status is Status.ACTIVE
    assert changes(database) == [(1, "paid")]


@pytest.mark.parametrize(("has_paid", "during"), [(True, 1), (False, 0)])
def test_a_new_trial_counts_for_whoever_has_paid_before(
    stripe: Stripe, database: Database, *, has_paid: bool, during: int
) -> None:
    customer, name = join(stripe)
    before = stripe.call("GET", f"subscriptions/{name}")
    if not has_paid:
        charge = stripe.call("GET", "charges", customer=customer)["data"][0]["id"]
        stripe.call("POST", "refunds", charge=charge)
    stripe.call("DELETE", f"subscriptions/{name}")
    stripe.settle(customer)
    assert number(database) == 0
    price = before["items"]["data"][0]["price"]["id"]
    method = before["default_payment_method"]
    trial = {"trial_period_days": 10, "default_payment_method": method}
    stripe.call("POST", "subscriptions", customer=customer, **{"items[0][price]": price}, **trial)
    stripe.settle(customer)
    assert [number(database), *live_through(stripe, database, customer, 9)] == [during] * 4
    assert live_through(stripe, database, customer, 6)[-1] == 1, "the first payment after it"


def test_free_months_with_an_end_change_nothing(stripe: Stripe, database: Database) -> None:
    customer, name = join(stripe)
    two_months = coupon(stripe, percent_off=100, duration="repeating", duration_in_months=2)
    stripe.call("POST", f"subscriptions/{name}", **two_months)
    assert set(live_through(stripe, database, customer, 120)) == {1}
    assert memberships(database)[0].amount == 1000
    assert changes(database) == [(1, "paid")]


def test_a_membership_made_free_for_ever_counts_as_long_as_it_is_paid_for(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe)
    for_ever = coupon(stripe, percent_off=100, duration="forever")
    stripe.call("POST", f"subscriptions/{name}", **for_ever)
    seen = live_through(stripe, database, customer, 36)
    assert (seen[0], seen[-1]) == (1, 0)
    assert (memberships(database)[0].amount, memberships(database)[0].price) == (0, 1000)
    assert changes(database) == [(1, "paid"), (-1, "nothing_to_pay")]


@pytest.mark.parametrize(
    ("terms", "amount"),
    [
        ({"percent_off": 50, "duration": "forever"}, 500),
        ({"amount_off": 300, "currency": "gbp", "duration": "forever"}, 700),
        ({"percent_off": 25, "duration": "repeating", "duration_in_months": 6}, 750),
    ],
)
def test_a_discount_is_taken_off_what_is_charged_next(
    stripe: Stripe, database: Database, terms: dict[str, Any], amount: int
) -> None:
    customer, name = join(stripe)
    stripe.call("POST", f"subscriptions/{name}", **coupon(stripe, **terms))
    stripe.settle(customer)
    found = memberships(database)[0]
    assert (found.amount, found.price) == (amount, 1000)
    assert (found.discount_until is None) is (terms["duration"] == "forever")
    stripe.advance(days=32)
    assert stripe.call("GET", "charges", customer=customer)["data"][0]["amount"] == amount
    with database.transaction() as session:
        stripe.settle(customer)
        assert still_differs(session, current_gateway(), customer) == []
