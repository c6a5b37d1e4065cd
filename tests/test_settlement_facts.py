"""What is easily misread of what Stripe says: the number, the person, the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from fundraiser.db import now
from fundraiser.members.models import LedgerEntry, Member, Status
from fundraiser.payments.models import Customer, Payment
from fundraiser.payments.reconcile import still_differs
from fundraiser.payments.stripe.gateway import current_gateway
from tests.settlements import (
    changes,
    join,
    memberships,
    number,
    people,
    price_elsewhere,
    rewrite,
    store_at_stripe,
    stripe_url,  # noqa: F401 - a fixture
    time_passes,
    welcomes,
)

if TYPE_CHECKING:
    from fundraiser.db import Database
    from tests.factories import Stripe

pytestmark = pytest.mark.usefixtures("open_shop")


# Overdue


@pytest.mark.dunning_end("past_due")
def test_whoever_stays_past_due_for_months_leaves_once_and_is_welcomed_once(
    stripe: Stripe, database: Database
) -> None:
    customer, _ = join(stripe)
    stripe.change_card(customer, "4000000000000341")
    for _ in range(40):
        time_passes(stripe, database, customer, days=3)
    assert memberships(database)[0].status is Status.PAST_DUE
    assert changes(database) == [(1, "paid"), (-1, "grace_over")]
    stripe.change_card(customer, "4242424242424242")
    time_passes(stripe, database, customer, days=32)
    assert changes(database)[2:] == [(1, "paid")]
    assert welcomes(database) == 2, "this time she has paid"


@pytest.mark.dunning_end("unpaid")
def test_whoever_is_left_unpaid_does_not_count(stripe: Stripe, database: Database) -> None:
    customer, _ = join(stripe)
    stripe.change_card(customer, "4000000000000341")
    for _ in range(20):
        time_passes(stripe, database, customer, days=3)
    assert memberships(database)[0].status is Status.UNPAID
    assert [change for change, _ in changes(database)] == [1, -1]
    assert number(database) == 0


# Products


def test_a_membership_moved_to_another_product_leaves_and_may_come_back(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe)
    before = stripe.call("GET", f"subscriptions/{name}")["items"]["data"][0]
    other = {"items[0][id]": before["id"], "items[0][price]": price_elsewhere(stripe)}
    stripe.call("POST", f"subscriptions/{name}", proration_behavior="none", **other)
    stripe.settle(customer)
    assert (number(database), changes(database)[-1]) == (0, (-1, "other_product"))
    back = {"items[0][id]": before["id"], "items[0][price]": before["price"]["id"]}
    stripe.call("POST", f"subscriptions/{name}", proration_behavior="none", **back)
    stripe.settle(customer)
    assert number(database) == 1
    assert welcomes(database) == 1


def test_a_membership_counts_whichever_item_is_first(stripe: Stripe, database: Database) -> None:
    customer, name = join(stripe)
    other = stripe.call("GET", f"prices/{price_elsewhere(stripe)}")

    def with_another_in_front(whole: Any) -> Any:
        item = whole["items"]["data"][0]
        first = {**item, "id": "si_other", "price": other}
        return {**whole, "items": {**whole["items"], "data": [first, item]}}

    rewrite(name, with_another_in_front)
    stripe.settle(customer)
    found = memberships(database)[0]
    assert (found.tier, found.price, found.amount) == ("member", 1000, 1000)
    assert number(database) == 1
    with database.transaction() as session:
        assert still_differs(session, current_gateway(), customer) == []


def test_a_membership_that_stripe_lists_no_more_is_looked_at_all_the_same(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe)
    with store_at_stripe() as store:
        store.delete(name)
    stripe.settle(customer)
    assert number(database) == 0
    assert memberships(database)[0].status is Status.CANCELED


@pytest.mark.parametrize("lists", ["known", "400", "empty", "as before"])
def test_a_customer_deleted_at_stripe_is_not_counted_whichever_way_the_lists_answer(
    stripe: Stripe, database: Database, lists: str
) -> None:
    customer, _ = join(stripe)
    stripe.control("choices", deleted_customer_lists=lists)
    try:
        stripe.call("DELETE", f"customers/{customer}")
        stripe.settle(customer)
    finally:
        stripe.control("choices", deleted_customer_lists=None)
    assert number(database) == 0
    assert people(database) == [("olena@example.org", 1, False)]


# People


def test_an_address_changed_at_stripe_keeps_the_number_of_whoever_gave_once_before(
    stripe: Stripe, database: Database
) -> None:
    giver = stripe.join("olena@example.org", tier=None, interval=None, amount=5000)
    stripe.settle(giver)
    customer, _ = join(stripe)
    stripe.call("POST", f"customers/{customer}", email="olena@new.example")
    for name in (customer, giver, customer):
        stripe.settle(name)
    assert people(database) == [("olena@new.example", 1, True)]
    assert welcomes(database) == 1
    with database.transaction() as session:
        assert len(session.scalars(select(Payment.member_id).distinct()).all()) == 1


def test_an_address_of_somebody_who_does_not_count_is_taken_over_with_its_history(
    stripe: Stripe, database: Database
) -> None:
    giver = stripe.join("olena@new.example", tier=None, interval=None, amount=5000)
    stripe.settle(giver)
    customer, _ = join(stripe)
    stripe.call("POST", f"customers/{customer}", email="Olena@New.example")
    stripe.settle(customer)
    assert [one for one in people(database) if one[0]] == [("Olena@New.example", 1, True)]
    assert (number(database), welcomes(database)) == (1, 1)
    with database.transaction() as session:
        assert len(session.scalars(select(Customer.member_id).distinct()).all()) == 1
        assert len(session.scalars(select(Payment.member_id).distinct()).all()) == 1


def test_an_address_of_another_member_makes_two_one(stripe: Stripe, database: Database) -> None:
    join(stripe)
    stripe.advance(seconds=3)
    other, _ = join(stripe, "olena@wallet.example")
    stripe.call("POST", f"customers/{other}", email="olena@example.org")
    stripe.settle(other)
    stripe.settle_all()
    assert number(database) == 1
    assert people(database)[0] == ("olena@example.org", 1, True)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Олена@приклад.укр", "Олена@приклад.укр".upper()),
        ("straße@example.org", "STRASSE@example.org"),
        ("olena@приклад.укр", "Olena@xn--80aikifvh.xn--j1amh"),
        ("ΟΔΥΣΣΕΥΣ@example.gr", "οδυσσευς@example.gr"),
        ("Zoe\u0308@example.org", "ZO\u00cb@example.org"),
    ],
)
def test_an_address_is_one_persons_in_any_alphabet_and_any_case(
    stripe: Stripe, database: Database, first: str, second: str
) -> None:
    customer, _ = join(stripe, "one@example.org")
    rewrite(customer, {"email": first})
    stripe.settle(customer)
    stripe.advance(seconds=3)
    other, _ = join(stripe, "two@example.org")
    rewrite(other, {"email": second})
    for name in (other, customer):
        stripe.settle(name)
        stripe.settle_all()
    assert number(database) == 1


# Refunds and disputes


def upgraded(stripe: Stripe) -> tuple[str, list[str]]:
    """£50 a year, then £60: two charges, of which the newest is the difference."""
    customer, name = join(stripe, tier="reader", interval="year")
    stripe.advance(days=30)
    item = stripe.call("GET", f"subscriptions/{name}")["items"]["data"][0]
    data = {
        "items[0][id]": item["id"],
        "items[0][price_data][currency]": "gbp",
        "items[0][price_data][product]": item["price"]["product"],
        "items[0][price_data][recurring][interval]": "year",
        "items[0][price_data][unit_amount]": 6000,
        "proration_behavior": "always_invoice",
    }
    stripe.call("POST", f"subscriptions/{name}", **data)
    stripe.settle(customer)
    stripe.advance(days=1)
    charges = stripe.call("GET", "charges", customer=customer)["data"]
    return customer, [str(charge["id"]) for charge in charges]


@pytest.mark.parametrize(("which", "members"), [(0, 1), (1, 0)])
@pytest.mark.parametrize("how", ["refund", "dispute"])
def test_the_payment_of_the_period_decides_and_not_the_newest(
    stripe: Stripe, database: Database, which: int, members: int, how: str
) -> None:
    customer, charges = upgraded(stripe)
    if how == "refund":
        stripe.call("POST", "refunds", charge=charges[which])
    else:
        stripe.control("disputes", charge=charges[which])
    stripe.settle(customer)
    assert number(database) == members


def test_nobody_is_welcomed_back_by_a_dispute_that_we_won_or_a_refund_that_failed(
    stripe: Stripe, database: Database
) -> None:
    customer, _ = join(stripe)
    charge = stripe.call("GET", "charges", customer=customer)["data"][0]["id"]
    dispute = stripe.control("disputes", charge=charge)["id"]
    stripe.settle(customer)
    stripe.control("disputes", dispute=dispute, outcome="won")
    stripe.settle(customer)
    page = stripe.checkout()
    stripe.pay(page, "taras@example.org", card="4000000000005126")
    taras = stripe.customer_of(page)
    stripe.settle(taras)
    charge = stripe.call("GET", "charges", customer=taras)["data"][0]["id"]
    stripe.call("POST", "refunds", charge=charge)
    stripe.settle(taras)
    stripe.advance(hours=2)
    stripe.settle(taras)
    assert changes(database).count((1, "paid")) == 4
    assert welcomes(database) == 2
    with database.transaction() as session:
        for member_id in session.scalars(select(Member.id)).all():
            moments = session.scalars(
                select(LedgerEntry.happened_at)
                .where(LedgerEntry.member_id == member_id)
                .order_by(LedgerEntry.version)
            ).all()
            assert moments == sorted(moments), "nobody comes back before they left"


@pytest.mark.parametrize("how", ["lost", "refunded"])
def test_nobody_is_welcomed_back_by_a_renewal_after_a_lost_dispute_or_a_refund(
    stripe: Stripe, database: Database, how: str
) -> None:
    """The same membership charges them again: nobody has joined."""
    customer, _ = join(stripe)
    charge = stripe.call("GET", "charges", customer=customer)["data"][0]["id"]
    if how == "lost":
        dispute = stripe.control("disputes", charge=charge)["id"]
        stripe.settle(customer)
        stripe.control("disputes", dispute=dispute, outcome="lost")
    else:
        stripe.call("POST", "refunds", charge=charge)
    stripe.settle(customer)
    assert number(database) == 0
    time_passes(stripe, database, customer, days=33)
    assert (number(database), welcomes(database)) == (1, 1)
    stripe.call("DELETE", f"subscriptions/{memberships(database)[0].reference}")
    stripe.settle(customer)
    stripe.advance(days=1)
    join(stripe)
    assert (number(database), welcomes(database)) == (1, 2), "this time she has joined"


@pytest.mark.parametrize("how", ["kept", "refunded", "disputed"])
def test_what_staff_add_to_a_membership_once_is_no_payment_for_its_period(
    stripe: Stripe, database: Database, how: str
) -> None:
    """A one-off invoice item, say for a book: Stripe's line for it has no length."""
    customer, name = join(stripe, interval="year")
    stripe.advance(days=10)
    invoice = stripe.call("GET", "invoices", customer=customer)["data"][0]["id"]
    charge = stripe.call("GET", "charges", customer=customer)["data"][0]["id"]
    at = int(now().timestamp())
    added = {"invoice_item": "ii_book", "proration": False, "proration_details": None}
    parent = {
        "type": "invoice_item_details",
        "subscription_item_details": None,
        "invoice_item_details": {**added, "subscription": name},
    }
    with store_at_stripe() as store:
        whole = store.one(invoice)
        line = {**whole["lines"]["data"][0], "id": "il_book", "amount": 700, "parent": parent}
        lines = {**whole["lines"], "data": [{**line, "period": {"start": at, "end": at}}]}
        book = {"id": "in_book", "created": at, "billing_reason": "manual", "lines": lines}
        moments = {**whole["status_transitions"], "paid_at": at}
        store.put({**whole, **book, "total": 700, "status_transitions": moments})
        link = store.find("invoice_payment", where={"parent": invoice})[0]
        payment = {**link["payment"], "payment_intent": "pi_book"}
        more = {"id": "inpay_book", "invoice": "in_book", "created": at, "payment": payment}
        store.put({**link, **more})
        paid = {"id": "ch_book", "created": at, "amount": 700, "payment_intent": "pi_book"}
        if how == "refunded":
            paid |= {"refunded": True, "amount_refunded": 700}
        store.put({**store.one(charge), **paid})
    if how == "disputed":
        stripe.control("disputes", charge="ch_book")
    stripe.settle(customer)
    found = memberships(database)[0]
    assert (number(database), found.paid_until) == (1, found.period_end)
