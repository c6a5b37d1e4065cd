"""The operator's commands, as they are typed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from fundraiser.cli import main
from fundraiser.members.ledger import read_balance
from fundraiser.newsroom.models import Role, Staff
from fundraiser.payments.models import Price
from tests.factories import make_tiers, sync_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from demo.servers import Postgres, Valkey
    from fundraiser.db import Database
    from tests.factories import Stripe

    Command = Callable[..., Result]

PASSWORD = "correct horse battery"


@pytest.fixture
def fundraiser(environment: dict[str, str], database_url: str) -> Command:
    """Type a command; values of the environment may be added."""

    def run(*words: str, typed: str | None = None, **values: str) -> Result:
        env = environment | {"DATABASE_URL": database_url} | values
        return CliRunner(env=env).invoke(main, words, input=typed)

    return run


def test_a_person_of_the_staff_is_added_with_a_password_typed_twice(
    fundraiser: Command, database: Database
) -> None:
    words = ("create-staff", "iryna@example.org", "--name", "Iryna Bondar", "--role", "admin")
    result = fundraiser(*words, typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert result.exit_code == 0, result.output
    assert PASSWORD not in result.output
    with database.transaction() as session:
        staff = session.scalars(select(Staff)).one()
    assert (staff.email, staff.name, staff.role) == (
        "iryna@example.org",
        "Iryna Bondar",
        Role.ADMIN,
    )


def test_a_person_who_is_there_is_not_added_again_but_may_get_a_new_password(
    fundraiser: Command, database: Database
) -> None:
    words = ("create-staff", "iryna@example.org")
    assert fundraiser(*words, STAFF_PASSWORD=PASSWORD).exit_code == 0
    result = fundraiser(*words, STAFF_PASSWORD=PASSWORD)
    assert result.exit_code == 1
    assert "iryna@example.org" in result.output
    with database.transaction() as session:
        before = session.scalars(select(Staff)).one()
    assert fundraiser(*words, "--reset", STAFF_PASSWORD=f"{PASSWORD} 2").exit_code == 0
    with database.transaction() as session:
        after = session.scalars(select(Staff)).one()
    assert before.password_hash != after.password_hash


def test_a_password_that_is_too_short_is_refused_in_a_sentence(fundraiser: Command) -> None:
    result = fundraiser("create-staff", "iryna@example.org", STAFF_PASSWORD="short")
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert " 12 " in result.output


def test_a_missing_setting_is_a_sentence(fundraiser: Command) -> None:
    result = fundraiser("reconcile", SECRET_KEY="")
    assert result.exit_code == 1
    assert "SECRET_KEY is missing" in result.output


def test_a_database_that_is_away_is_a_sentence(fundraiser: Command) -> None:
    result = fundraiser("reconcile", DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
    assert result.exit_code == 1
    assert "The database does not answer" in result.output


def test_an_empty_database_is_migrated_from_any_folder(
    servers: tuple[Postgres, Valkey],
    fundraiser: Command,
    tmp_path: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = servers[0].create_database("empty")
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setitem(os.environ, "DATABASE_URL", url)
    result = fundraiser("migrate", DATABASE_URL=url)
    assert result.exit_code == 0, result.output
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT balance FROM ledger_head").fetchone() == (0,)


def test_products_are_made_at_stripe_once(
    fundraiser: Command, stripe: Stripe, database: Database
) -> None:
    with database.transaction() as session:
        make_tiers(session)
    first = fundraiser("set-up-stripe", STRIPE_API_BASE=stripe.url)
    assert (first.exit_code, "Made 22 products and prices" in first.output) == (0, True)
    again = fundraiser("set-up-stripe", STRIPE_API_BASE=stripe.url)
    assert "All are there already." in again.output
    with database.transaction() as session:
        assert not session.scalars(select(Price).where(Price.stripe_id.is_(None))).all()


def test_customers_are_settled_by_name(fundraiser: Command, stripe: Stripe) -> None:
    stripe.open_shop()
    customer = stripe.join("reader-of-the-cli@example.org")
    result = fundraiser("settle", customer, "cus_unknown", STRIPE_API_BASE=stripe.url)
    assert result.exit_code == 0, result.output
    assert f"{customer}: settled; the person counts, as member number 1." in result.output
    assert "cus_unknown: not one of ours" in result.output
    with stripe.app.database.transaction() as session:
        assert read_balance(session).members == 1


def test_the_doctor_names_what_a_restricted_key_may_not_read(
    fundraiser: Command, stripe: Stripe
) -> None:
    key = {"STRIPE_API_KEY": "rk_test_without_money", "STRIPE_API_BASE": stripe.url}
    result = fundraiser("doctor", **key)
    assert result.exit_code == 1
    assert "STRIPE_API_KEY may not read balance, balance_transactions, payouts" in result.output


def test_the_doctor_says_what_is_wrong_with_each_part(
    fundraiser: Command, database: Database
) -> None:
    with database.transaction() as session:
        make_tiers(session)
        sync = sync_request(customer_id="cus_1")
        sync.due_at = None
        session.add(sync)
    result = fundraiser("doctor", REDIS_URL="redis://127.0.0.1:9/0")
    assert result.exit_code == 1
    for sentence in (
        "22 products and prices are not at Stripe",
        "No worker has ever reported",
        "1 customers rest with an error",
        "Redis does not answer",
        "Check STRIPE_API_KEY",
        "Check SMTP_URL",
    ):
        assert sentence in result.output


def test_the_doctor_knows_a_database_that_is_away_from_one_with_old_tables(
    servers: tuple[Postgres, Valkey], fundraiser: Command
) -> None:
    old = servers[0].create_database("old")
    assert "run fundraiser migrate" in fundraiser("doctor", DATABASE_URL=old).output
    away = "postgresql://nobody@127.0.0.1:9/none"
    assert "check DATABASE_URL" in fundraiser("doctor", DATABASE_URL=away).output
