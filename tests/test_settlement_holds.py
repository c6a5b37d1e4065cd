"""What public bug reports tried on others holds here: nobody pays twice, nobody is lost."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from fundraiser.members.models import Dues
from fundraiser.payments.models import Payment
from tests.conftest import WEBHOOK_SECRET
from tests.settlements import (
    join,
    memberships,
    number,
    rewrite,
    stripe_url,  # noqa: F401 - a fixture
)

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.db import Database
    from tests.factories import Stripe

pytestmark = pytest.mark.usefixtures("open_shop")

FAILING, GOOD = "4000000000000341", "4242424242424242"


def overdue(stripe: Stripe) -> tuple[str, str, str]:
    """A member whose renewal has failed: customer, subscription and the open invoice."""
    customer, name = join(stripe)
    stripe.change_card(customer, FAILING)
    stripe.advance(days=32)
    stripe.settle(customer)
    invoice = stripe.call("GET", "invoices", customer=customer)["data"][0]
    assert invoice["status"] == "open"
    return customer, name, str(invoice["id"])


def test_whoever_joins_anew_while_overdue_and_then_recovers_pays_once(
    stripe: Stripe, database: Database
) -> None:
    """mysociety/alaveteli#5517, restrict-content-pro#1393."""
    old, _, _ = overdue(stripe)
    new, _ = join(stripe, tier="patron")
    stripe.change_card(old, GOOD)
    stripe.advance(days=3)
    for customer in (old, new):
        stripe.settle(customer)
        stripe.settle_all()
    assert number(database) == 1
    charges = stripe.call("GET", "charges", customer=new)["data"]
    assert [charge["refunded"] for charge in charges] == [True]


@pytest.mark.parametrize("how", ["pay", "void"])
def test_a_bill_that_staff_settle_in_cash_or_forgive_is_settled(
    stripe: Stripe, database: Database, how: str
) -> None:
    """laravel/cashier#935, useautumn/autumn#3468."""
    customer, _, invoice = overdue(stripe)
    terms = {"paid_out_of_band": "true"} if how == "pay" else {}
    stripe.call("POST", f"invoices/{invoice}/{how}", **terms)
    stripe.settle(customer)
    assert (memberships(database)[0].payment_status, number(database)) == (
        Dues.PAID,
        1,
    )


def test_credit_pays_a_renewal(stripe: Stripe, database: Database) -> None:
    customer, _ = join(stripe)
    rewrite(customer, {"balance": -1000})
    stripe.advance(days=32)
    stripe.settle(customer)
    with database.transaction() as session:
        assert len(session.scalars(select(Payment.id)).all()) == 1
    assert (memberships(database)[0].payment_status, number(database)) == (
        Dues.PAID,
        1,
    )


def test_a_dispute_of_an_older_debit_changes_nothing_and_one_of_the_newest_does(
    stripe: Stripe, database: Database
) -> None:
    """liberapay#1421."""
    page = stripe.checkout(currency="EUR")
    stripe.pay(page, "olena@example.org", method="sepa_debit", iban="DE89370400440532013000")
    customer = stripe.customer_of(page)
    stripe.settle(customer)
    stripe.advance(days=40)
    newest, oldest = stripe.call("GET", "charges", customer=customer)["data"]
    stripe.control("disputes", charge=oldest["id"])
    stripe.settle(customer)
    assert number(database) == 1
    dispute = stripe.control("disputes", charge=newest["id"])["id"]
    stripe.control("disputes", dispute=dispute, outcome="lost")
    stripe.settle(customer)
    assert number(database) == 0


def test_an_address_taken_away_and_a_detached_card_lose_nobody(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe)
    method = stripe.call("GET", f"subscriptions/{name}")["default_payment_method"]
    stripe.call("POST", f"payment_methods/{method}/detach")
    stripe.call("POST", f"customers/{customer}", email="")
    stripe.advance(days=32)
    stripe.settle(customer)
    found = memberships(database)[0]
    assert found.grace_from
    assert (number(database), found.needs_confirmation, found.card_last4) == (1, False, None)


def test_webhook_bodies_are_taken_as_stripe_sends_them(stripe: Stripe, client: FlaskClient) -> None:
    del stripe
    thing = {"object": "invoice", "customer": "cus_x"}
    event: dict[str, Any] = {"type": "invoice.paid", "livemode": False, "created": 1}
    event |= {"object": "event", "data": {"object": thing}}

    def send(name: str, at: float | None = None, before: str = "", **more: Any) -> int:
        body, moment = json.dumps({**event, "id": name, **more}), int(at or time.time())
        signed = hmac.new(WEBHOOK_SECRET.encode(), f"{moment}.{body}".encode(), hashlib.sha256)
        signature = f"t={moment},{before}v1={signed.hexdigest()}"
        headers = {"Stripe-Signature": signature}
        return client.post("/webhooks/stripe", data=body, headers=headers).status_code

    assert send("evt_1") == 204
    assert send("evt_2", before=f"v1={'0' * 64},") == 204, "while a secret is rolled there are two"
    assert send("evt_3", at=time.time() - 400) == 400
    assert send("evt_4", livemode=True) == 400
    assert send("evt_5", pad="x" * 900_000) == 204
    assert send("evt_6", data={"object": {"object": "balance"}}) == 204
