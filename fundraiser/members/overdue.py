"""Whose payment is overdue: paid before, not paid now, and not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, func, or_

from fundraiser.members.models import Dues, Membership, Status

if TYPE_CHECKING:
    from datetime import datetime, timedelta


def overdue(of: type[Membership] = Membership) -> ColumnElement[bool]:
    """``is_overdue``, for queries; ``of`` is the table, or an alias of it."""
    return and_(
        of.ended_at.is_(None),
        or_(
            of.status == Status.PAST_DUE,
            and_(of.status == Status.ACTIVE, of.payment_status == Dues.OVERDUE),
        ),
    )


IS_OVERDUE = overdue()


def overdue_since(of: type[Membership] = Membership) -> ColumnElement[datetime]:
    """When the grace period of an overdue membership began, for queries."""
    return func.coalesce(of.grace_from, of.paid_until, of.started_at)


def is_overdue(membership: Membership) -> bool:
    """Whether a payment for it is overdue, in the grace period or after it."""
    return membership.ended_at is None and (
        membership.status is Status.PAST_DUE
        or (membership.status is Status.ACTIVE and membership.payment_status is Dues.OVERDUE)
    )


def grace_ends_at(membership: Membership, grace: timedelta) -> datetime:
    """When it is no longer counted if nothing is paid until then."""
    return (membership.grace_from or membership.paid_until or membership.started_at) + grace


def paid_until(membership: Membership) -> datetime | None:
    """The day that a membership is paid until; None where no day is known, or it has ended.

    Stripe's own period goes on while nothing is paid for it, so its end is not that day.
    """
    if membership.ended_at:
        return None
    return membership.paid_until or membership.counts_until
