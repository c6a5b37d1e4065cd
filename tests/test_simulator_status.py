"""What becomes of the simulator's subscriptions whose invoices are not paid, or paid otherwise."""

from typing import Any

import pytest
import requests
import stripe

from tests.simulator_controls import (
    Controls,
    again,
    coupon,
    invoices,
    member,
    other_amount,
    paid,
    price_of,
    subscribe,
    update,
    with_card,
)
from tests.simulator_parts import CHARGES_FAIL, DAY, SUCCEEDS, Simulator

ASKS_ALWAYS = "4000002760003184"
controls = Controls()


def failing(simulator: Simulator, days: float = 32) -> Any:
    """A subscription whose renewal fails."""
    customer = with_card(simulator, SUCCEEDS)
    found = subscribe(simulator, customer)
    simulator.change_card(found, CHARGES_FAIL)
    simulator.advance(days)
    return found


def by_mail(simulator: Simulator, **params: Any) -> Any:
    params = {"collection_method": "send_invoice", "days_until_due": 30, **params}
    return subscribe(simulator, with_card(simulator), **params)


@pytest.mark.parametrize(
    ("end", "status", "tried"),
    [("cancel", "canceled", 1), ("unpaid", "unpaid", 1), ("past_due", "past_due", 3)],
)
def test_a_dunning_ends_as_the_account_has_it(
    simulator: Simulator, end: str, status: str, tried: int
) -> None:
    with simulator.choosing(dunning_end=end):
        found = failing(simulator)
        assert again(simulator, found).status == "past_due"
        simulator.advance(63)
        after = again(simulator, found)
        assert after.status == status
        open_ones = [one for one in invoices(simulator, found) if one.status == "open"]
        assert len(open_ones) == tried
        assert {one.attempted for one in open_ones} == {True}
        assert len(paid(simulator, found)) == 2


@controls.needs("void_is_passed_over")
def test_a_status_goes_by_the_newest_invoice_that_is_not_void(simulator: Simulator) -> None:
    found = failing(simulator)
    newest = invoices(simulator, found)[0]
    simulator.client.v1.invoices.void_invoice(newest.id)
    assert again(simulator, found).status == "active"
    with pytest.raises(stripe.InvalidRequestError, match="isn't open"):
        simulator.client.v1.invoices.void_invoice(newest.id)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be voided"):
        simulator.client.v1.invoices.void_invoice(invoices(simulator, found)[1].id)


@pytest.mark.parametrize("status", ["active", "past_due"])
def test_what_is_uncollectible_gives_the_status_chosen(simulator: Simulator, status: str) -> None:
    found = failing(simulator)
    newest = invoices(simulator, found)[0]
    with simulator.choosing(uncollectible_status=status):
        closed = simulator.client.v1.invoices.mark_uncollectible(newest.id)
    assert (closed.status, again(simulator, found).status) == ("uncollectible", status)


@controls.needs("due_dates")
def test_an_invoice_by_mail_is_overdue_after_its_day(simulator: Simulator) -> None:
    found = by_mail(simulator)
    assert (found.status, paid(simulator, found)) == ("active", [500])
    simulator.advance(1)
    (first,) = invoices(simulator, found)
    assert (first.status, first.attempted, first.next_payment_attempt) == ("open", False, None)
    assert first.due_date == first.status_transitions.finalized_at + 30 * DAY
    simulator.advance(28)
    assert again(simulator, found).status == "active"
    simulator.advance(3)
    assert again(simulator, found).status == "past_due"
    assert "invoice.overdue" in simulator.types()


@controls.needs("out_of_band")
def test_what_was_paid_out_of_band_is_paid_without_a_charge(simulator: Simulator) -> None:
    found = by_mail(simulator)
    simulator.advance(40)
    assert again(simulator, found).status == "past_due"
    for one in invoices(simulator, found):
        if one.status == "open":
            params: Any = {"paid_out_of_band": True}
            done = simulator.client.v1.invoices.pay(one.id, params)
            assert (done.status, done.amount_paid_off_stripe) == ("paid", 500)
    assert again(simulator, found).status == "active"
    assert paid(simulator, found) == [500]


def test_days_until_due_go_with_invoices_by_mail(simulator: Simulator) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="days_until_due"):
        update(simulator, member(simulator), days_until_due=30)


@controls.needs("sca_refuses_strict_changes")
def test_a_bank_that_asks_refuses_a_strict_change_and_lets_others_be_confirmed(
    simulator: Simulator,
) -> None:
    found = subscribe(simulator, with_card(simulator))
    simulator.change_card(found, ASKS_ALWAYS)
    change = {"items": other_amount(found, 2500), "proration_behavior": "always_invoice"}
    with pytest.raises(stripe.CardError) as refusal:
        update(simulator, found, payment_behavior="error_if_incomplete", **change)
    assert refusal.value.code == "subscription_payment_intent_requires_action"
    assert len(invoices(simulator, found)) == 1
    after = update(simulator, found, payment_behavior="allow_incomplete", **change)
    assert after["items"].data[0].price.unit_amount == 2500
    assert after.status == "past_due"
    newest = invoices(simulator, found)[0]
    assert newest.status == "open"
    assert requests.post(newest.hosted_invoice_url, timeout=10).ok
    assert again(simulator, found).status == "active"


@controls.needs("open_after_the_end")
def test_after_the_end_an_open_invoice_can_still_be_paid(simulator: Simulator) -> None:
    found = failing(simulator, days=60)
    assert again(simulator, found).status == "canceled"
    simulator.change_card(found, SUCCEEDS)
    newest = invoices(simulator, found)[0]
    assert newest.status == "open"
    assert requests.post(newest.hosted_invoice_url, timeout=10).ok
    assert simulator.client.v1.invoices.retrieve(newest.id).status == "paid"
    assert again(simulator, found).status == "canceled"
    other = failing(simulator, days=60)
    simulator.change_card(other, SUCCEEDS)
    left = invoices(simulator, other)[0]
    person: Any = simulator.client.v1.customers.retrieve(other.customer)
    card: Any = {"payment_method": person.invoice_settings.default_payment_method}
    assert simulator.client.v1.invoices.pay(left.id, card).status == "paid"
    assert again(simulator, other).status == "canceled"


@controls.needs("last_period_prorated")
def test_the_period_in_which_it_ends_is_charged_in_part(simulator: Simulator) -> None:
    found = member(simulator)
    end = found["items"].data[0].current_period_end
    update(simulator, found, cancel_at=end + 15 * DAY)
    simulator.advance(32)
    assert 200 < paid(simulator, found)[1] < 300


@controls.needs("several_items")
def test_several_items_are_added_changed_and_removed(simulator: Simulator) -> None:
    price, other = price_of(simulator, unit_amount=700), price_of(simulator, unit_amount=40)
    items: Any = [{"price": other.id, "quantity": 2}, {"price": price.id}]
    found = subscribe(simulator, with_card(simulator), items=items)
    assert [line.amount for line in invoices(simulator, found)[0].lines.data] == [80, 700]
    first, second = found["items"].data
    with pytest.raises(stripe.InvalidRequestError, match="already using that Price"):
        update(simulator, found, items=[{"price": price.id}])
    third = price_of(simulator, unit_amount=1)
    changed: Any = [
        {"id": first.id, "deleted": True},
        {"id": second.id, "quantity": 3},
        {"price": third.id},
    ]
    after = update(simulator, found, items=changed, proration_behavior="none")
    told = [(item.price.id, item.quantity) for item in after["items"].data]
    assert told == [(price.id, 3), (third.id, 1)]
    simulator.advance(32)
    assert invoices(simulator, found)[0].total == 2101
    left: Any = [{"id": item.id, "deleted": True} for item in after["items"].data]
    with pytest.raises(stripe.InvalidRequestError, match="at least one item"):
        update(simulator, found, items=left)


def test_a_first_invoice_that_is_voided_expires_its_subscription(simulator: Simulator) -> None:
    customer = with_card(simulator)
    found = subscribe(simulator, customer, payment_behavior="default_incomplete")
    assert found.status == "incomplete"
    simulator.client.v1.invoices.void_invoice(found.latest_invoice)
    assert again(simulator, found).status == "incomplete_expired"


@controls.needs("archived_prices")
def test_an_archived_price_is_refused_where_it_is_new(simulator: Simulator) -> None:
    price = price_of(simulator, unit_amount=700)
    simulator.client.v1.prices.update(price.id, {"active": False})
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        subscribe(simulator, with_card(simulator), items=[{"price": price.id}])
    found = member(simulator)
    simulator.client.v1.prices.update(simulator.price(), {"active": False})
    item = found["items"].data[0]
    change: Any = [{"id": item.id, "price": item.price.id, "quantity": 2}]
    assert update(simulator, found, items=change)["items"].data[0].quantity == 2
    simulator.client.v1.prices.update(simulator.price(), {"active": True})


def test_items_of_two_rhythms_renew_each_by_its_own(simulator: Simulator) -> None:
    month = price_of(simulator, unit_amount=700)
    week = price_of(simulator, unit_amount=40, recurring={"interval": "week"})
    items: Any = [{"price": month.id}, {"price": week.id}]
    found = subscribe(simulator, with_card(simulator), items=items)
    simulator.advance(15)
    assert paid(simulator, found) == [500, 740, 40, 40]
    simulator.advance(16.5)
    assert sorted(paid(simulator, found)) == [40, 40, 40, 40, 500, 700, 740]
    quantity: Any = [{"id": found["items"].data[1].id, "quantity": 2}]
    update(simulator, found, items=quantity, proration_behavior="none")
    with pytest.raises(stripe.InvalidRequestError, match="one billing interval"):
        update(simulator, found, items=other_amount(found, 9, interval="year"))


def test_a_discount_of_everything_charges_nothing(simulator: Simulator) -> None:
    free = coupon(simulator, percent_off=100, duration="repeating", duration_in_months=1)
    found = subscribe(simulator, with_card(simulator), discounts=[{"coupon": free}])
    assert [(one.status, one.total) for one in invoices(simulator, found)] == [("paid", 0)]
    simulator.advance(32)
    assert invoices(simulator, found)[0].total == 500


@pytest.mark.parametrize("name", controls.names)
def test_without_its_behaviour_a_check_fails(simulator: Simulator, name: str) -> None:
    controls.notices(simulator, name)
