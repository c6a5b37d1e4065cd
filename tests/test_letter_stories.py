"""Whole stories at Stripe's simulator, day by day, and the letters that each should have sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.emails.sweep import sweep
from fundraiser.members.models import Member, Membership
from fundraiser.outbox import Letter
from tests.mail import deliver

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from tests.factories import Stripe


@pytest.fixture
def live(
    database: Database, mail_server: MailServer, stripe: Stripe
) -> Callable[[list[str], int], None]:
    """Let so many days pass at Stripe and for us, each with its settlement, sweep and delivery."""

    def days(customers: list[str], count: int) -> None:
        here = now().astimezone(current_settings().newsroom_timezone)
        noon = here.replace(hour=12, minute=0, second=0, microsecond=0)
        first = (noon if noon > here else noon + timedelta(days=1)) - here
        for day in range(count):
            stripe.advance(seconds=(first if day == 0 else timedelta(days=1)).total_seconds())
            for customer in customers:
                stripe.settle(customer)
            with database.transaction() as session:
                sweep(session)
            deliver(database, mail_server)

    return days


def told(database: Database, email: str) -> list[str]:
    """The letters that left to this address, in their order."""
    with database.transaction() as session:
        found = session.execute(
            select(Letter.kind, Letter.state)
            .join(Member, Member.id == Letter.member_id)
            .where(Member.email == email)
            .order_by(Letter.id)
        ).all()
    return [kind for kind, state in found if state == "sent"]


@pytest.mark.timeout(300)
def test_a_card_that_fails_for_good_is_told_four_times_and_then_of_the_end(
    database: Database, stripe: Stripe, live: Callable[[list[str], int], None]
) -> None:
    stripe.open_shop()
    customer = stripe.join("fails@example.org")
    stripe.settle(customer)
    with database.transaction() as session:
        membership = session.scalars(select(Membership)).one()
    assert membership.card_last4 == "4242"
    assert membership.card_expires_at == datetime(2061, 1, 1, tzinfo=UTC)
    live([customer], 1)
    stripe.change_card(customer, "4000000000000341")
    live([customer], 60)
    kinds = told(database, "fails@example.org")
    assert kinds[:5] == [
        "welcome",
        "payment_failed_day_0",
        "payment_failed_day_3",
        "payment_failed_day_7",
        "payment_failed_day_12",
    ], kinds
    assert kinds[5:] in ([], ["ended"]), kinds


@pytest.mark.timeout(300)
def test_who_pays_who_must_confirm_and_who_leaves_for_the_price_get_their_own_letters(
    database: Database, stripe: Stripe, live: Callable[[list[str], int], None]
) -> None:
    stripe.open_shop()
    pays, confirms, leaves = (
        stripe.join(f"{name}@example.org") for name in ("pays", "confirms", "leaves")
    )
    live([pays, confirms, leaves], 1)
    stripe.change_card(confirms, "4000002760003184")
    (found,) = stripe.call("GET", f"subscriptions?customer={leaves}")["data"]
    stripe.call(
        "POST",
        f"subscriptions/{found['id']}",
        cancel_at_period_end="true",
        **{"cancellation_details[feedback]": "too_expensive"},
    )
    live([pays, confirms, leaves], 33)
    stripe.change_card(confirms, "4242424242424242")
    live([pays, confirms, leaves], 16)
    assert told(database, "pays@example.org") == ["welcome"]
    assert told(database, "leaves@example.org") == ["welcome", "canceled", "ended", "win_back"]
    kinds = told(database, "confirms@example.org")
    assert kinds[:2] == ["welcome", "payment_confirmation"], kinds
