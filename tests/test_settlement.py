"""Settlement: what Stripe says of a customer becomes our rows, the number and our e-mails."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select, text

from fundraiser.errors import NotFoundError
from fundraiser.members.counting import recount_due
from fundraiser.members.eligibility import Reason
from fundraiser.members.models import (
    Dues,
    LedgerEntry,
    Member,
    Membership,
    Status,
)
from fundraiser.payments import queue, settlement, sync
from fundraiser.payments.checkout import find_checkout
from fundraiser.payments.models import Checkout, CheckoutKind, Payment, SyncLease, SyncRequest
from fundraiser.payments.queue import SyncBusyError
from fundraiser.payments.stripe.gateway import Gateway, current_gateway
from fundraiser.payments.stripe.types import read_event
from fundraiser.payments.sync import fetch
from fundraiser.payments.telling import Telling
from fundraiser.webhooks.inbox import HANDLED
from tests.factories import GRACE
from tests.settlements import emails, memberships, number_of_members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundraiser.db import Database
    from fundraiser.payments.stripe.types import CustomerState
    from tests.factories import Stripe

pytestmark = pytest.mark.usefixtures("open_shop")

SEPA = {"method": "sepa_debit", "iban": "DE89370400440532013000"}


def ledger_of(database: Database, member_id: int) -> Sequence[LedgerEntry]:
    with database.transaction() as session:
        return session.scalars(
            select(LedgerEntry)
            .where(LedgerEntry.member_id == member_id)
            .order_by(LedgerEntry.version)
        ).all()


def test_a_reader_who_pays_is_counted_once_however_often_we_look(
    stripe: Stripe, database: Database
) -> None:
    customer = stripe.join("olena@example.org", tier="member")
    for _ in range(3):
        member = stripe.settle(customer)
    assert member
    assert (member.number, member.counting, member.country) == (1, True, "GB")
    assert number_of_members(database) == 1
    assert [entry.change for entry in ledger_of(database, member.id)] == [1]
    assert emails(database) == ["welcome"]
    (membership,) = memberships(database)
    assert (membership.amount, membership.currency, membership.tier) == (1000, "GBP", "member")
    assert membership.campaign == "25000"


def test_the_checkout_remembers_what_came_of_it(stripe: Stripe, database: Database) -> None:
    page = stripe.checkout(tier="patron", interval="year", currency="EUR")
    stripe.pay(page, "olena@example.org")
    stripe.settle(stripe.customer_of(page))
    with database.transaction() as session:
        checkout = find_checkout(session, page.rsplit("/", 1)[1])
        membership = session.scalars(select(Membership)).one()
    assert (checkout.member_id, checkout.reference) == (membership.member_id, membership.reference)
    assert (membership.amount, membership.currency) == (25000, "EUR")


def test_an_amount_of_the_readers_own_and_the_fees_are_charged(
    stripe: Stripe, database: Database
) -> None:
    stripe.settle(stripe.join("own@example.org", amount=1234))
    stripe.settle(stripe.join("fees@example.org", cover_fee=True))
    assert [membership.amount for membership in memberships(database)] == [1234, 1036]
    assert number_of_members(database) == 2


def test_the_same_form_sent_twice_is_one_checkout(stripe: Stripe, database: Database) -> None:
    pages: set[str] = set()
    hands = [
        threading.Thread(target=lambda: pages.add(_in_context(stripe, nonce="one-form")))
        for _ in range(4)
    ]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert len(pages) == 1
    assert stripe.checkout(nonce="one-form", tier="reader") not in pages
    with database.transaction() as session:
        assert len(session.scalars(select(Checkout)).all()) == 2


def _in_context(stripe: Stripe, **values: str) -> str:
    with stripe.app.app_context():
        return stripe.checkout(**values)


def test_a_declined_card_counts_nobody_and_enqueues_no_email(
    stripe: Stripe, database: Database
) -> None:
    page = stripe.checkout()
    assert stripe.pay(page, "olena@example.org", "4000000000000002").status_code == 402
    with database.transaction() as session:
        assert session.scalars(select(Member)).all() == []
    assert number_of_members(database) == 0


def test_a_debit_in_process_counts_until_it_fails(stripe: Stripe, database: Database) -> None:
    page = stripe.checkout(currency="EUR")
    stripe.pay(page, "olena@example.org", **SEPA | {"iban": "DE62370400440532013001"})
    customer = stripe.customer_of(page)
    stripe.settle(customer)
    assert memberships(database)[0].payment_status is Dues.IN_PROCESS
    assert number_of_members(database) == 1
    # Of a bill that is tried again by debit, nothing else says so.
    newest = stripe.call("GET", "events", type="charge.pending")["data"][0]
    assert read_event(newest).customer_id == customer
    assert "charge.pending" in HANDLED
    stripe.advance(days=4)
    member = stripe.settle(customer)
    assert member
    assert not member.counting
    assert number_of_members(database) == 0


def test_a_debit_that_arrives_changes_nothing_in_the_number(
    stripe: Stripe, database: Database
) -> None:
    page = stripe.checkout(currency="EUR")
    stripe.pay(page, "olena@example.org", **SEPA)
    customer = stripe.customer_of(page)
    stripe.settle(customer)
    stripe.advance(days=4)
    stripe.settle(customer)
    assert memberships(database)[0].payment_status is Dues.PAID
    assert len(ledger_of(database, memberships(database)[0].member_id)) == 1


def test_a_one_time_contribution_is_thanked_and_not_counted(
    stripe: Stripe, database: Database
) -> None:
    customer = stripe.join("giver@example.org", tier=None, interval=None, amount=5000)
    member = stripe.settle(customer)
    stripe.settle(customer)
    assert member
    assert (member.number, number_of_members(database)) == (None, 0)
    assert emails(database) == ["contribution"]
    with database.transaction() as session:
        payment = session.scalars(select(Payment)).one()
    assert (payment.kind, payment.amount) == (CheckoutKind.CONTRIBUTION, 5000)


def test_who_cancels_leaves_the_number_at_the_periods_end(
    stripe: Stripe, database: Database
) -> None:
    customer = stripe.join("olena@example.org")
    stripe.settle(customer)
    reference = memberships(database)[0].reference
    stripe.call("POST", f"subscriptions/{reference}", cancel_at_period_end="true")
    member = stripe.settle(customer)
    assert member
    assert member.counting
    assert member.recount_at == memberships(database)[0].period_end
    stripe.advance(days=32)
    stripe.settle(customer)
    assert number_of_members(database) == 0
    last = ledger_of(database, member.id)[-1]
    assert (last.change, last.reason) == (-1, Reason.ENDED)


def test_a_renewal_keeps_the_member_and_adds_a_payment(stripe: Stripe, database: Database) -> None:
    customer = stripe.join("olena@example.org")
    stripe.settle(customer)
    stripe.advance(days=32)
    stripe.settle(customer)
    with database.transaction() as session:
        assert len(session.scalars(select(Payment)).all()) == 2
    assert number_of_members(database) == 1


def test_a_card_that_fails_at_renewal_counts_through_the_grace_period_and_no_longer(
    stripe: Stripe, database: Database
) -> None:
    customer = stripe.join("olena@example.org")
    stripe.settle(customer)
    stripe.change_card(customer, "4000000000000341")
    stripe.advance(days=32)
    member = stripe.settle(customer)
    assert member
    (membership,) = memberships(database)
    assert (membership.status, membership.payment_status) == (
        Status.PAST_DUE,
        Dues.OVERDUE,
    )
    assert membership.grace_from
    assert (member.counting, member.recount_at) == (True, membership.grace_from + GRACE)
    stripe.advance(days=14)
    with database.transaction() as session:
        recount_due(session, GRACE)
    assert ledger_of(database, member.id)[-1].reason == Reason.GRACE_OVER
    stripe.settle(customer)
    assert number_of_members(database) == 0


def test_a_disputed_payment_does_not_count_until_the_dispute_is_won(
    stripe: Stripe, database: Database
) -> None:
    customer = stripe.join("olena@example.org")
    stripe.settle(customer)
    charge = stripe.call("GET", "charges", customer=customer)["data"][0]["id"]
    dispute = stripe.control("disputes", charge=charge)["id"]
    member = stripe.settle(customer)
    assert member
    assert ledger_of(database, member.id)[-1].reason == Reason.DISPUTED
    stripe.control("disputes", dispute=dispute, outcome="won")
    stripe.settle(customer)
    assert number_of_members(database) == 1
    assert [entry.change for entry in ledger_of(database, member.id)] == [1, -1, 1]
    assert member.number == 1


def test_a_full_refund_ends_the_counting_at_once(stripe: Stripe, database: Database) -> None:
    customer = stripe.join("olena@example.org")
    member = stripe.settle(customer)
    charge = stripe.call("GET", "charges", customer=customer)["data"][0]["id"]
    stripe.call("POST", "refunds", charge=charge, amount=100)
    stripe.settle(customer)
    assert number_of_members(database) == 1
    stripe.call("POST", "refunds", charge=charge)
    stripe.settle(customer)
    assert member
    assert number_of_members(database) == 0
    assert ledger_of(database, member.id)[-1].reason == Reason.REFUNDED


def test_a_customer_of_other_products_is_none_of_ours(stripe: Stripe, database: Database) -> None:
    product = stripe.call("POST", "products", name="Tote bag")["id"]
    page = stripe.call(
        "POST",
        "checkout/sessions",
        **{
            "mode": "subscription",
            "success_url": "http://127.0.0.1:8000/",
            "line_items[0][quantity]": 1,
            "line_items[0][price_data][currency]": "gbp",
            "line_items[0][price_data][product]": product,
            "line_items[0][price_data][unit_amount]": 900,
            "line_items[0][price_data][recurring][interval]": "month",
        },
    )["url"]
    stripe.pay(page, "bag@example.org")
    assert stripe.settle(stripe.customer_of(page)) is None
    assert number_of_members(database) == 0


def test_a_customer_that_stripe_does_not_know_is_left_alone(stripe: Stripe) -> None:
    assert stripe.settle("cus_unknown") is None
    with pytest.raises(NotFoundError):
        current_gateway().fetch_session("cs_test_unknown")


def test_two_customers_of_one_person_settled_at_once_are_one_person(
    stripe: Stripe, database: Database
) -> None:
    customers = [stripe.join("olena@example.org") for _ in range(2)]

    def settle(customer: str) -> None:
        with stripe.app.app_context():
            stripe.settle(customer)

    hands = [threading.Thread(target=settle, args=(customer,)) for customer in customers]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    stripe.settle_all()
    with database.transaction() as session:
        assert len(session.scalars(select(Member)).all()) == 1
    assert number_of_members(database) == 1
    assert sorted(found.status for found in memberships(database)) == ["active", "canceled"]


@pytest.mark.parametrize("checked", [True, False])
def test_only_the_leases_token_keeps_an_older_look_from_overwriting_a_newer(
    stripe: Stripe, database: Database, monkeypatch: pytest.MonkeyPatch, *, checked: bool
) -> None:
    """Polar's handler takes no lock, so that two workers may run one event; nor do most others."""
    customer = stripe.join("olena@example.org")
    stripe.settle(customer)
    # As where whoever looked first goes on only when the time is up for which the lease was theirs.
    monkeypatch.setattr(queue, "LEASE", timedelta())
    if not checked:
        monkeypatch.setattr(queue, "hold", lambda *_: None)
    has_looked, is_over, overtaken = threading.Event(), threading.Event(), threading.Event()

    def find_late(*what: Any) -> CustomerState | None:
        found = fetch(*what)
        if not has_looked.is_set():
            has_looked.set()
            is_over.wait(10)
        return found

    monkeypatch.setattr(sync, "fetch", find_late)

    def settle() -> None:
        with stripe.app.app_context():
            try:
                stripe.settle(customer)
            except SyncBusyError:
                overtaken.set()

    older = threading.Thread(target=settle)
    older.start()
    assert has_looked.wait(10)
    reference = memberships(database)[0].reference
    stripe.call("POST", f"subscriptions/{reference}", cancel_at_period_end="true")
    settle()
    is_over.set()
    older.join()
    assert (memberships(database)[0].cancel_at is not None) is checked
    assert overtaken.is_set() is checked


def test_whoever_was_overtaken_writes_nothing_though_somebody_holds_the_lease(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "LEASE", timedelta())
    claims = []
    for _ in range(2):
        with database.transaction() as session:
            claims.append(queue.claim(session, "cus_1"))
    older, newer = claims
    assert older
    assert newer
    with database.transaction() as session, pytest.raises(SyncBusyError):
        queue.hold(session, older)
    with database.transaction() as session:
        queue.release(session, [older])  # what is somebody else's is not given back
        queue.hold(session, newer)


def test_a_customer_is_looked_at_by_one_at_a_time(stripe: Stripe, database: Database) -> None:
    customer = stripe.join("olena@example.org")
    with settlement.leased(database, [customer]):
        with pytest.raises(SyncBusyError), settlement.leased(database, [customer], patience=0.2):
            pass
        with database.transaction() as session:
            queue.request_sync(session, customer)
        assert not settlement.settle_next(database, current_gateway(), GRACE)
    assert settlement.settle_next(database, current_gateway(), GRACE)
    assert number_of_members(database) == 1


class KilledError(BaseException):
    """The process is gone: nothing that it would have done after this is done."""


# Where a worker is killed: before or after this function of the settlement.
STEPS = [
    ("fetch", "before"),
    ("fetch", "after"),
    ("write", "before"),
    ("write", "after"),
    ("make_calls", "before"),
    ("make_calls", "after"),
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_worker_killed_at_any_step_leaves_all_of_it_to_another(
    stripe: Stripe,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    step: tuple[str, str],
    turn: int,
) -> None:
    """A second membership, so that Stripe is told something: it is ended and refunded once."""
    name, when = step
    stripe.settle(stripe.join("olena@example.org"))
    customer = stripe.join("olena@example.org")
    with database.transaction() as session:
        queue.request_sync(session, customer)
    place = Telling if name == "make_calls" else sync
    whole, turns = getattr(place, name), iter(range(1, 100))

    def killed(*what: Any, **more: Any) -> Any:
        dies = next(turns) == turn
        if dies and when == "before":
            raise KilledError
        done = whole(*what, **more)
        if dies:
            raise KilledError
        return done

    with monkeypatch.context() as patch:
        patch.setattr(place, name, killed)
        with suppress(KilledError):
            stripe.settle_all()
    with database.transaction() as session:
        session.execute(text("UPDATE sync_lease SET until = now()"))
    stripe.settle_all()
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(SyncRequest)) == 0
        assert session.scalar(select(func.count()).select_from(SyncLease)) == 0
    assert sorted(found.status for found in memberships(database)) == ["active", "canceled"]
    (charge,) = stripe.call("GET", "charges", customer=customer)["data"]
    assert charge["amount_refunded"] == charge["amount"]
    assert len(stripe.call("GET", "refunds", charge=charge["id"])["data"]) == 1
    assert emails(database).count("second_membership") == 1
    assert number_of_members(database) == 1


def test_nothing_is_held_while_stripe_is_asked(
    stripe: Stripe, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = stripe.join("olena@example.org")
    fetch, held = Gateway.fetch_customer, []

    def watched(gateway: Gateway, name: str) -> CustomerState:
        pool: Any = database.engine.pool
        held.append(pool.checkedout())
        return fetch(gateway, name)

    monkeypatch.setattr(Gateway, "fetch_customer", watched)
    stripe.settle(customer)
    assert held == [0]


def test_an_address_changed_at_stripe_moves_with_the_person(
    stripe: Stripe, database: Database
) -> None:
    customer = stripe.join("old@example.org")
    member = stripe.settle(customer)
    stripe.call("POST", f"customers/{customer}", email="new@example.org")
    again = stripe.settle(customer)
    assert member
    assert again
    assert (again.id, again.email) == (member.id, "new@example.org")
    assert number_of_members(database) == 1


def test_an_address_changed_to_another_members_makes_the_two_one_person(
    stripe: Stripe, database: Database
) -> None:
    stripe.settle(stripe.join("first@example.org"))
    stripe.advance(seconds=2)
    customer = stripe.join("second@example.org")
    stripe.settle(customer)
    assert number_of_members(database) == 2
    stripe.call("POST", f"customers/{customer}", email="first@example.org")
    stripe.settle(customer)
    assert number_of_members(database) == 1


def test_an_email_is_not_owed_again_when_its_customer_becomes_somebody_elses(
    stripe: Stripe, database: Database
) -> None:
    giver = stripe.join("giver@example.org", tier=None, interval=None, amount=5000)
    stripe.settle(giver)
    stripe.settle(stripe.join("olena@example.org", tier="member"))
    second = stripe.join("olena@example.org", tier="patron")
    stripe.settle(second)
    told = emails(database)
    assert {"contribution", "second_membership"} < set(told)
    stripe.settle(stripe.join("other@example.org", tier=None, interval=None, amount=5000))
    told = emails(database)
    for customer in (giver, second):
        stripe.call("POST", f"customers/{customer}", email="other@example.org")
        stripe.settle(customer)
    assert emails(database) == told
