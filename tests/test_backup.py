"""A backup is made, the world goes on, the backup is restored: the operator's own scripts do it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from demo.servers import _postgres_programs
from fundraiser.app import create_app
from fundraiser.config import load_settings
from fundraiser.db import now
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Member, Membership
from fundraiser.newsroom.maintenance import Stopped, is_stopped
from fundraiser.outbox import Email, EmailState
from fundraiser.payments.models import Customer, Payment
from tests.deployment import ROOT, python

if TYPE_CHECKING:
    from demo.servers import Postgres, Valkey
    from fundraiser.db import Database
    from tests.factories import Stripe

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def stripe_url(empty_stripe_url: str) -> str:
    return empty_stripe_url


def run(script: str, argument: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "deploy" / script), str(argument)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def standing(database: Database) -> tuple[int, dict[str | None, tuple[int | None, bool]]]:
    """The number, and each member's own number and whether they count."""
    with database.transaction() as session:
        members = session.scalars(select(Member)).all()
        return read_balance(session).members, {
            one.email: (one.number, one.counting) for one in members
        }


def subscription(database: Database, name: str) -> str:
    with database.transaction() as session:
        query = select(Membership.reference).join(Member, Member.id == Membership.member_id)
        return str(session.scalars(query.where(Member.email == f"{name}@example.org")).one())


def charge(database: Database, name: str) -> str:
    with database.transaction() as session:
        query = select(Payment.charge_id).join(Member, Member.id == Payment.member_id)
        return str(session.scalars(query.where(Member.email == f"{name}@example.org")).one())


def customers(database: Database) -> list[str]:
    with database.transaction() as session:
        return list(session.scalars(select(Customer.id)))


def test_a_restored_backup_catches_up_with_the_world(  # noqa: PLR0917 - pytest names each fixture
    stripe: Stripe,
    database: Database,
    database_url: str,
    servers: tuple[Postgres, Valkey],
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    programs = f"{_postgres_programs(for_others=False)}:{Path(python()[0]).parent}"
    env = environment | {
        "PATH": f"{programs}:/usr/bin:/bin",
        "DATABASE_URL": database_url,
        "STRIPE_API_BASE": stripe.url,
        "CLOCK_OFFSET_FILE": os.environ["SIMULATOR_CLOCK"],
    }
    stripe.open_shop()
    for name in ("leaves", "is-refunded", "stays"):
        stripe.settle(stripe.join(f"{name}@example.org"))
        stripe.advance(minutes=5)
    made = run("backup.sh", tmp_path, env)
    assert made.returncode == 0, made.stderr
    dump = Path(made.stdout.strip())
    assert dump.stat().st_mode & 0o077 == 0

    # The world goes on: one leaves, one is refunded, one joins.
    stripe.call("DELETE", f"subscriptions/{subscription(database, 'leaves')}")
    stripe.call("POST", "refunds", charge=charge(database, "is-refunded"))
    for customer in [*customers(database), stripe.join("joins@example.org")]:
        stripe.settle(customer)
    before = standing(database)
    assert before[0] == 2

    servers[0].recreate_database("restored")
    env |= {"DATABASE_URL": servers[0].url_of("restored")}
    restored = run("restore.sh", dump, env)
    assert restored.returncode == 0, restored.stderr
    app = create_app(load_settings(env))
    with app.database.transaction() as session:
        assert is_stopped(session, Stopped.RESTORE), "workers wait"
    checked = subprocess.run(
        [Path(python()[0]).with_name("fundraiser"), "restore-check"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert standing(app.database) == before
    with app.database.transaction() as session:
        assert not is_stopped(session, Stopped.RESTORE), "workers go on"
        due = select(Email).where(Email.state == EmailState.QUEUED, Email.due_at <= now())
        assert session.scalars(due).all() == [], "nobody is told twice"
    again = run("restore.sh", dump, env)
    assert again.returncode == 1
    assert "not empty" in again.stderr
    app.database.dispose()
