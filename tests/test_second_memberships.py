"""Nobody pays twice: a second membership of one person is ended, refunded and told of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from fundraiser.members.models import (
    Interval,
    LedgerHead,
    Member,
    Status,
)
from fundraiser.payments.models import Customer
from fundraiser.payments.money_back import MoneyBack, read_money_back, say_money_back
from fundraiser.payments.stripe.gateway import Gateway
from tests.joining import thanks_of
from tests.settlements import emails, memberships, number_of_members

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.db import Database
    from tests.factories import Stripe

pytestmark = pytest.mark.usefixtures("open_shop")


def test_a_second_membership_of_one_person_is_ended_refunded_and_told_of(
    stripe: Stripe, database: Database
) -> None:
    first = stripe.join("olena@example.org", tier="member")
    stripe.settle(first)
    second = stripe.join("Olena@Example.ORG", tier="patron")
    for _ in range(2):
        stripe.settle(second)
    kept, ended = memberships(database)
    assert (kept.status, ended.status) == (Status.ACTIVE, Status.CANCELED)
    assert ended.duplicate_of == kept.reference
    assert kept.member_id == ended.member_id
    charge = stripe.call("GET", "charges", customer=second)["data"][0]
    assert charge["refunded"]
    assert emails(database) == ["welcome", "second_membership"]
    assert number_of_members(database) == 1


def test_the_thanks_page_says_nothing_before_a_second_membership_is_known_as_one(
    stripe: Stripe,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its first rows are written before Stripe is asked to mark it."""
    stripe.settle(stripe.join("olena@example.org"))
    page = stripe.checkout()
    stripe.pay(page, "olena@example.org")
    mark, said = Gateway.mark_second, []

    def watched(*what: Any) -> None:
        said.append(client.get(thanks_of(page)).text)
        mark(*what)

    monkeypatch.setattr(Gateway, "mark_second", watched)
    stripe.settle(stripe.customer_of(page))
    assert 'data-test="outcome-waiting"' in said[0]
    assert 'data-test="outcome-second"' in client.get(thanks_of(page)).text


@pytest.mark.parametrize("outcome", [None, "won", "lost"])
def test_a_second_membership_whose_payment_is_disputed_is_ended_and_left_to_the_bank(
    stripe: Stripe, database: Database, outcome: str | None
) -> None:
    """Stripe refuses to refund a disputed charge; the money of a won dispute is ours to refund."""
    stripe.settle(stripe.join("olena@example.org"))
    stripe.advance(seconds=5)
    other = stripe.join("olena@example.org")
    # A worker was killed after it had marked the subscription, before it could end it.
    charge = stripe.call("GET", "charges", customer=other)["data"][0]["id"]
    marked = stripe.call("GET", "subscriptions", customer=other)["data"][0]["id"]
    first = memberships(database)[0].reference
    stripe.call("POST", f"subscriptions/{marked}", **{"metadata[fundraiser_second_to]": first})
    dispute = stripe.control("disputes", charge=charge)["id"]
    if outcome:
        stripe.control("disputes", dispute=dispute, outcome=outcome)
    stripe.settle(other)
    ended = next(found for found in memberships(database) if found.reference == marked)
    assert ended.status is Status.CANCELED
    refunded = stripe.call("GET", "charges", customer=other)["data"][0]["refunded"]
    assert refunded is (outcome == "won")
    assert number_of_members(database) == 1
    with database.transaction() as session, stripe.app.test_request_context():
        said = say_money_back("GBP", read_money_back(session, marked), "£10")
    assert said.name == ("refunded" if refunded else "refund-disputed")


@pytest.mark.parametrize(
    ("money_back", "name"),
    [
        (MoneyBack(), "not-charged"),
        (MoneyBack(processing=True), "payment-in-process"),
        (MoneyBack(processing=True, waiting=1000), "refund-waits"),
        (MoneyBack(waiting=1000, disputed=True), "refund-disputed"),
        (MoneyBack(refunded=1000, disputed=True), "refunded"),
    ],
)
def test_what_became_of_the_money_is_said_by_what_matters_most(
    stripe: Stripe, money_back: MoneyBack, name: str
) -> None:
    with stripe.app.test_request_context():
        assert say_money_back("GBP", money_back, "£10").name == name


def test_whichever_customer_of_one_person_is_settled_first_the_newer_membership_goes(
    stripe: Stripe, database: Database
) -> None:
    first = stripe.join("olena@example.org")
    stripe.advance(seconds=5)
    second = stripe.join("olena@example.org")
    stripe.settle(second)
    stripe.settle(first)
    stripe.settle_all()
    by_customer = {membership.customer_id: membership for membership in memberships(database)}
    assert by_customer[first].status is Status.ACTIVE
    assert by_customer[second].status is Status.CANCELED
    assert number_of_members(database) == 1


def test_one_whose_membership_was_moved_to_another_product_may_join_anew(
    stripe: Stripe, database: Database
) -> None:
    """What was a membership is the print edition now, and no reason to refund a membership."""
    first = stripe.join("olena@example.org")
    stripe.settle(first)
    product = stripe.call("POST", "products", name="Print edition")["id"]
    monthly = {"currency": "gbp", "unit_amount": 3000, "recurring[interval]": "month"}
    price = stripe.call("POST", "prices", product=product, **monthly)["id"]
    name = memberships(database)[0].reference
    item = stripe.call("GET", f"subscriptions/{name}")["items"]["data"][0]["id"]
    moved = {"items[0][id]": item, "items[0][price]": price}
    stripe.call("POST", f"subscriptions/{name}", **moved)
    stripe.settle(first)
    assert number_of_members(database) == 0
    stripe.advance(seconds=5)
    second = stripe.join("olena@example.org")
    stripe.settle(second)
    stripe.settle(second)
    assert not stripe.call("GET", "charges", customer=second)["data"][0]["refunded"]
    assert number_of_members(database) == 1


def test_one_who_stopped_may_join_anew(stripe: Stripe, database: Database) -> None:
    first = stripe.join("olena@example.org")
    stripe.settle(first)
    stripe.call(
        "POST",
        f"subscriptions/{memberships(database)[0].reference}",
        cancel_at_period_end="true",
    )
    stripe.settle(first)
    stripe.settle(stripe.join("olena@example.org"))
    assert [found.status for found in memberships(database)] == [Status.ACTIVE, Status.ACTIVE]
    assert number_of_members(database) == 1


def test_months_that_the_second_was_the_only_one_are_not_paid_back(
    stripe: Stripe, database: Database
) -> None:
    first = stripe.join("olena@example.org", interval=Interval.YEAR)
    stripe.settle(first)
    reference = memberships(database)[0].reference
    stripe.call("POST", f"subscriptions/{reference}", cancel_at_period_end="true")
    stripe.settle(first)
    second = stripe.join("olena@example.org")
    stripe.advance(days=32)
    stripe.settle(second)
    stripe.call("POST", f"subscriptions/{reference}", cancel_at_period_end="false")
    stripe.settle(first)
    stripe.settle_all()
    charges = stripe.call("GET", "charges", customer=second)["data"]
    assert [charge["refunded"] for charge in charges] == [True, False]
    assert number_of_members(database) == 1


def test_a_double_click_that_makes_two_customers_leaves_nobody_billed_unseen(
    stripe: Stripe, database: Database
) -> None:
    """Cellarion #632: of two customers one was known; the other went on being billed."""
    pages = [stripe.checkout(nonce=f"tab-{tab}") for tab in (1, 2)]
    for page in pages:
        stripe.pay(page, "olena@example.org")
    for customer in map(stripe.customer_of, pages):
        stripe.settle(customer)
    stripe.settle_all()
    with database.transaction() as session:
        assert len(session.scalars(select(Customer)).all()) == 2
        assert len(session.scalars(select(Member)).all()) == 1
    listed = [
        found
        for customer in map(stripe.customer_of, pages)
        for found in stripe.call("GET", "subscriptions", customer=customer, status="all")["data"]
    ]
    assert sorted(found["status"] for found in listed) == ["active", "canceled"]
    paid = [
        charge["amount"] - charge["amount_refunded"]
        for customer in map(stripe.customer_of, pages)
        for charge in stripe.call("GET", "charges", customer=customer)["data"]
    ]
    assert sorted(paid) == [0, 1000]
    assert number_of_members(database) == 1


def test_nobody_waits_for_the_ledger_while_stripe_is_told_of_a_second_membership(
    stripe: Stripe, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever the customer belonged to leaves the number: not before the slow part is over."""
    stripe.settle(stripe.join("first@example.org"))
    stripe.advance(seconds=2)
    customer = stripe.join("second@example.org")
    stripe.settle(customer)
    stripe.call("POST", f"customers/{customer}", email="first@example.org")
    cancel, seen = Gateway.cancel, []

    def watched(gateway: Gateway, subscription_id: str) -> None:
        with database.transaction() as session:
            head = select(LedgerHead.version).with_for_update(skip_locked=True)
            seen.append(session.scalar(head))
        cancel(gateway, subscription_id)

    monkeypatch.setattr(Gateway, "cancel", watched)
    stripe.settle(customer)
    assert seen == [3], "the head's row was locked by the settlement"
    assert number_of_members(database) == 1
