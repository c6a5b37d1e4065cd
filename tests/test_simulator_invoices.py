"""What the simulator invoices: trials, discounts, prorations, previews, amounts."""

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
    preview,
    price_of,
    subscribe,
    update,
    with_card,
)
from tests.simulator_parts import DAY, Simulator

controls = Controls()


# Trials


@controls.needs("trial_invoice")
def test_a_trial_begins_with_an_invoice_over_nothing(simulator: Simulator) -> None:
    customer = with_card(simulator)
    found = subscribe(simulator, customer, trial_period_days=10)
    assert (found.status, found.trial_end) == ("trialing", found.created + 10 * DAY)
    told = [(one.id, one.status, one.total) for one in invoices(simulator, found)]
    assert told == [(found.latest_invoice, "paid", 0)]
    simulator.advance(8)
    assert "customer.subscription.trial_will_end" in simulator.types()
    simulator.advance(3)
    assert again(simulator, found).status == "active"
    assert invoices(simulator, found)[0].total == 500


def test_a_trial_is_ended_now_or_given_to_somebody_who_has_paid(simulator: Simulator) -> None:
    customer = with_card(simulator)
    found = subscribe(simulator, customer, trial_period_days=10)
    ended = update(simulator, found, trial_end="now")
    assert (ended.status, invoices(simulator, found)[0].total) == ("active", 500)
    end = ended["items"].data[0].current_period_end + 30 * DAY
    free = update(simulator, found, trial_end=end)
    assert (free.status, free["items"].data[0].current_period_end) == ("trialing", end)
    newest = invoices(simulator, found)[0]
    assert (newest.status, [line.amount for line in newest.lines.data]) == ("paid", [-500, 0])
    with pytest.raises(stripe.InvalidRequestError, match="in the past"):
        update(simulator, found, trial_end=found.created)


# Discounts


@controls.needs("discounts")
def test_half_off_for_three_months_halves_three_invoices(simulator: Simulator) -> None:
    half = coupon(simulator, percent_off=50, duration="repeating", duration_in_months=3)
    found = subscribe(simulator, with_card(simulator), discounts=[{"coupon": half}])
    (first,) = invoices(simulator, found)
    assert (first.subtotal, first.total, first.amount_paid) == (500, 250, 250)
    assert [one.amount for one in first.total_discount_amounts] == [250]
    simulator.advance(63)
    assert [one.total for one in invoices(simulator, found)] == [250, 250, 250]
    simulator.advance(31)
    assert invoices(simulator, found)[0].total == 500
    assert again(simulator, found).discounts == []


@controls.needs("discounts")
def test_a_discount_lasts_once_or_for_ever(simulator: Simulator) -> None:
    customer = with_card(simulator)
    once = coupon(simulator, amount_off=100, currency="eur", duration="once")
    found = subscribe(simulator, customer, discounts=[{"coupon": once}])
    assert (found.discounts, invoices(simulator, found)[0].total) == ([], 400)
    ever = coupon(simulator, percent_off=10, duration="forever")
    params: Any = {"promotion": {"type": "coupon", "coupon": ever}, "code": f"ever{ever}"}
    code = simulator.client.v1.promotion_codes.create(params)
    update(simulator, found, discounts=[{"promotion_code": code.id}])
    assert preview(simulator, found).total == 450
    simulator.advance(32)
    assert invoices(simulator, found)[0].total == 450
    listed: Any = {"customer": customer, "expand": ["data.discounts.source.coupon"]}
    (one,) = simulator.client.v1.subscriptions.list(listed).data
    discount: Any = one.discounts[0]
    assert (discount.source.coupon.percent_off, discount.promotion_code) == (10, code.id)
    listed["expand"] = ["data.discounts.source.coupon.applies_to"]
    with pytest.raises(stripe.InvalidRequestError, match="more than 4 levels"):
        simulator.client.v1.subscriptions.list(listed)


@controls.needs("promotion_codes")
def test_checkout_takes_a_coupon_or_a_code_that_is_typed(simulator: Simulator) -> None:
    half = coupon(simulator, percent_off=50, duration="forever")
    items: Any = [{"price": simulator.price()}]
    session = simulator.checkout(
        mode="subscription", line_items=items, discounts=[{"coupon": half}]
    )
    assert (session.amount_subtotal, session.amount_total) == (500, 250)
    assert "€2.50" in requests.get(session.url, timeout=10).text
    simulator.pay(session.url)
    done = simulator.client.v1.checkout.sessions.retrieve(session.id)
    found = simulator.subscription(done)
    assert (paid(simulator, found), len(found.discounts)) == ([250], 1)
    params: Any = {"expand": ["discounts"]}
    whole: Any = simulator.client.v1.subscriptions.retrieve(found.id, params)
    assert (whole.discounts[0].subscription, whole.discounts[0].end) == (found.id, None)
    promotion: Any = {"promotion": {"type": "coupon", "coupon": half}, "code": f"H{half}"}
    simulator.client.v1.promotion_codes.create(promotion)
    other = simulator.checkout(mode="subscription", line_items=items, allow_promotion_codes=True)
    code = f"{other.url}/code"
    wrong = requests.post(code, data={"promotionCode": "nothing"}, timeout=10)
    assert (wrong.status_code, "This code is invalid." in wrong.text) == (422, True)
    assert "€2.50" in requests.post(code, data={"promotionCode": f"h{half}"}, timeout=10).text
    simulator.pay(other.url)
    done = simulator.client.v1.checkout.sessions.retrieve(other.id)
    assert paid(simulator, simulator.subscription(done)) == [250]
    both: Any = {"discounts": [{"coupon": half}], "allow_promotion_codes": True}
    with pytest.raises(stripe.InvalidRequestError, match="only specify one"):
        simulator.checkout(mode="subscription", line_items=items, **both)


def test_checkout_sells_a_trial_several_items_and_another_currency(simulator: Simulator) -> None:
    two = price_of(simulator, unit_amount=1000, currency_options={"usd": {"unit_amount": 1200}})
    one = price_of(simulator, unit_amount=100, currency_options={"usd": {"unit_amount": 110}})
    items: Any = [{"price": one.id, "quantity": 2}, {"price": two.id}]
    session = simulator.checkout(mode="subscription", line_items=items, currency="usd")
    assert (session.currency, session.amount_total) == ("usd", 1420)
    simulator.pay(session.url)
    done = simulator.client.v1.checkout.sessions.retrieve(session.id)
    assert paid(simulator, simulator.subscription(done)) == [1420]
    trial = simulator.checkout(
        mode="subscription",
        line_items=[{"price": two.id}],
        subscription_data={"trial_period_days": 7},
    )
    assert trial.amount_total == 0
    simulator.pay(trial.url)
    done = simulator.client.v1.checkout.sessions.retrieve(trial.id)
    found = simulator.subscription(done)
    assert (done.payment_status, found.status) == ("no_payment_required", "trialing")
    simulator.advance(8)
    assert paid(simulator, found) == [1000]


@controls.needs("discounts")
def test_a_customers_discount_holds_for_subscriptions_without_their_own(
    simulator: Simulator,
) -> None:
    found = member(simulator)
    fifth = coupon(simulator, percent_off=20, duration="forever")
    simulator.control("discounts", customer=found.customer, coupon=fifth)
    assert preview(simulator, found).total == 400
    simulator.advance(32)
    assert paid(simulator, found) == [500, 400]
    simulator.client.v1.customers.delete_discount(found.customer)
    assert preview(simulator, found).total == 500


def test_items_are_listed_added_and_deleted_by_themselves(simulator: Simulator) -> None:
    found = member(simulator)
    price = price_of(simulator, unit_amount=70)
    service = simulator.client.v1.subscription_items
    added: Any = {"subscription": found.id, "price": price.id, "proration_behavior": "none"}
    made = service.create(added)
    params: Any = {"subscription": found.id}
    assert [item.price.unit_amount for item in service.list(params).data] == [500, 70]
    change: Any = {"quantity": 2, "proration_behavior": "none"}
    assert service.update(made.id, change).quantity == 2
    assert service.retrieve(made.id).quantity == 2
    assert service.delete(made.id).deleted
    assert len(service.list(params).data) == 1


# Prorations and previews


@controls.needs("prorations_by_default")
def test_a_changed_amount_is_prorated_with_the_next_invoice(simulator: Simulator) -> None:
    found = member(simulator)
    item = found["items"].data[0]
    middle = (item.current_period_start + item.current_period_end) // 2
    update(simulator, found, items=other_amount(found, 1500), proration_date=middle)
    assert paid(simulator, found) == [500]
    seen = preview(simulator, found)
    assert [line.amount for line in seen.lines.data] == [-250, 750, 1500]
    simulator.advance(32)
    assert paid(simulator, found) == [500, 2000]
    update(
        simulator,
        found,
        items=other_amount(again(simulator, found), 700),
        proration_behavior="none",
    )
    simulator.advance(31)
    assert paid(simulator, found)[-1] == 700


@controls.needs("preview_has_no_ending_balance")
def test_a_preview_has_no_ending_balance(simulator: Simulator) -> None:
    found = member(simulator)
    seen = preview(simulator, found, items=other_amount(found, 900))
    assert (seen.ending_balance, seen.starting_balance) == (None, 0)
    assert invoices(simulator, found)[0].ending_balance == 0


@controls.needs("nothing_upcoming_after_the_end")
def test_there_is_no_preview_of_what_follows_the_end(simulator: Simulator) -> None:
    found = member(simulator)
    update(simulator, found, cancel_at_period_end=True)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        preview(simulator, found)
    assert (refusal.value.code, refusal.value.http_status) == ("invoice_upcoming_none", 404)


# Amounts


@controls.needs("unit_amount_null")
def test_a_price_in_parts_of_a_penny_has_no_unit_amount(simulator: Simulator) -> None:
    price = price_of(simulator, unit_amount_decimal="833.3333")
    assert (price.unit_amount, str(price.unit_amount_decimal)) == (None, "833.3333")
    items = [{"price": price.id, "quantity": 3}]
    found = subscribe(simulator, with_card(simulator), items=items)
    assert paid(simulator, found)[-1] == 2500


@controls.needs("currency_options")
def test_a_price_of_several_currencies_shows_the_usual_one(simulator: Simulator) -> None:
    options = {"usd": {"unit_amount": 1200}}
    price = price_of(simulator, unit_amount=1000, currency_options=options)
    params: Any = {"expand": ["currency_options"]}
    whole = simulator.client.v1.prices.retrieve(price.id, params)
    amounts = {
        name: one["unit_amount"] for name, one in whole.to_dict()["currency_options"].items()
    }
    assert amounts == {"eur": 1000, "usd": 1200}
    items = [{"price": price.id}]
    found = subscribe(simulator, with_card(simulator), items=items, currency="usd")
    assert (found.currency, found["items"].data[0].price.unit_amount) == ("usd", 1000)
    assert paid(simulator, found)[-1] == 1200
    with pytest.raises(stripe.InvalidRequestError, match="only supports"):
        subscribe(simulator, with_card(simulator), items=items, currency="pln")


@controls.needs("most_amount")
def test_amounts_over_the_most_are_refused(simulator: Simulator) -> None:
    assert price_of(simulator, unit_amount=99_999_999).unit_amount == 99_999_999
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        price_of(simulator, unit_amount=100_000_000)
    assert refusal.value.code == "amount_too_large"


@pytest.mark.parametrize(
    ("interval", "count", "days"), [("day", 3, 3), ("week", 2, 14), ("year", 1, 365)]
)
def test_any_interval_is_kept(simulator: Simulator, interval: str, count: int, days: int) -> None:
    recurring = {"interval": interval, "interval_count": count}
    price = price_of(simulator, unit_amount=700, recurring=recurring)
    found = subscribe(simulator, with_card(simulator), items=[{"price": price.id}])
    item = found["items"].data[0]
    length = item.current_period_end - item.current_period_start
    assert days * DAY <= length <= (days + 1) * DAY


@pytest.mark.parametrize("name", controls.names)
def test_without_its_behaviour_a_check_fails(simulator: Simulator, name: str) -> None:
    controls.notices(simulator, name)
