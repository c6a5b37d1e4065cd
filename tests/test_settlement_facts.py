"""What is easily misread of what Stripe says: the number, the person, the history."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from demo.servers import free_port
from fundraiser.db import now
from fundraiser.members.counting import recount_due
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import LedgerEntry, Member, Membership, Status
from fundraiser.members.proof import prove
from fundraiser.outbox import Letter, LetterKind
from fundraiser.payments.gateway import current_gateway
from fundraiser.payments.models import Customer, Payment
from fundraiser.payments.reconcile import still_differs
from simulator.store import Store
from tests.factories import GRACE, Stripe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from fundraiser.db import Database

ROOT = Path(__file__).parent.parent
DAY = 86400
Change = dict[str, Any]


@pytest.fixture
def stripe_url(
    request: pytest.FixtureRequest,
    empty_stripe_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """A simulator that has nothing yet, with the account's setting for the end of dunning."""
    end = request.node.get_closest_marker("dunning_end")
    if end is None:
        yield empty_stripe_url
        return
    port = free_port()
    command = [sys.executable, "-m", "simulator", "--port", str(port)]
    command += ["--dunning-end", end.args[0], "--store", str(tmp_path / "store.sqlite")]
    command += ["--clock-file", str(tmp_path / "clock")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SIMULATOR_CLOCK", str(tmp_path / "clock"))
    url = f"http://127.0.0.1:{port}"
    Stripe.wait_until_it_answers(url, process)
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture(autouse=True)
def shop(stripe: Stripe) -> None:
    stripe.open_shop()


def rewrite(identity: str, change: Change | Callable[[Any], Any]) -> None:
    """Write an object at Stripe that the API gives no way to make, in Stripe's own shape."""
    with _store() as store:
        whole = store.one(identity)
        store.put(change(whole) if callable(change) else {**whole, **change})


class _store:  # noqa: N801 - used like a function
    def __enter__(self) -> Store:
        self.store = Store(Path(os.environ["SIMULATOR_CLOCK"]).with_name("store.sqlite"))
        return self.store

    def __exit__(self, *_: object) -> None:
        self.store.close()


def join(stripe: Stripe, email: str = "olena@example.org", **values: Any) -> tuple[str, str]:
    """A member who is settled; returns customer and subscription."""
    customer = stripe.join(email, **values)
    stripe.settle(customer)
    found = stripe.call("GET", "subscriptions", customer=customer)["data"][0]
    return customer, str(found["id"])


def time_passes(stripe: Stripe, database: Database, customer: str, **span: float) -> None:
    stripe.advance(**span)
    stripe.settle(customer)
    with database.transaction() as session:
        recount_due(session, GRACE)


def number(database: Database) -> int:
    with database.transaction() as session:
        assert prove(session, GRACE).holds
    with database.transaction() as session:
        return read_balance(session).members


def changes(database: Database) -> list[tuple[int, str]]:
    with database.transaction() as session:
        found = session.scalars(select(LedgerEntry).order_by(LedgerEntry.version))
        return [(entry.change, entry.reason) for entry in found]


def welcomes(database: Database) -> int:
    with database.transaction() as session:
        return list(session.scalars(select(Letter.kind))).count(LetterKind.WELCOME)


def memberships(database: Database) -> Sequence[Membership]:
    with database.transaction() as session:
        return session.scalars(select(Membership).order_by(Membership.id)).all()


def people(database: Database) -> list[tuple[str | None, int | None, bool]]:
    with database.transaction() as session:
        found = session.scalars(select(Member).order_by(Member.id))
        return [(one.email, one.number, one.counting) for one in found]


def price_elsewhere(stripe: Stripe) -> str:
    """A price of a product that this service has not made."""
    product = stripe.call("POST", "products", name="Print edition")["id"]
    return str(
        stripe.call(
            "POST",
            "prices",
            product=product,
            currency="gbp",
            unit_amount=3000,
            **{"recurring[interval]": "month"},
        )["id"]
    )


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
    with _store() as store:
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


# Money


def test_a_discount_is_what_is_charged_and_the_price_stays_known(
    stripe: Stripe, database: Database
) -> None:
    """Where Stripe names only the discount's ID, what was charged last says it."""
    customer, name = join(stripe)
    invoice = stripe.call("GET", "invoices", customer=customer)["data"][0]["id"]
    rewrite(invoice, {"total": 500, "amount_due": 500, "amount_paid": 500})
    rewrite(name, {"discounts": ["di_half_off"]})
    stripe.settle(customer)
    found = memberships(database)[0]
    assert (found.amount, found.price) == (500, 1000)


def test_a_price_in_parts_of_a_penny_or_in_tiers_is_not_free(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe)
    for decimal, amount in (("833.3333", 833), (None, 1000)):

        def of_parts(whole: Any, decimal: str | None = decimal) -> Any:
            item = whole["items"]["data"][0]
            price = {**item["price"], "unit_amount": None, "unit_amount_decimal": decimal}
            return {**whole, "items": {**whole["items"], "data": [{**item, "price": price}]}}

        rewrite(name, of_parts)
        stripe.settle(customer)
        assert memberships(database)[0].amount == amount
        assert number(database) == 1


def test_a_price_in_several_currencies_is_counted_in_the_one_that_is_charged(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe)

    def in_dollars(whole: Any) -> Any:
        item = whole["items"]["data"][0]
        price = {**item["price"], "currency": "usd", "unit_amount": 99900}
        return {**whole, "items": {**whole["items"], "data": [{**item, "price": price}]}}

    rewrite(name, in_dollars)
    stripe.settle(customer)
    found = memberships(database)[0]
    assert (found.amount, found.currency) == (1000, "GBP")


@pytest.mark.parametrize(("interval", "count"), [("week", 1), ("day", 1), ("month", 3)])
def test_any_rhythm_counts_and_hides_nobody_elses_end(
    stripe: Stripe, database: Database, interval: str, count: int
) -> None:
    customer, name = join(stripe)

    def in_rhythm(whole: Any) -> Any:
        item = whole["items"]["data"][0]
        rhythm = {**item["price"]["recurring"], "interval": interval, "interval_count": count}
        price = {**item["price"], "recurring": rhythm}
        return {
            **whole,
            "id": f"{name}x",
            "items": {**whole["items"], "data": [{**item, "price": price}]},
        }

    with _store() as store:
        store.put(in_rhythm(store.one(name)))
    rewrite(name, {"status": "canceled", "ended_at": int(now().timestamp())})
    stripe.settle(customer)
    ended, other = memberships(database)
    assert ended.status is Status.CANCELED
    assert (other.interval, other.interval_count) == (interval, count)
    assert number(database) == 0, "nothing was paid for it"


def test_all_payments_are_known_however_many_there_are(stripe: Stripe, database: Database) -> None:
    customer, _ = join(stripe)
    invoice = stripe.call("GET", "invoices", customer=customer)["data"][0]["id"]
    charge = stripe.call("GET", "charges", customer=customer)["data"][0]["id"]
    with _store() as store:
        whole, paid = store.one(invoice), store.one(charge)
        link = store.find("invoice_payment", where={"parent": invoice})[0]
        for turn in range(1, 121):
            at, intent = whole["created"] - turn * 30 * DAY, f"pi_old{turn}"
            store.put({**whole, "id": f"in_old{turn}", "created": at})
            of_intent = {**link["payment"], "payment_intent": intent}
            more = {"id": f"inpay_old{turn}", "invoice": f"in_old{turn}", "payment": of_intent}
            store.put({**link, **more, "created": at})
            store.put({**paid, "id": f"ch_old{turn}", "created": at, "payment_intent": intent})
    stripe.settle(customer)
    with database.transaction() as session:
        assert len(session.scalars(select(Payment.id)).all()) == 121


# Free periods and pauses


def given_free(until: Callable[[int], int]) -> Callable[[Any], Any]:
    def change(whole: Any) -> Any:
        item = whole["items"]["data"][0]
        end = until(item["current_period_end"])
        items = {**whole["items"], "data": [{**item, "current_period_end": end}]}
        trial = {"status": "trialing", "trial_start": whole["created"], "trial_end": end}
        return {**whole, **trial, "items": items}

    return change


def test_a_free_month_for_whoever_has_paid_is_no_leaving(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe)
    rewrite(name, given_free(lambda end: end + 30 * DAY))
    stripe.settle(customer)
    assert number(database) == 1
    until: datetime | None = memberships(database)[0].free_until
    assert until is not None
    with database.transaction() as session:
        assert session.scalars(select(Member.recount_at)).all() == [until]


def test_a_pause_takes_effect_when_what_is_paid_for_is_over(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe, interval="year")
    stripe.advance(days=40)
    stripe.call("POST", f"subscriptions/{name}", **{"pause_collection[behavior]": "void"})
    stripe.settle(customer)
    assert number(database) == 1
    time_passes(stripe, database, customer, days=320)
    assert number(database) == 1
    time_passes(stripe, database, customer, days=10)
    assert number(database) == 0
    assert changes(database)[-1] == (-1, "collection_paused")


def live_through(stripe: Stripe, database: Database, customer: str, days: int) -> list[int]:
    """The number, every third day."""
    seen = []
    for _ in range(days // 3):
        time_passes(stripe, database, customer, days=3)
        seen.append(number(database))
    return seen


def coupon(stripe: Stripe, **terms: Any) -> dict[str, str]:
    """What gives a subscription a new coupon with these terms."""
    return {"discounts[0][coupon]": stripe.call("POST", "coupons", **terms)["id"]}


def test_a_renewal_invoiced_by_e_mail_counts_until_grace_after_its_due_date(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe)
    by_mail = {"collection_method": "send_invoice", "days_until_due": 10}
    stripe.call("POST", f"subscriptions/{name}", **by_mail)
    # A month that is paid, ten days until it is due, two weeks of grace.
    assert live_through(stripe, database, customer, 52) == [1] * 17
    assert live_through(stripe, database, customer, 9)[-1] == 0
    invoice = stripe.call("GET", "invoices", customer=customer)["data"][0]["id"]
    stripe.call("POST", f"invoices/{invoice}/pay", paid_out_of_band="true")
    stripe.settle(customer)
    assert number(database) == 1
    assert changes(database) == [(1, "paid"), (-1, "grace_over"), (1, "paid")]
    assert welcomes(database) == 2


def test_a_trial_given_to_a_member_and_the_renewal_after_it_change_nothing(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe)
    item = stripe.call("GET", f"subscriptions/{name}")["items"]["data"][0]
    end = item["current_period_end"] + 30 * DAY
    stripe.call("POST", f"subscriptions/{name}", trial_end=end, proration_behavior="none")
    stripe.settle(customer)
    assert memberships(database)[0].status is Status.TRIALING
    assert set(live_through(stripe, database, customer, 75)) == {1}
    assert memberships(database)[0].status is Status.ACTIVE
    assert changes(database) == [(1, "paid")]


@pytest.mark.parametrize(("has_paid", "during"), [(True, 1), (False, 0)])
def test_a_new_trial_counts_for_whoever_has_paid_before(
    stripe: Stripe, database: Database, *, has_paid: bool, during: int
) -> None:
    customer, name = join(stripe)
    before = stripe.call("GET", f"subscriptions/{name}")
    if not has_paid:
        charge = stripe.call("GET", "charges", customer=customer)["data"][0]["id"]
        stripe.call("POST", "refunds", charge=charge)
    stripe.call("DELETE", f"subscriptions/{name}")
    stripe.settle(customer)
    assert number(database) == 0
    price = before["items"]["data"][0]["price"]["id"]
    method = before["default_payment_method"]
    trial = {"trial_period_days": 10, "default_payment_method": method}
    stripe.call("POST", "subscriptions", customer=customer, **{"items[0][price]": price}, **trial)
    stripe.settle(customer)
    assert [number(database), *live_through(stripe, database, customer, 9)] == [during] * 4
    assert live_through(stripe, database, customer, 6)[-1] == 1, "the first payment after it"


def test_free_months_with_an_end_change_nothing(stripe: Stripe, database: Database) -> None:
    customer, name = join(stripe)
    two_months = coupon(stripe, percent_off=100, duration="repeating", duration_in_months=2)
    stripe.call("POST", f"subscriptions/{name}", **two_months)
    assert set(live_through(stripe, database, customer, 120)) == {1}
    assert memberships(database)[0].amount == 1000
    assert changes(database) == [(1, "paid")]


def test_a_membership_made_free_for_ever_counts_as_long_as_it_is_paid_for(
    stripe: Stripe, database: Database
) -> None:
    customer, name = join(stripe)
    for_ever = coupon(stripe, percent_off=100, duration="forever")
    stripe.call("POST", f"subscriptions/{name}", **for_ever)
    seen = live_through(stripe, database, customer, 36)
    assert (seen[0], seen[-1]) == (1, 0)
    assert (memberships(database)[0].amount, memberships(database)[0].price) == (0, 1000)
    assert changes(database) == [(1, "paid"), (-1, "nothing_to_pay")]


@pytest.mark.parametrize(
    ("terms", "amount"),
    [
        ({"percent_off": 50, "duration": "forever"}, 500),
        ({"amount_off": 300, "currency": "gbp", "duration": "forever"}, 700),
        ({"percent_off": 25, "duration": "repeating", "duration_in_months": 6}, 750),
    ],
)
def test_a_discount_is_taken_off_what_is_charged_next(
    stripe: Stripe, database: Database, terms: dict[str, Any], amount: int
) -> None:
    customer, name = join(stripe)
    stripe.call("POST", f"subscriptions/{name}", **coupon(stripe, **terms))
    stripe.settle(customer)
    found = memberships(database)[0]
    assert (found.amount, found.price) == (amount, 1000)
    assert (found.discount_until is None) is (terms["duration"] == "forever")
    stripe.advance(days=32)
    assert stripe.call("GET", "charges", customer=customer)["data"][0]["amount"] == amount
    with database.transaction() as session:
        stripe.settle(customer)
        assert still_differs(session, current_gateway(), customer) == []
