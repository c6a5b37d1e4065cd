"""From a sandbox to the live account: nothing of the one is ever counted in the other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select, text

from fundraiser import jobs
from fundraiser.app import create_app
from fundraiser.campaigns.models import Campaign
from fundraiser.cli import main
from fundraiser.cli.go_live import KEPT
from fundraiser.config import load_settings
from fundraiser.db import Base
from fundraiser.members.ledger import append, read_balance
from fundraiser.members.models import Cause, Member
from fundraiser.newsroom.models import Staff
from fundraiser.payments.models import Price, Tier
from fundraiser.payments.stripe.account import OtherAccountError, refuse_other_mode
from fundraiser.payments.stripe.errors import StripeKeyError
from tests.factories import NOON, make_member, make_tiers
from tests.staff import hire

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from fundraiser.db import Database
    from tests.factories import Stripe

    Command = Callable[..., Result]

ROOT = Path(__file__).parent.parent
LIVE = {"STRIPE_API_KEY": "sk_live_of_the_newsroom", "STRIPE_API_BASE": ""}


@pytest.fixture
def stripe_url(empty_stripe_url: str) -> str:
    return empty_stripe_url


@pytest.fixture
def environ(environment: dict[str, str], database_url: str, stripe: Stripe) -> dict[str, str]:
    return environment | {"DATABASE_URL": database_url, "STRIPE_API_BASE": stripe.url}


@pytest.fixture
def fundraiser(environ: dict[str, str]) -> Command:
    def run(*words: str, typed: str | None = None, **values: str) -> Result:
        return CliRunner(env=environ | values).invoke(main, words, input=typed)

    return run


@pytest.fixture
def sandbox(stripe: Stripe, database: Database) -> Database:
    """A sandbox in which two test members count, with staff and a campaign."""
    stripe.open_shop()
    hire(database)
    for name in ("olena", "petro"):
        stripe.settle(stripe.join(f"{name}@example.org"))
    with database.transaction() as session:
        assert read_balance(session).members == 2
    return database


def start(environ: dict[str, str], module: str) -> subprocess.CompletedProcess[str]:
    """Start a process of the service as far as its first line of work."""
    return subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        cwd=ROOT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def rows(database: Database) -> dict[str, int]:
    """How many rows each table has."""
    with database.transaction() as session:
        return {
            name: session.scalar(select(func.count()).select_from(table)) or 0
            for name, table in Base.metadata.tables.items()
        }


@pytest.mark.parametrize("module", ["fundraiser.wsgi", "workers.app"])
def test_a_live_key_over_a_sandboxs_members_does_not_start(
    environ: dict[str, str], sandbox: Database, module: str
) -> None:
    del sandbox
    assert start(environ, module).returncode == 0
    refused = start(environ | LIVE, module)
    assert refused.returncode != 0
    assert "this database holds a sandbox's members: run fundraiser stripe go-live" in (
        refused.stderr
    )


def test_a_process_that_runs_already_calls_stripe_no_more(
    environ: dict[str, str], sandbox: Database
) -> None:
    with sandbox.transaction() as session:
        session.execute(text("UPDATE stripe_account SET livemode = true"))
    app = create_app(load_settings(environ))
    with pytest.raises(StripeKeyError) as refused, app.app_context():
        app.extensions["gateway"].fetch_customer("cus_1")
    assert "use another database for tests" in refused.value.detail
    app.database.dispose()


def test_an_empty_sandbox_becomes_live_and_never_the_other_way_round(database: Database) -> None:
    for livemode in (False, True):
        refuse_other_mode(database.engine, livemode=livemode)
    with pytest.raises(OtherAccountError):
        refuse_other_mode(database.engine, livemode=False)


def test_what_holds_stripe_ids_alone_is_not_mixed_either(database: Database) -> None:
    refuse_other_mode(database.engine, livemode=False)
    with database.transaction() as session:
        make_tiers(session)
        session.execute(text("UPDATE tier SET product_id = 'prod_' || slug"))
    with pytest.raises(OtherAccountError):
        refuse_other_mode(database.engine, livemode=True)


def test_the_live_service_starts_clean(
    fundraiser: Command, environ: dict[str, str], sandbox: Database
) -> None:
    with sandbox.transaction() as session:
        amounts = session.execute(select(Price.tier_slug, Price.currency, Price.amount)).all()
    result = fundraiser("stripe", "go-live", "--yes", **LIVE)
    assert result.exit_code == 0, result.output
    assert "a sandbox's 2 people, 2 of them counted as members" in result.output
    assert "Deleted for good: members and their numbers" in result.output
    assert result.output.index("Kept: campaigns") < result.output.index("is live and empty")
    left = {name for name, count in rows(sandbox).items() if count}
    assert left <= KEPT
    with sandbox.transaction() as session:
        balance = read_balance(session)
        assert (balance.members, balance.version) == (0, 0)
        assert session.scalars(select(Campaign)).one().slug == "25000"
        assert session.scalars(select(Staff)).one()
        assert not session.scalars(select(Tier).where(Tier.product_id.is_not(None))).all()
        assert not session.scalars(select(Price).where(Price.stripe_id.is_not(None))).all()
        after = session.execute(select(Price.tier_slug, Price.currency, Price.amount)).all()
        assert sorted(after) == sorted(amounts)
    assert start(environ | LIVE, "fundraiser.wsgi").returncode == 0
    back = start(environ, "fundraiser.wsgi")
    assert back.returncode != 0
    assert "use another database for tests" in back.stderr
    again = fundraiser("stripe", "go-live", "--yes", **LIVE)
    assert (again.exit_code, "is live already" in again.output) == (1, True)


def test_the_first_live_member_is_number_one_and_the_ledger_is_closed_again(
    fundraiser: Command, sandbox: Database
) -> None:
    with sandbox.transaction() as session:
        highest = session.scalar(select(func.max(Member.id))) or 0
    assert fundraiser("stripe", "go-live", "--yes", **LIVE).exit_code == 0
    with sandbox.transaction() as session:
        member = make_member(session)
        append(session, member, cause=Cause.STRIPE, cause_ref=None, reason="paid", happened_at=NOON)
        assert member.number == 1
        assert member.id > highest  # the activity log's members are nobody else
    with pytest.raises(Exception, match="ledger"), sandbox.transaction() as session:
        session.execute(text("DELETE FROM ledger"))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [({}, "is a test key: set the live one first"), (LIVE, "The workers still run")],
)
def test_nothing_goes_live_by_mistake(
    fundraiser: Command, sandbox: Database, values: dict[str, str], sentence: str
) -> None:
    with sandbox.transaction() as session:
        jobs.beat(session, "worker")
    before = rows(sandbox)
    result = fundraiser("stripe", "go-live", "--yes", **values)
    assert result.exit_code == 1
    assert sentence in result.output
    assert rows(sandbox) == before


def test_who_says_no_keeps_everything(fundraiser: Command, sandbox: Database) -> None:
    before = rows(sandbox)
    assert fundraiser("stripe", "go-live", typed="n\n", **LIVE).exit_code == 1
    assert rows(sandbox) == before


def test_every_table_that_is_kept_is_there() -> None:
    assert set(Base.metadata.tables) >= KEPT
