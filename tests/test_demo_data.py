"""The demonstration's newsroom: the ledger, our rows and the simulator tell one story."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from demo import data
from demo.fill import is_filled
from demo.joining import Arrival, Arrivals, appeal_times
from demo.servers import free_port
from demo.settings import APPEAL, CAMPAIGN
from demo.staying import OVER, Staying
from fundraiser.app import create_app
from fundraiser.campaigns.milestones import list_milestones
from fundraiser.campaigns.models import Campaign
from fundraiser.campaigns.progress import read_progress
from fundraiser.config import load_settings
from fundraiser.dashboard.overview.failures import first_failures
from fundraiser.db import clock, now
from fundraiser.members.consistency import check_consistency
from fundraiser.members.gifts import Gift, ends_at
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Interval, LedgerEntry, Member, Membership, Source, Status
from fundraiser.payments.models import CheckoutKind, Customer, Payment
from fundraiser.payments.settlement import settle
from fundraiser.payments.stripe.gateway import current_gateway
from fundraiser.sources.overview import list_sources
from tests.conftest import ROOT
from tests.factories import GRACE, Stripe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fundraiser.app import FundraiserApp

MEMBERS = 300


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
        process.wait(60)
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
        *("collection_method", "cancel_reason", "cancel_feedback", "cancel_comment", "due"),
        *("card_last4", "card_expires_at", "next_attempt_at", "pay_url", "counts_until"),
    )
    return {name: getattr(row, name) for name in names}


def test_every_staff_page_has_something_true_to_show(
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
        kinds = set(session.scalars(select(Payment.kind)))
        assert kinds == set(CheckoutKind)
        failed = first_failures(GRACE, now() - timedelta(days=730), now() - GRACE).subquery()
        outcomes = set(session.scalars(select(failed.c.days.is_not(None))))
        assert outcomes == {True, False}
        assert len(set(session.scalars(select(Membership.cancel_feedback)))) > 2
        gift, of_it = session.execute(
            select(Gift, Membership)
            .join(Membership, Membership.reference == Gift.charge_id)
            .where(Membership.source == Source.GIFT)
        ).one()
        assert gift.redeemed_at
        assert of_it.counts_until == of_it.cancel_at == ends_at(gift.redeemed_at, 1)
        old = select(Membership).where(Membership.tier == "reader", Membership.amount == 400)
        assert {row.price for row in session.scalars(old)} == {400}
        appeal = session.get_one(Campaign, APPEAL)
        assert read_progress(session, appeal).status == "ended"
        reached = list_milestones(session, APPEAL, 100)
        assert reached[0].percent == 100
        assert reached[0].reached_at < appeal.deadline


def test_staying_differs_by_interval_tier_and_article() -> None:
    random, at = Random(7), datetime(2026, 12, 1, tzinfo=UTC)  # noqa: S311 - the same each time
    staying, joined = Staying(random, at, GRACE), at - timedelta(days=420)

    def share(article: str | None, tier: str, interval: Interval) -> float:
        arrival = Arrival(joined, article, None, CAMPAIGN)
        stays = [staying.draw(arrival, tier, interval) for _ in range(600)]
        failures = [failure for stay in stays for failure in stay.failures.values()]
        assert 0.5 < sum(bool(one.paid_at) for one in failures) / len(failures) < 0.8
        assert any(staying.returns(stay) for stay in stays)
        return sum(stay.kind not in OVER for stay in stays) / len(stays)

    usual = share(None, "member", Interval.MONTH)
    assert 0.5 < usual < share(None, "member", Interval.YEAR) < 0.9
    assert share(None, "reader", Interval.MONTH) < usual < share(None, "patron", Interval.MONTH)
    assert share("club-without-a-sponsor", "member", Interval.MONTH) < usual


def test_readers_come_by_season_story_and_appeal() -> None:
    at, zone = datetime(2026, 12, 1, tzinfo=UTC), ZoneInfo("Europe/London")
    arrivals = Arrivals(Random(7), at, zone)  # noqa: S311 - the same each time
    found = [arrivals.draw() for _ in range(20_000)]
    by_month = Counter(f"{one.at:%Y-%m}" for one in found)
    assert by_month["2026-08"] < by_month["2026-10"] * 0.8
    _, ends = appeal_times(at, zone)
    by_day = Counter((ends.date() - one.at.date()).days for one in found if one.campaign == APPEAL)
    assert by_day[0] + by_day[1] > 1.5 * (by_day[30] + by_day[31])
    assert {one.article for one in found if one.campaign is None} == {None}
