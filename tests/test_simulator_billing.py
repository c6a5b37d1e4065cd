"""When the simulator's subscriptions end, as Stripe has it."""

import pytest
import stripe

from tests.simulator_controls import (
    Controls,
    again,
    cancel_in_the_portal,
    member,
    paid,
    update,
)
from tests.simulator_parts import DAY, Simulator

controls = Controls()


@controls.needs("cancel_at")
def test_until_its_day_a_subscription_that_is_to_end_renews(simulator: Simulator) -> None:
    found = member(simulator)
    moment = found.created + 100 * DAY
    after = update(simulator, found, cancel_at=moment)
    assert (after.cancel_at, after.cancel_at_period_end, after.status) == (moment, False, "active")
    simulator.advance(63)
    assert len(paid(simulator, found)) == 3
    simulator.advance(35)
    assert again(simulator, found).status == "active"
    simulator.advance(3)
    ended = again(simulator, found)
    assert (ended.status, ended.ended_at) == ("canceled", moment)


@controls.needs("cancel_at")
def test_cancel_at_in_the_middle_of_a_period_ends_it_there(simulator: Simulator) -> None:
    found = member(simulator)
    update(simulator, found, cancel_at=found.created + 10 * DAY)
    simulator.advance(11)
    assert again(simulator, found).ended_at == found.created + 10 * DAY
    assert len(paid(simulator, found)) == 1


def test_the_flag_sets_the_date_too_and_both_at_once_are_refused(simulator: Simulator) -> None:
    found = member(simulator)
    end = found["items"].data[0].current_period_end
    after = update(simulator, found, cancel_at_period_end=True)
    assert (after.cancel_at, after.cancel_at_period_end) == (end, True)
    with pytest.raises(stripe.InvalidRequestError, match="both cancel_at and cancel_at_period_end"):
        update(simulator, found, cancel_at="", cancel_at_period_end=False)
    after = update(simulator, found, cancel_at="")
    assert (after.cancel_at, after.cancel_at_period_end, after.canceled_at) == (None, False, None)


@controls.needs("portal_sets_cancel_at")
def test_the_portal_sets_the_date_and_not_the_flag(simulator: Simulator) -> None:
    found = member(simulator)
    end = found["items"].data[0].current_period_end
    after = cancel_in_the_portal(simulator, found)
    assert (after.cancel_at, after.cancel_at_period_end) == (end, False)
    assert after.cancellation_details.reason == "cancellation_requested"
    assert cancel_in_the_portal(simulator, found, "resume").cancel_at is None


@pytest.mark.parametrize("answer", ["no", "yes"])
def test_whether_false_takes_a_date_back_is_chosen(simulator: Simulator, answer: str) -> None:
    found = cancel_in_the_portal(simulator, member(simulator))
    with simulator.choosing(cancel_at_taken_back_by_false=answer):
        after = update(simulator, found, cancel_at_period_end=False)
    assert (after.cancel_at is None) is (answer == "yes")


@controls.needs("ended_refuses_updates")
def test_an_ended_subscription_takes_nothing_but_metadata(simulator: Simulator) -> None:
    found = member(simulator)
    simulator.client.v1.subscriptions.cancel(found.id)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        update(simulator, found, cancel_at_period_end=True)
    assert refusal.value.code == "invalid_canceled_subscription_fields"
    assert refusal.value.http_status == 400
    assert update(simulator, found, metadata={"a": "b"}).metadata["a"] == "b"
    with pytest.raises(stripe.InvalidRequestError) as gone:
        simulator.client.v1.subscriptions.cancel(found.id)
    assert (gone.value.http_status, gone.value.code) == (404, "resource_missing")


@pytest.mark.parametrize("name", controls.names)
def test_without_its_behaviour_a_check_fails(simulator: Simulator, name: str) -> None:
    controls.notices(simulator, name)
