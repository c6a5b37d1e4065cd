"""Changes that wait for their payment, as Stripe's pending updates do."""

from typing import Any

import pytest
import requests
import stripe

from tests.simulator_controls import (
    Controls,
    again,
    invoices,
    other_amount,
    subscribe,
    update,
    with_card,
)
from tests.simulator_parts import Simulator

ASKS_ALWAYS = "4000002760003184"
controls = Controls()


def change_in_waiting(simulator: Simulator) -> Any:
    """A subscription of 500 whose change to 2500 the bank wants confirmed."""
    found = subscribe(simulator, with_card(simulator))
    simulator.change_card(found, ASKS_ALWAYS)
    return update(
        simulator,
        found,
        items=other_amount(found, 2500),
        proration_behavior="always_invoice",
        payment_behavior="pending_if_incomplete",
    )


@controls.needs("pending_updates")
def test_a_change_waits_until_its_payment_is_confirmed(simulator: Simulator) -> None:
    after = change_in_waiting(simulator)
    assert (after.status, after["items"].data[0].price.unit_amount) == ("active", 500)
    assert after.pending_update
    newest = invoices(simulator, after)[0]
    assert (newest.id, newest.status) == (after.latest_invoice, "open")
    assert requests.post(newest.hosted_invoice_url or "", timeout=10).ok
    changed = again(simulator, after)
    assert changed["items"].data[0].price.unit_amount == 2500
    assert changed.pending_update is None
    assert changed.status == "active"


def test_a_change_that_nobody_confirms_is_dropped_with_its_invoice(simulator: Simulator) -> None:
    after = change_in_waiting(simulator)
    simulator.advance(1)
    dropped = again(simulator, after)
    assert (dropped.pending_update, dropped.status) == (None, "active")
    assert dropped["items"].data[0].price.unit_amount == 500
    assert invoices(simulator, after)[0].status == "void"


def test_nothing_but_items_may_wait(simulator: Simulator) -> None:
    found = subscribe(simulator, with_card(simulator))
    with pytest.raises(stripe.InvalidRequestError, match="pending updates"):
        update(
            simulator,
            found,
            items=other_amount(found, 2500),
            cancel_at_period_end=False,
            payment_behavior="pending_if_incomplete",
        )
