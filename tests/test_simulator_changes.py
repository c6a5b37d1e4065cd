"""The simulator's subscriptions while they run: previews, prorations, credit, pauses."""

from typing import Any

import pytest
import stripe

from tests.simulator_parts import CHARGES_FAIL, DAY, Simulator


def change(simulator: Simulator, session: Any, amount: int, interval: str = "month") -> Any:
    """The parameters of a change to another amount, and the subscription."""
    found = simulator.subscription(session)
    item = found["items"].data[0]
    data = {
        "currency": "eur",
        "product": item.price.product,
        "recurring": {"interval": interval},
        "unit_amount": amount,
    }
    return found, {
        "items": [{"id": item.id, "price_data": data}],
        "proration_behavior": "always_invoice",
        "proration_date": item.current_period_start
        + (item.current_period_end - item.current_period_start) // 2,
    }


def preview(simulator: Simulator, found: Any, details: Any) -> Any:
    params: Any = {
        "customer": found.customer,
        "subscription": found.id,
        "subscription_details": details,
    }
    return simulator.client.v1.invoices.create_preview(params)


def test_a_higher_amount_is_taken_for_the_rest_of_the_period_as_previewed(
    simulator: Simulator,
) -> None:
    session = simulator.subscribe()
    found, details = change(simulator, session, 1500)
    seen = preview(simulator, found, details)
    assert [line.amount for line in seen.lines.data] == [-250, 750]
    assert seen.amount_due == 500
    assert [charge.amount for charge in simulator.charges(session)] == [500]
    simulator.client.v1.subscriptions.update(found.id, details)
    assert [charge.amount for charge in simulator.charges(session)] == [500, 500]
    after = simulator.subscription(session)["items"].data[0]
    assert after.price.unit_amount == 1500
    assert after.current_period_end == found["items"].data[0].current_period_end


def test_another_rhythm_begins_at_once_and_counts_what_was_paid(simulator: Simulator) -> None:
    session = simulator.subscribe()
    found, details = change(simulator, session, 6000, "year")
    assert preview(simulator, found, details).amount_due == 5750
    simulator.client.v1.subscriptions.update(found.id, details)
    assert [charge.amount for charge in simulator.charges(session)] == [5750, 500]
    item = simulator.subscription(session)["items"].data[0]
    assert item.current_period_end - item.current_period_start > 360 * DAY


def test_what_is_left_over_is_credit_that_the_next_invoices_use_up(simulator: Simulator) -> None:
    session = simulator.subscribe()
    found, details = change(simulator, session, 6000, "year")
    simulator.client.v1.subscriptions.update(found.id, details)
    found, details = change(simulator, session, 1000, "month")
    seen = preview(simulator, found, details)
    assert (seen.total, seen.amount_due) == (-2000, 0)
    simulator.client.v1.subscriptions.update(found.id, details)
    assert simulator.client.v1.customers.retrieve(session.customer).balance == -2000
    before = len(simulator.charges(session))
    simulator.advance(15 + 183 + 32)
    assert simulator.client.v1.customers.retrieve(session.customer).balance == -1000
    assert len(simulator.charges(session)) == before


def test_a_refused_payment_leaves_the_subscription_as_it_was(simulator: Simulator) -> None:
    session = simulator.subscribe()
    found, details = change(simulator, session, 1500)
    simulator.replace_card(session, CHARGES_FAIL)
    params: Any = {**details, "payment_behavior": "error_if_incomplete"}
    with pytest.raises(stripe.CardError):
        simulator.client.v1.subscriptions.update(found.id, params)
    assert simulator.subscription(session)["items"].data[0].price.unit_amount == 500


def test_a_pause_ends_by_itself_on_its_day(simulator: Simulator) -> None:
    session = simulator.subscribe()
    found = simulator.subscription(session)
    end = found["items"].data[0].current_period_end
    pause: Any = {"behavior": "void", "resumes_at": end + DAY}
    simulator.client.v1.subscriptions.update(found.id, {"pause_collection": pause})
    simulator.advance((end - found.created) / DAY + 0.5)
    assert simulator.subscription(session).pause_collection is not None
    simulator.advance(1)
    after = simulator.subscription(session)
    assert (after.status, after.pause_collection) == ("active", None)
    assert len(simulator.charges(session)) == 1


def test_a_deleted_customer_is_answered_with_nothing_to_expand(simulator: Simulator) -> None:
    session = simulator.subscribe()
    simulator.client.v1.customers.delete(session.customer)
    params: Any = {"expand": ["invoice_settings.default_payment_method"]}
    assert simulator.client.v1.customers.retrieve(session.customer, params).deleted
