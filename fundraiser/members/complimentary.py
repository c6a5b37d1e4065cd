"""Complimentary memberships: given by staff, with or without an end date, never counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.db import now
from fundraiser.members.counting import recount
from fundraiser.members.models import Cause, Dues, Membership, Source, Status

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member


def give_membership(
    session: Session,
    member: Member,
    grace: timedelta,
    *,
    tier: str | None,
    currency: str,
    until: datetime | None,
    reference: str,
) -> Membership:
    """Give a person a free membership; if it has an end date, it ends automatically.

    ``reference`` is unique among complimentary memberships.
    """
    session.refresh(member, with_for_update=True)
    at = now()
    given = Membership(
        member_id=member.id,
        source=Source.COMPLIMENTARY,
        reference=reference,
        tier=tier,
        amount=0,
        currency=currency,
        status=Status.ACTIVE,
        payment_status=Dues.NOTHING,
        started_at=at,
        period_end=until,
        cancel_at=until,
    )
    session.add(given)
    recount(session, member, grace, cause=Cause.STAFF)
    return given


def end_given(session: Session, member: Member, grace: timedelta, given: Membership) -> None:
    """End a complimentary membership now; do nothing if it has already ended."""
    session.refresh(member, with_for_update=True)
    session.refresh(given)
    if given.ended_at is None:
        at = now()
        given.status = Status.CANCELED
        given.canceled_at = given.ended_at = given.cancel_at = at
        recount(session, member, grace, cause=Cause.STAFF)
