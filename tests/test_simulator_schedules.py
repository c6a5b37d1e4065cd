"""Subscription schedules: a price set for later, and what a managed subscription refuses."""

from typing import Any

import pytest
import stripe

from tests.simulator_controls import (
    Controls,
    again,
    invoices,
    member,
    other_amount,
    paid,
    price_of,
    update,
)
from tests.simulator_parts import DAY, Simulator

controls = Controls()


def schedule(simulator: Simulator, found: Any) -> Any:
    params: Any = {"from_subscription": found.id}
    return simulator.client.v1.subscription_schedules.create(params)


def then(simulator: Simulator, made: Any, price: str, **more: Any) -> Any:
    """The present phase, and after it a year at another price."""
    (now,) = made.phases
    items = [{"price": item.price, "quantity": item.quantity} for item in now["items"]]
    params: Any = {
        "phases": [
            {"items": items, "start_date": now.start_date, "end_date": now.end_date},
            {"items": [{"price": price}], "duration": {"interval": "year"}},
        ],
        **more,
    }
    return simulator.client.v1.subscription_schedules.update(made.id, params)


@controls.needs("schedules_apply")
def test_a_scheduled_price_is_charged_from_its_day(simulator: Simulator) -> None:
    found = member(simulator)
    made = schedule(simulator, found)
    assert (made.status, again(simulator, found).schedule) == ("active", made.id)
    dearer = price_of(simulator, unit_amount=900)
    planned = then(simulator, made, dearer.id)
    assert planned.current_phase.end_date == found["items"].data[0].current_period_end
    assert again(simulator, found)["items"].data[0].price.unit_amount == 500
    simulator.advance(32)
    assert again(simulator, found)["items"].data[0].price.id == dearer.id
    assert paid(simulator, found) == [500, 900]
    simulator.advance(31)
    assert paid(simulator, found) == [500, 900, 900]
    simulator.advance(366)
    over = simulator.client.v1.subscription_schedules.retrieve(made.id)
    assert (over.status, over.released_subscription) == ("released", found.id)
    assert again(simulator, found).schedule is None


def test_a_yearly_price_that_was_scheduled_begins_a_year(simulator: Simulator) -> None:
    found = member(simulator)
    made = schedule(simulator, found)
    yearly = price_of(simulator, unit_amount=5000, recurring={"interval": "year"})
    then(simulator, made, yearly.id)
    simulator.advance(32)
    assert paid(simulator, found) == [500, 5000]
    item = again(simulator, found)["items"].data[0]
    assert item.current_period_end - item.current_period_start >= 365 * DAY


@controls.needs("schedules_manage")
def test_a_managed_subscription_refuses_changes_until_it_is_released(simulator: Simulator) -> None:
    found = member(simulator)
    made = schedule(simulator, found)
    for change in ({"cancel_at_period_end": True}, {"cancel_at": ""}):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            update(simulator, found, **change)
        assert (
            f"The subscription is managed by the subscription schedule `{made.id}`, and updating"
            " any cancelation behavior directly is not allowed. Please update the schedule"
            " instead." in str(refusal.value)
        )
    with simulator.choosing(schedule_items="refused"), pytest.raises(stripe.InvalidRequestError):
        update(simulator, found, items=other_amount(found, 900))
    assert update(simulator, found, metadata={"a": "b"}).schedule == made.id
    with pytest.raises(stripe.InvalidRequestError, match="already associated"):
        schedule(simulator, found)
    released = simulator.client.v1.subscription_schedules.release(made.id)
    assert (released.status, released.subscription) == ("released", None)
    after = update(simulator, found, cancel_at_period_end=True)
    assert (after.schedule, after.cancel_at_period_end) == (None, True)


@pytest.mark.parametrize("answer", ["taken", "refused"])
def test_whether_a_managed_subscription_takes_items_is_chosen(
    simulator: Simulator, answer: str
) -> None:
    found = member(simulator)
    schedule(simulator, found)
    with simulator.choosing(schedule_items=answer):
        if answer == "taken":
            update(simulator, found, items=other_amount(found, 900))
        else:
            with pytest.raises(stripe.InvalidRequestError, match="its items directly"):
                update(simulator, found, items=other_amount(found, 900))


def test_a_schedule_that_ends_with_a_cancellation_sets_the_date(simulator: Simulator) -> None:
    found = member(simulator)
    made = schedule(simulator, found)
    end = found["items"].data[0].current_period_end
    params: Any = {"end_behavior": "cancel"}
    simulator.client.v1.subscription_schedules.update(made.id, params)
    assert again(simulator, found).cancel_at == end
    simulator.advance(32)
    assert again(simulator, found).status == "canceled"
    over = simulator.client.v1.subscription_schedules.retrieve(made.id)
    assert over.status == "completed"
    assert len(invoices(simulator, found)) == 1


def test_a_schedule_is_cancelled_with_its_subscription(simulator: Simulator) -> None:
    found = member(simulator)
    made = schedule(simulator, found)
    assert simulator.client.v1.subscription_schedules.cancel(made.id).status == "canceled"
    assert again(simulator, found).status == "canceled"
    other = member(simulator)
    made = schedule(simulator, other)
    simulator.client.v1.subscriptions.cancel(other.id)
    params: Any = {"customer": other.customer}
    (listed,) = simulator.client.v1.subscription_schedules.list(params).data
    assert (listed.id, listed.status) == (made.id, "canceled")


@pytest.mark.parametrize("name", controls.names)
def test_without_its_behaviour_a_check_fails(simulator: Simulator, name: str) -> None:
    controls.notices(simulator, name)
