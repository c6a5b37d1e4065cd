"""What tests of e-mails that time causes share: memberships, and which e-mails are due."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from fundraiser import db
from fundraiser.emails.sweep import sweep
from fundraiser.members.models import Dues, Member, Status
from fundraiser.outbox import (
    Email,
)
from tests.factories import make_member, make_membership

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from fundraiser.db import Database

    PassTime = Callable[[timedelta], None]


def days(count: float) -> timedelta:
    return timedelta(days=count)


def join(session: Session, **values: Any) -> Member:
    """A person with a membership that is paid by a card, as of now."""
    at = db.now()
    member = make_member(session, counting=values.pop("counting", True), sequence=1)
    paid = {
        "tier": None,
        "started_at": at - days(40),
        "paid_at": at - days(10),
        "period_end": at + days(20),
        "card_last4": "4242",
        "card_expires_at": at + days(900),
        "pay_url": "https://pay.example.org/bill",
    }
    session.add(make_membership(member, **paid | values))
    session.flush()
    return member


def failing(since: timedelta, **values: Any) -> dict[str, Any]:
    overdue = {"payment_status": Dues.OVERDUE, "status": Status.PAST_DUE}
    return overdue | {"grace_from": db.now() - since} | values


def kinds(database: Database) -> list[str]:
    with database.transaction() as session:
        sweep(session)
        sweep(session)
        return sorted(session.scalars(select(Email.kind)))
