"""A changed rule, a restored backup, and products that nobody knows: the operator's commands."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, select, text, update

from fundraiser.cli import main
from fundraiser.db import now
from fundraiser.members.consistency import check_consistency
from fundraiser.members.counting import apply_rule, verdicts_of_all
from fundraiser.members.eligibility import RULE
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import (
    Cause,
    Dues,
    LedgerEntry,
    LedgerHead,
    Member,
    Membership,
    Status,
)
from fundraiser.outbox import Email, EmailState
from fundraiser.payments.models import Checkout, Customer, Payment
from fundraiser.payments.sync import FACTS
from tests.factories import GRACE, make_member, make_membership

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result
    from sqlalchemy.orm import Session

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
def command(environment: dict[str, str], database_url: str, stripe_url: str) -> Command:
    """Type a command, with Stripe behind it."""

    def run(*words: str, typed: str | None = None) -> Result:
        env = environment | {
            "DATABASE_URL": database_url,
            "STRIPE_API_BASE": stripe_url,
            "CLOCK_OFFSET_FILE": os.environ["SIMULATOR_CLOCK"],
        }
        return CliRunner(env=env).invoke(main, words, input=typed)

    return run


def number(database: Database) -> int:
    with database.transaction() as session:
        return read_balance(session).members


def entries(database: Database) -> list[tuple[int, str, str]]:
    with database.transaction() as session:
        return [
            (entry.change, entry.cause, entry.reason)
            for entry in session.scalars(select(LedgerEntry).order_by(LedgerEntry.version))
        ]


def numbers(database: Database) -> dict[str | None, int | None]:
    with database.transaction() as session:
        return {one.email: one.number for one in session.scalars(select(Member)) if one.number}


# A changed rule


def test_a_changed_rule_is_announced_and_then_written_with_its_cause(
    shop: Stripe, database: Database, command: Command
) -> None:
    for name in ("olena", "taras"):
        shop.settle(shop.join(f"{name}@example.org"))
    with database.transaction() as session:
        # As if a release had changed the rule: by the new one, Taras does not count.
        taras = session.scalars(select(Member).where(Member.email == "taras@example.org")).one()
        session.execute(
            update(Membership)
            .where(Membership.member_id == taras.id)
            .values(status=Status.UNPAID, grace_from=now() - timedelta(days=30))
        )
    asked = command("recount", typed="n\n")
    assert f"2 people are counted now; by the rule {RULE} there will be 1." in asked.output
    assert "-1 not_paid" in asked.output
    assert asked.exit_code == 1
    assert number(database) == 2, "nothing is changed before somebody says yes"
    assert "The number is 1 now." in command("recount", "--yes").output
    assert entries(database)[-1] == (-1, Cause.RULE, "not_paid")
    again = command("recount", "--yes")
    assert f"1 people are counted now; by the rule {RULE} there will be 1." in again.output
    assert len(entries(database)) == 3
    with database.transaction() as session:
        assert check_consistency(session, GRACE).holds


def test_another_grace_period_moves_the_day_on_which_somebody_leaves(session: Session) -> None:
    member = make_member(session)
    failed = now() - timedelta(days=5)
    session.add(
        make_membership(
            member,
            status=Status.PAST_DUE,
            payment_status=Dues.OVERDUE,
            grace_from=failed,
        )
    )
    session.flush()
    for days, counting in ((14, True), (7, True), (3, False), (14, True)):
        assert apply_rule(session, timedelta(days=days), 0) == member.id
        found = session.get_one(Member, member.id)
        assert found.counting is counting
        assert found.recount_at == (failed + timedelta(days=days) if counting else None)


def test_a_recount_that_was_interrupted_goes_on_and_doubles_nothing(session: Session) -> None:
    for _ in range(5):
        session.add(make_membership(make_member(session)))
    session.flush()
    (people,) = verdicts_of_all(session, now(), GRACE)
    assert len(people) == 5
    assert apply_rule(session, GRACE, people[2].member_id) == people[4].member_id
    assert read_balance(session).members == 2
    assert apply_rule(session, GRACE, 0) == people[4].member_id
    assert apply_rule(session, GRACE, people[4].member_id) is None
    assert read_balance(session).members == 5


def test_facts_that_are_missing_are_read_from_stripe_without_counting(
    shop: Stripe, database: Database, command: Command
) -> None:
    customer = shop.join("olena@example.org")
    shop.settle(customer)
    with database.transaction() as session:
        session.execute(update(Customer).values(facts=0))
        session.execute(update(Membership).values(paid_until=None, has_paid=False))
    shop.call("DELETE", f"subscriptions/{subscription_of(shop, customer)}")
    said = command("recount", typed="n\n").output
    assert re.search(r"\b1 customer.*\b0 could", said)
    assert "there will be 0." in said
    assert number(database) == 1, "the sync writes the facts and counts nobody"
    with database.transaction() as session:
        assert session.scalars(select(Customer.facts)).all() == [FACTS]
        found = session.scalars(select(Membership)).one()
        assert (found.has_paid, found.paid_until) == (True, found.period_end)
    assert "Read" not in command("recount", "--yes").output
    assert number(database) == 0


# Products that nobody knows


def subscription_of(stripe: Stripe, customer: str) -> str:
    return str(stripe.call("GET", "subscriptions", customer=customer)["data"][0]["id"])


def subscribe_to_something_else(stripe: Stripe) -> str:
    """Somebody pays for a product that this service has not made; returns the product's id."""
    product = str(stripe.call("POST", "products", name="Print edition")["id"])
    price = stripe.call(
        "POST",
        "prices",
        product=product,
        currency="gbp",
        unit_amount=3000,
        **{"recurring[interval]": "month"},
    )["id"]
    joined = stripe.join("reader@example.org")
    method = stripe.call("GET", "payment_methods", customer=joined)["data"][0]["id"]
    data: dict[str, Any] = {"items[0][price]": price, "default_payment_method": method}
    stripe.call("POST", "subscriptions", customer=joined, **data)
    stripe.settle(joined)
    return product


def test_a_live_subscription_of_an_unknown_product_is_named_until_somebody_says_what_it_is(
    shop: Stripe, database: Database, command: Command
) -> None:
    product = subscribe_to_something_else(shop)
    for options in (["--check"], []):
        found = command("reconcile", *options)
        assert f"{product} (Print edition): 1 running subscriptions." in found.output
        assert "All agree" not in found.output
        assert found.exit_code == 1
    said = command("reconcile", "--not-ours", product)
    assert "All agree." in said.output, said.output
    assert said.exit_code == 0
    assert number(database) == 1


# A restored backup


def test_after_a_restore_people_keep_their_numbers_and_nobody_is_welcomed_again(
    shop: Stripe, database: Database, command: Command
) -> None:
    for name in ("one", "two", "three", "four"):
        shop.settle(shop.join(f"{name}@example.org"))
        shop.advance(minutes=5)
    before = numbers(database)
    _forget_all_after(database, 2)
    assert list(numbers(database)) == ["one@example.org", "two@example.org"]
    said = command("restore-check")
    assert "Brought back 2 customers." in said.output
    assert said.exit_code == 0, said.output
    assert numbers(database) == before
    with database.transaction() as session:
        welcomes = session.scalars(
            select(Email.state).where(Email.kind == "welcome").order_by(Email.id)
        ).all()
    queued = [state for state in welcomes if state is EmailState.QUEUED]
    assert len(queued) == 2, "those of the two whom the backup knows"
    assert len(welcomes) == 4


def test_a_restore_names_the_products_that_the_backup_does_not_know(
    shop: Stripe, command: Command
) -> None:
    product = subscribe_to_something_else(shop)
    said = command("restore-check")
    assert product in said.output
    assert said.exit_code == 1


def _forget_all_after(database: Database, members: int) -> None:
    """As if a backup had been restored that was made when there were so many members."""
    with database.transaction() as session:
        later = select(Member.id).where(Member.number > members).scalar_subquery()
        session.execute(text("ALTER TABLE ledger DISABLE TRIGGER ALL"))
        for table in (Email, Payment, Membership, Customer, Checkout, LedgerEntry):
            session.execute(delete(table).where(table.member_id.in_(later)))
        session.execute(delete(Member).where(Member.number > members))
        session.execute(text("ALTER TABLE ledger ENABLE TRIGGER ALL"))
        session.execute(
            update(LedgerHead).values(version=members, balance=members, numbers_given=members)
        )
