"""Inquiries, disputes, and what staff may refund of each: said as it is at the bank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fundraiser.payments.disputes import Trouble, holds_money, trouble
from fundraiser.webhooks.inbox import HANDLED
from tests.member_pages import Taras, filled, send
from tests.settlements import number_of_members
from tests.staff import names, read, shown

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.db import Database
    from tests.factories import Stripe


@pytest.fixture
def stripe_url(empty_stripe_url: str) -> str:
    return empty_stripe_url


def ask(taras: Taras, stripe: Stripe, **values: object) -> str:
    """The payer's bank asks about the payment, or disputes it; returns the dispute's id."""
    made = stripe.control("disputes", charge=taras.payment.charge_id, **values)
    stripe.settle(taras.customer)
    return str(made["id"])


def test_what_changes_a_dispute_between_its_start_and_its_end_is_heard_of() -> None:
    """pinax-stripe#590: an inquiry that becomes a dispute is told by these."""
    assert {
        *("charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed"),
        *("charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated"),
    } <= HANDLED


@pytest.mark.parametrize(
    ("status", "stands", "taken"),
    [
        (None, None, False),
        ("warning_needs_response", Trouble.INQUIRY, False),
        ("warning_under_review", Trouble.INQUIRY, False),
        ("warning_closed", Trouble.OVER, False),
        ("prevented", Trouble.OVER, False),
        ("won", Trouble.OVER, False),
        ("needs_response", Trouble.DISPUTED, True),
        ("under_review", Trouble.DISPUTED, True),
        ("a status of next year", Trouble.DISPUTED, True),
        ("lost", Trouble.LOST, True),
    ],
)
def test_each_of_stripes_words_for_a_dispute_is_known(
    status: str | None, stands: Trouble | None, *, taken: bool
) -> None:
    assert (trouble(status), holds_money(status)) == (stands, taken)


def test_an_inquiry_leaves_the_member_counting_and_can_be_refunded(
    staff: FlaskClient,
    taras: Taras,
    stripe: Stripe,
    database: Database,
) -> None:
    dispute = ask(taras, stripe, inquiry=True)
    assert number_of_members(database) == 1
    overview = read(staff, "/staff")
    assert " 1 " in shown(overview, "inquiries")
    assert "disputed" not in names(overview)
    assert "inquiry" in names(read(staff, taras.path))
    assert "closes-inquiry" in names(read(staff, taras.refund))
    assert send(staff, taras.refund, filled(staff, taras.refund, amount="10")).status_code == 303
    assert taras.refunds() == [1000]
    assert stripe.call("GET", f"disputes/{dispute}")["status"] == "warning_closed"
    stripe.settle(taras.customer)
    assert number_of_members(database) == 0
    assert "inquiries" not in names(read(staff, "/staff"))


def test_an_inquiry_that_becomes_a_dispute_takes_the_member_out_until_it_is_won(
    staff: FlaskClient,
    taras: Taras,
    stripe: Stripe,
    database: Database,
) -> None:
    dispute = ask(taras, stripe, inquiry=True)
    stripe.control("disputes", dispute=dispute, escalate=True)
    stripe.settle(taras.customer)
    assert number_of_members(database) == 0
    assert shown(read(staff, "/staff"), "disputed").startswith("1 ")
    assert staff.get(taras.refund).status_code == 303
    stripe.control("disputes", dispute=dispute, outcome="won")
    stripe.settle(taras.customer)
    assert number_of_members(database) == 1
    assert "dispute-won" in names(read(staff, taras.path))
    assert send(staff, taras.refund, filled(staff, taras.refund, amount="10")).status_code == 303
    assert taras.refunds() == [1000]


def test_a_lost_dispute_leaves_nothing_to_refund(
    staff: FlaskClient,
    taras: Taras,
    stripe: Stripe,
) -> None:
    dispute = ask(taras, stripe)
    stripe.control("disputes", dispute=dispute, outcome="lost")
    stripe.settle(taras.customer)
    assert "dispute-lost" in names(read(staff, taras.path))
    assert staff.get(taras.refund).status_code == 303


def test_a_refund_that_stripe_refuses_for_the_balance_can_be_sent_again(
    staff: FlaskClient,
    taras: Taras,
    stripe: Stripe,
) -> None:
    """Stripe replays a refusal to the same form for a day: the page that says no has a new one."""
    form = filled(staff, taras.refund, amount="10")
    stripe.control("choices", balance_for_refunds="short")
    try:
        refused = send(staff, taras.refund, form)
    finally:
        stripe.control("choices", balance_for_refunds="enough")
    assert refused.status_code == 422
    assert "Insufficient" in refused.text
    nonce = refused.text.split('name="nonce" value="')[1].split('"')[0]
    assert nonce != form["nonce"]
    assert send(staff, taras.refund, form | {"nonce": nonce}).status_code == 303
    assert taras.refunds() == [1000]
