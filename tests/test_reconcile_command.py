"""The command `fundraiser reconcile`, and the adoption of who was there before us."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from sqlalchemy import select, text

from fundraiser.cli import main
from fundraiser.db import now
from fundraiser.jobs import Heartbeat
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Cause, Drift, LedgerEntry, Member, Membership
from fundraiser.outbox import Email
from fundraiser.payments import stripe_import
from fundraiser.payments.models import Payment, Reconciliation, SyncRequest
from fundraiser.payments.settlement import settle_next
from fundraiser.payments.stripe.budget import Budget
from fundraiser.payments.stripe.gateway import current_gateway
from tests.conftest import ROOT
from tests.factories import GRACE, sync_request
from tests.simulator_parts import IBAN_FAILS
from workers.timetable import TIMETABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from click.testing import Result

    from fundraiser.db import Database
    from tests.factories import Stripe

    Command = Callable[..., Result]


@pytest.fixture
def stripe_url(empty_stripe_url: str) -> str:
    return empty_stripe_url


@pytest.fixture
def shop(stripe: Stripe) -> Stripe:
    stripe.open_shop()
    return stripe


@pytest.fixture
def fundraiser(environment: dict[str, str], database_url: str, stripe_url: str) -> Command:
    """Type a command, with Stripe behind it."""

    def run(*words: str, **values: str) -> Result:
        env = environment | {
            "DATABASE_URL": database_url,
            "STRIPE_API_BASE": stripe_url,
            "CLOCK_OFFSET_FILE": os.environ["SIMULATOR_CLOCK"],
        }
        return CliRunner(env=env | values).invoke(main, words)

    return run


def number(database: Database) -> int:
    with database.transaction() as session:
        return read_balance(session).members


def people(database: Database) -> list[Member]:
    with database.transaction() as session:
        return list(session.scalars(select(Member).order_by(Member.number)))


def ledger(database: Database) -> Sequence[LedgerEntry]:
    with database.transaction() as session:
        return session.scalars(select(LedgerEntry).order_by(LedgerEntry.version)).all()


# The command


def test_reconcile_repairs_and_says_that_all_agree(
    shop: Stripe, database: Database, fundraiser: Command
) -> None:
    for turn in range(3):
        shop.join(f"reader-{turn}@example.org")
    result = fundraiser("reconcile")
    assert result.exit_code == 0, result.output
    assert "3 customers differed." in result.output
    assert "By the rule 3 people count now." in result.output
    assert "All agree." in result.output
    assert number(database) == 3
    again = fundraiser("reconcile")
    assert "nobody differed." in again.output
    assert "By Stripe's listing 3 people counted." in again.output


def test_whom_a_worker_was_quicker_to_take_is_waited_for(
    shop: Stripe, database: Database, fundraiser: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command said that they do not agree, and a second later all agreed."""
    shop.join("olena@example.org")
    monkeypatch.setattr("fundraiser.cli.books.settle_next", lambda *_: False)

    def work() -> None:
        with shop.app.app_context():
            while not settle_next(database, current_gateway(), GRACE):
                time.sleep(0.1)

    worker = threading.Thread(target=work)
    worker.start()
    result = fundraiser("reconcile")
    worker.join()
    assert result.exit_code == 0, result.output
    assert "All agree." in result.output


def test_check_prints_what_differs_and_changes_nothing(
    shop: Stripe, database: Database, fundraiser: Command
) -> None:
    shop.settle(shop.join("olena@example.org"))
    shop.advance(seconds=2)
    good = fundraiser("reconcile", "--check")
    assert good.exit_code == 0, good.output
    assert "By Stripe's listing 1 people count now." in good.output
    unheard = shop.join("taras@example.org")
    result = fundraiser("reconcile", "--check")
    assert result.exit_code == 1
    assert f"{unheard}: " in result.output
    assert "They do not agree" in result.output
    with database.transaction() as session:
        for table in (SyncRequest, Drift, Reconciliation):
            assert session.scalars(select(table)).all() == []
    assert number(database) == 1


def test_check_names_the_person_whose_row_is_wrong(
    shop: Stripe, database: Database, fundraiser: Command
) -> None:
    shop.settle(shop.join("olena@example.org"))
    with database.transaction() as session:
        session.execute(text("UPDATE member SET counting = false"))
    result = fundraiser("reconcile", "--check")
    assert result.exit_code == 1
    assert f"/staff/members/{people(database)[0].id}: By the rule this person counts" in (
        result.output
    )


def test_reconcile_goes_on_where_stripe_has_no_time(
    shop: Stripe, fundraiser: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fundraiser.cli.progress._WAITS", (0.01,) * 20)
    for turn in range(3):
        shop.settle(shop.join(f"reader-{turn}@example.org"))
    shop.control("faults", api_429=0.4, seed=3)
    result = fundraiser("reconcile")
    shop.control("faults", api_429=0.0)
    assert result.exit_code == 0, result.output


def test_a_stripe_that_is_away_is_a_sentence(fundraiser: Command) -> None:
    result = fundraiser("reconcile", "--check", STRIPE_API_BASE="http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "By the rule 0 people count now." in result.output
    assert "isn’t answering" in result.output


# Adoption


@pytest.fixture
def product(shop: Stripe) -> str:
    """A product from before us."""
    return str(shop.call("POST", "products", name="Friend of the paper")["id"])


def subscribe(stripe: Stripe, product: str, email: str, *, iban: str | None = None) -> str:
    """Somebody joins by the newsroom's old page, by card or debit; returns the customer."""
    item = "line_items[0]"
    page = stripe.call(
        "POST",
        "checkout/sessions",
        **{
            "mode": "subscription",
            "success_url": "http://127.0.0.1:8000/",
            f"{item}[quantity]": 1,
            f"{item}[price_data][currency]": "eur" if iban else "gbp",
            f"{item}[price_data][product]": product,
            f"{item}[price_data][unit_amount]": 900,
            f"{item}[price_data][recurring][interval]": "month",
        },
    )["url"]
    by = {"method": "sepa_debit", "iban": iban} if iban else {}
    assert stripe.pay(page, email, **by).status_code == 303
    return stripe.customer_of(page)


def test_who_was_there_before_us_is_a_member_from_when_they_began(
    shop: Stripe, product: str, database: Database, fundraiser: Command
) -> None:
    begun = []
    for turn in range(3):
        begun.append(now())
        subscribe(shop, product, f"friend-{turn}@example.org")
        shop.advance(days=12)
    shop.advance(days=30)
    result = fundraiser("reconcile", "--adopt", f"{product}=member")
    assert result.exit_code == 0, result.output
    assert "3 customers are adopted." in result.output
    members = people(database)
    assert [member.email for member in members] == [f"friend-{n}@example.org" for n in range(3)]
    assert [member.number for member in members] == [1, 2, 3]
    for entry, member, at in zip(ledger(database), members, begun, strict=True):
        assert (entry.member_id, entry.change, entry.cause) == (member.id, 1, Cause.IMPORT)
        assert abs(entry.happened_at - at) < timedelta(seconds=10)
        assert member.first_counted_at == entry.happened_at
    with database.transaction() as session:
        assert session.scalars(select(Email)).all() == [], "nobody is welcomed who was there"
        assert len(session.scalars(select(Payment)).all()) >= 6
        assert {row.tier for row in session.scalars(select(Membership))} == {"member"}


def test_later_changes_of_somebody_imported_are_not_booked_as_import(
    shop: Stripe, product: str, database: Database, fundraiser: Command
) -> None:
    customer = subscribe(shop, product, "friend@example.org")
    shop.advance(days=12)
    assert fundraiser("reconcile", "--adopt", f"{product}=member").exit_code == 0
    charge = shop.call("GET", f"charges?customer={customer}")["data"][0]["id"]
    shop.call("POST", "refunds", charge=charge)
    shop.settle(customer)
    found = [(entry.change, entry.cause) for entry in ledger(database)]
    assert found == [(1, Cause.IMPORT), (-1, Cause.STRIPE)]


def test_an_adoption_that_was_killed_goes_on(
    shop: Stripe, product: str, database: Database, fundraiser: Command
) -> None:
    customers = []
    for turn in range(3):
        customers.append(subscribe(shop, product, f"friend-{turn}@example.org"))
        shop.advance(seconds=5)
    with database.transaction() as session:
        stripe_import.import_products(session, current_gateway(), {product: "member"})
    with database.transaction() as session:
        found = stripe_import.customers_to_import(
            session, current_gateway(), {product: "member"}, lambda _: None
        )
    assert found == customers
    shop.settle(customers[0])
    result = fundraiser("reconcile", "--adopt", f"{product}=member")
    assert "2 customers are adopted." in result.output
    assert [member.number for member in people(database)] == [1, 2, 3]


def test_nobody_who_was_there_before_us_loses_a_membership_to_us(
    shop: Stripe, product: str, database: Database, fundraiser: Command
) -> None:
    """Two memberships of one person are the newsroom's own affair; a third, through us, is not."""
    for _ in range(2):
        subscribe(shop, product, "friend@example.org")
        shop.advance(seconds=5)
    assert fundraiser("reconcile", "--adopt", f"{product}=member").exit_code == 0
    third = shop.join("friend@example.org")
    shop.settle(third)
    shop.settle_all()
    with database.transaction() as session:
        rows = session.scalars(select(Membership).order_by(Membership.started_at)).all()
    assert [row.status for row in rows] == ["active", "active", "canceled"]
    assert number(database) == 1
    assert [charge["refunded"] for charge in shop.call("GET", "charges")["data"]] == [
        True,
        False,
        False,
    ]


def test_who_stopped_before_us_is_known_and_not_counted(
    shop: Stripe, product: str, database: Database, fundraiser: Command
) -> None:
    customer = subscribe(shop, product, "former@example.org")
    name = shop.call("GET", "subscriptions", customer=customer)["data"][0]["id"]
    shop.call("DELETE", f"subscriptions/{name}")
    result = fundraiser("reconcile", "--adopt", f"{product}=patron")
    assert result.exit_code == 0, result.output
    (member,) = people(database)
    assert (member.number, member.counting) == (None, False)


def test_only_a_debit_that_fails_after_the_adoption_is_told(
    shop: Stripe, product: str, database: Database, fundraiser: Command
) -> None:
    subscribe(shop, product, "long-ago@example.org", iban=IBAN_FAILS)
    shop.advance(days=15)
    late = subscribe(shop, product, "on-its-way@example.org", iban=IBAN_FAILS)
    shop.advance(seconds=5)
    assert fundraiser("reconcile", "--adopt", f"{product}=member").exit_code == 0
    shop.advance(days=15)
    shop.settle(late)
    shop.settle_all()
    with database.transaction() as session:
        told = session.scalars(
            select(Member.email)
            .join(Email, Email.member_id == Member.id)
            .where(Email.kind == "payment_failed_first")
        ).all()
    assert told == ["on-its-way@example.org"]


def test_who_takes_up_an_adopted_product_later_is_welcomed(
    shop: Stripe, product: str, database: Database, fundraiser: Command
) -> None:
    assert fundraiser("reconcile", "--adopt", f"{product}=member").exit_code == 0
    shop.advance(seconds=5)
    shop.settle(subscribe(shop, product, "late@example.org"))
    with database.transaction() as session:
        assert [email.kind for email in session.scalars(select(Email))] == ["welcome"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("prod_unknown=member", "Stripe has no product prod_unknown."),
        ("{product}=gold", "There is no tier gold; there are reader, member, patron"),
        ("fundraiser_reader=patron", "fundraiser_reader is of the tier reader already."),
        ("{product}", "is not PRODUCT=TIER"),
    ],
)
def test_what_cannot_be_adopted_is_said(
    product: str, fundraiser: Command, words: str, sentence: str
) -> None:
    result = fundraiser("reconcile", "--adopt", words.format(product=product))
    assert result.exit_code != 0
    assert sentence in result.output


def test_check_and_adopt_exclude_each_other(fundraiser: Command) -> None:
    assert fundraiser("reconcile", "--check", "--adopt", "prod_1=member").exit_code == 2


# What a busy Stripe asks for


def test_several_hands_share_one_budget_of_calls(database: Database) -> None:
    """Ten calls by five hands at twenty a second take nine gaps of a twentieth."""
    budget = Budget(database.engine, 20)
    begun = time.monotonic()

    def call_twice() -> None:
        for _ in range(2):
            budget.wait("subscriptions")

    hands = [threading.Thread(target=call_twice) for _ in range(5)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert time.monotonic() - begun >= 9 / 20
    before = time.monotonic()
    budget.wait("another endpoint")
    assert time.monotonic() - before < 9 / 20


def test_a_settlement_that_stripe_has_no_time_for_is_tried_again_a_little_later(
    shop: Stripe, database: Database
) -> None:
    customers = [shop.join(f"reader-{turn}@example.org") for turn in range(4)]
    with database.transaction() as session:
        session.add_all(sync_request(customer_id=customer) for customer in customers)
    shop.control("faults", api_429=1.0)
    at = now()
    for _ in customers:  # each takes seconds, in which the first are due again
        assert settle_next(database, current_gateway(), GRACE)
    shop.control("faults", api_429=0.0)
    with database.transaction() as session:
        syncs = session.scalars(select(SyncRequest)).all()
        assert {sync.attempts for sync in syncs} == {1}
        assert all(sync.due_at and sync.due_at > at + timedelta(seconds=1) for sync in syncs)
        waits = {(sync.due_at - at).microseconds for sync in syncs if sync.due_at}
        assert len(waits) == 4, "they do not all come back at once"
    shop.advance(seconds=10)
    shop.settle_all()
    assert number(database) == 4


def test_what_time_alone_changes_is_looked_for_three_times_a_minute() -> None:
    assert TIMETABLE["recount"]["schedule"] == 20.0


@pytest.mark.parametrize("redis", [None, "redis://127.0.0.1:9/0"])
def test_beat_says_that_it_runs_whether_redis_takes_its_tick_or_not(
    environment: dict[str, str], database_url: str, database: Database, redis: str | None
) -> None:
    program = (
        "from contextlib import suppress; from kombu.exceptions import OperationalError;"
        "from workers.tasks import beat\n"
        "with suppress(OperationalError): beat.apply_async(retry=False)"
    )
    values = {"DATABASE_URL": database_url, "REDIS_URL": redis or environment["REDIS_URL"]}
    subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment | values,
        cwd=ROOT,
        check=True,
    )
    with database.transaction() as session:
        assert session.scalars(select(Heartbeat.name)).all() == ["beat"]
