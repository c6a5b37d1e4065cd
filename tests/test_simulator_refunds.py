"""Refunds and disputes at the simulator, through the official SDK.

Each test stands in a row of `simulator/README.md`, as those of `test_simulator_payments.py`.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from tests.simulator_parts import IBAN_SUCCEEDS, Simulator

WITH_INQUIRY, REFUND_FAILS, REFUND_PENDING = (
    *("4000000000001976", "4000000000005126", "4000000000007726"),
)


@pytest.fixture
def funds(simulator: Simulator) -> Iterator[None]:
    """The account's balance is enough again when the test is over."""
    yield
    simulator.control("choices", balance_for_refunds=None)


def _refund(simulator: Simulator, charge: Any, **more: Any) -> Any:
    params: Any = {"charge": charge.id, **more}
    return simulator.client.v1.refunds.create(params=params)


def _dispute(simulator: Simulator, charge: Any, **more: Any) -> Any:
    made = simulator.control("disputes", charge=charge.id, **more)
    return simulator.client.v1.disputes.retrieve(made["id"])


def _told(simulator: Simulator, identity: str) -> list[str]:
    """The types of the events about the object, oldest first."""
    events: Any = simulator.client.v1.events.list(params={"limit": 100}).data
    return [one.type for one in events if one.data.object.id == identity][::-1]


def test_an_inquiry_moves_no_money_and_its_charge_can_be_refunded(simulator: Simulator) -> None:
    charge = simulator.charges(simulator.subscribe())[0]
    asked = _dispute(simulator, charge, inquiry=True)
    assert (asked.status, asked.balance_transactions) == ("warning_needs_response", [])
    assert asked.is_charge_refundable
    assert asked.payment_method_details.card.case_type == "inquiry"
    assert simulator.client.v1.charges.retrieve(charge.id).disputed
    assert _refund(simulator, charge, amount=100).status == "succeeded"
    assert _told(simulator, asked.id) == ["charge.dispute.created"]


def test_an_inquiry_is_closed_by_the_bank_or_escalated(simulator: Simulator) -> None:
    closed = _dispute(simulator, simulator.charges(simulator.subscribe())[0], inquiry=True)
    with pytest.raises(AssertionError, match="can't be lost"):
        simulator.control("disputes", dispute=closed.id, outcome="lost")
    ended = simulator.control("disputes", dispute=closed.id, outcome="warning_closed")
    assert ended["status"] == "warning_closed"
    charge = simulator.charges(simulator.subscribe())[0]
    asked = _dispute(simulator, charge, inquiry=True)
    simulator.control("disputes", dispute=asked.id, escalate=True)
    dispute: Any = simulator.client.v1.disputes.retrieve(asked.id)
    assert (dispute.status, dispute.is_charge_refundable) == ("needs_response", False)
    assert [entry.amount for entry in dispute.balance_transactions] == [-500]
    with pytest.raises(stripe.InvalidRequestError, match="has been charged back"):
        _refund(simulator, charge)
    simulator.control("disputes", dispute=asked.id, outcome="lost")
    assert _told(simulator, asked.id) == [
        *("charge.dispute.created", "charge.dispute.updated", "charge.dispute.funds_withdrawn"),
        "charge.dispute.closed",
    ]


def test_a_refund_in_full_closes_the_inquiry(simulator: Simulator) -> None:
    charge = simulator.charges(simulator.subscribe())[0]
    asked = _dispute(simulator, charge, inquiry=True)
    _refund(simulator, charge, amount=200)
    assert simulator.client.v1.disputes.retrieve(asked.id).status == "warning_needs_response"
    _refund(simulator, charge)
    assert simulator.client.v1.disputes.retrieve(asked.id).status == "warning_closed"


def test_what_was_won_can_be_refunded_and_what_was_lost_can_not(simulator: Simulator) -> None:
    lost, won = (simulator.charges(simulator.subscribe())[0] for _ in range(2))
    simulator.control("disputes", dispute=_dispute(simulator, lost).id, outcome="lost")
    with pytest.raises(stripe.InvalidRequestError, match="charged back") as refusal:
        _refund(simulator, lost)
    assert refusal.value.code == "charge_disputed"
    dispute = _dispute(simulator, won)
    simulator.control("disputes", dispute=dispute.id, outcome="won")
    assert _told(simulator, dispute.id) == [
        *("charge.dispute.created", "charge.dispute.funds_withdrawn"),
        *("charge.dispute.funds_reinstated", "charge.dispute.closed"),
    ]
    assert _refund(simulator, won).status == "succeeded"


def test_a_bank_debit_is_disputed_without_an_inquiry(simulator: Simulator) -> None:
    session = simulator.subscribe(method="sepa_debit", iban=IBAN_SUCCEEDS)
    simulator.advance(4)
    charge = simulator.charges(session)[0]
    with pytest.raises(AssertionError, match="without an inquiry"):
        simulator.control("disputes", charge=charge.id, inquiry=True)
    assert _dispute(simulator, charge).status == "needs_response"


def test_the_test_card_of_inquiries_is_asked_about(simulator: Simulator) -> None:
    session = simulator.subscribe(WITH_INQUIRY)
    simulator.advance(0.01)
    params: Any = {"charge": simulator.charges(session)[0].id}
    (found,) = simulator.client.v1.disputes.list(params).data
    assert found.status == "warning_needs_response"


def test_a_refund_is_refused_while_the_balance_is_short(simulator: Simulator, funds: None) -> None:
    del funds
    charge = simulator.charges(simulator.subscribe())[0]
    simulator.control("choices", balance_for_refunds="short")
    with pytest.raises(stripe.InvalidRequestError, match="Insufficient funds in your") as refusal:
        _refund(simulator, charge)
    assert refusal.value.code == "balance_insufficient"
    assert simulator.client.v1.charges.retrieve(charge.id).amount_refunded == 0
    simulator.control("choices", balance_for_refunds="waits")
    waiting = _refund(simulator, charge)
    assert (waiting.status, waiting.pending_reason) == ("pending", "insufficient_funds")
    simulator.control("refunds", refund=waiting.id, outcome="succeeds")
    done = simulator.client.v1.refunds.retrieve(waiting.id)
    assert done.status == "succeeded"
    assert done.balance_transaction


def test_the_refund_of_a_debit_is_pending_and_succeeds_or_fails_later(
    simulator: Simulator,
) -> None:
    session = simulator.subscribe(method="sepa_debit", iban=IBAN_SUCCEEDS)
    simulator.advance(4)
    charge = simulator.charges(session)[0]
    first, second = _refund(simulator, charge, amount=200), _refund(simulator, charge)
    assert {first.status, second.status} == {"pending"}
    refunded = simulator.client.v1.charges.retrieve(charge.id)
    assert (refunded.amount_refunded, refunded.refunded) == (500, True)
    simulator.control("refunds", refund=first.id, outcome="fails")
    simulator.advance(4)
    after = [simulator.client.v1.refunds.retrieve(one.id).status for one in (first, second)]
    assert after == ["failed", "succeeded"]
    kept = simulator.client.v1.charges.retrieve(charge.id)
    assert (kept.amount_refunded, kept.refunded) == (300, False)
    assert _told(simulator, first.id) == [
        *("refund.created", "refund.failed", "refund.updated", "charge.refund.updated"),
    ]
    assert _told(simulator, second.id) == [
        *("refund.created", "refund.updated", "charge.refund.updated"),
    ]


def test_parts_are_refunded_up_to_the_whole(simulator: Simulator) -> None:
    charge = simulator.charges(simulator.subscribe())[0]
    assert _refund(simulator, charge, amount=300).amount == 300
    with pytest.raises(stripe.InvalidRequestError, match=r"€3.00\) is greater .* \(€2.00"):
        _refund(simulator, charge, amount=300)
    assert _refund(simulator, charge).amount == 200
    with pytest.raises(stripe.InvalidRequestError, match="already been refunded"):
        _refund(simulator, charge)


def test_the_test_cards_of_refunds_do_what_they_say(simulator: Simulator) -> None:
    pending = _refund(simulator, simulator.charges(simulator.subscribe(REFUND_PENDING))[0])
    assert pending.status == "pending"
    failing = _refund(simulator, simulator.charges(simulator.subscribe(REFUND_FAILS))[0])
    assert failing.status == "succeeded"
    simulator.advance(4)
    assert simulator.client.v1.refunds.retrieve(pending.id).status == "succeeded"
    assert simulator.client.v1.refunds.retrieve(failing.id).status == "failed"
