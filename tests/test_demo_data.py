"""The demonstration's newsroom: the ledger, our rows and the simulator tell one story."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from demo import data
from demo.fill import is_filled
from demo.servers import free_port
from fundraiser.app import create_app
from fundraiser.config import load_settings
from fundraiser.db import clock
from fundraiser.members.consistency import check_consistency
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import LedgerEntry, Member, Membership, Status
from fundraiser.payments.models import Customer
from fundraiser.payments.settlement import settle
from fundraiser.payments.stripe.gateway import current_gateway
from fundraiser.sources.overview import list_sources
from tests.conftest import ROOT
from tests.factories import GRACE, Stripe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fundraiser.app import FundraiserApp

MEMBERS = 160


@pytest.fixture
def newsroom(
    environment: dict[str, str], database_url: str, tmp_path: Path
) -> Iterator[FundraiserApp]:
    """A filled database and its simulator."""
    port = free_port()
    store = tmp_path / "store.sqlite"
    command = [sys.executable, "-m", "simulator", "--port", str(port), "--store", str(store)]
    url = f"http://127.0.0.1:{port}"
    settings = load_settings(environment | {"DATABASE_URL": database_url, "STRIPE_API_BASE": url})
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=os.environ)
    try:
        Stripe.wait_until_it_answers(url, process)
        assert not is_filled(database_url)
        data.fill(
            settings,
            store,
            lambda *_: None,
            members=MEMBERS,
            staff=("editor@example.org", "a-long-password"),
        )
        app = create_app(settings)
        with app.app_context():
            yield app
        app.database.dispose()
    finally:
        process.terminate()
        process.wait(10)
        clock.follow(None)


def test_settling_any_of_its_people_changes_nothing(
    newsroom: FundraiserApp, database_url: str
) -> None:
    assert is_filled(database_url)
    with newsroom.database.transaction() as session:
        before = read_balance(session)
        assert before.members == MEMBERS
        assert session.scalar(select(func.sum(LedgerEntry.change))) == MEMBERS
        counting = select(func.count()).where(Member.counting)
        assert session.scalar(counting) == MEMBERS
        statuses = set(session.scalars(select(Membership.status)))
        assert {Status.ACTIVE, Status.PAST_DUE, Status.CANCELED} <= statuses
        customers = session.scalars(select(Customer.id).order_by(Customer.id)).all()
        rows = {row.reference: facts(row) for row in session.scalars(select(Membership))}
    for customer in customers[::3]:
        assert settle(newsroom.database, current_gateway(), GRACE, customer)
    with newsroom.database.transaction() as session:
        assert read_balance(session) == before
        assert {row.reference: facts(row) for row in session.scalars(select(Membership))} == rows


def facts(row: Membership) -> dict[str, object]:
    """What the count rule reads of a membership."""
    names = (
        *("status", "payment_status", "amount", "currency", "interval", "tier", "started_at"),
        *("paid_at", "period_end", "cancel_at", "canceled_at", "ended_at", "grace_from"),
        *("refunded_at", "disputed_at", "price", "paid_until", "has_paid", "method"),
        "collection_method",
    )
    return {name: getattr(row, name) for name in names}


def test_two_sources_beside_stripe_bring_people_of_whom_some_pay_here_too(
    newsroom: FundraiserApp,
) -> None:
    with newsroom.database.transaction() as session:
        brought = {
            name: {
                member
                for (member,) in session.execute(
                    select(Membership.member_id).where(Membership.origin == name)
                )
            }
            for name in ("patreon", "bank-transfer")
        }
        here = set(session.scalars(select(Customer.member_id)))
        for people in brought.values():
            assert people & here
            assert people - here
        assert read_balance(session).members == MEMBERS
        assert {one.label: one.members for one in list_sources(session)} == {
            "Patreon": len(brought["patreon"]),
            "Bank transfer": len(brought["bank-transfer"]),
        }
    with newsroom.database.transaction() as session:
        assert check_consistency(session, GRACE).findings == ()
