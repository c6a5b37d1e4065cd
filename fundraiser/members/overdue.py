"""Overdue memberships: paid before, unpaid now, and not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, func, or_

from fundraiser.members.models import Dues, Membership, Status

if TYPE_CHECKING:
    from datetime import datetime, timedelta


def overdue(of: type[Membership] = Membership) -> ColumnElement[bool]:
    """``is_overdue`` in SQL; ``of`` is the table or an alias."""
    return and_(
        of.ended_at.is_(None),
        or_(
            of.status == Status.PAST_DUE,
            and_(of.status == Status.ACTIVE, of.payment_status == Dues.OVERDUE),
        ),
    )


IS_OVERDUE = overdue()


def overdue_since(of: type[Membership] = Membership) -> ColumnElement[datetime]:
    """SQL: when the grace period of an overdue membership began."""
    return func.coalesce(of.grace_from, of.paid_until, of.started_at)


def is_overdue(membership: Membership) -> bool:
    """Whether a payment is overdue, within the grace period or after it."""
    return membership.ended_at is None and (
        membership.status is Status.PAST_DUE
        or (membership.status is Status.ACTIVE and membership.payment_status is Dues.OVERDUE)
    )


def grace_began_at(membership: Membership) -> datetime:
    """When the grace period of an overdue membership began: ``overdue_since`` in Python."""
    return membership.grace_from or membership.paid_until or membership.started_at


def grace_ends_at(membership: Membership, grace: timedelta) -> datetime:
    """When an overdue membership stops being counted if it stays unpaid."""
    return grace_began_at(membership) + grace


def paid_until(membership: Membership) -> datetime | None:
    """The day until which a membership is paid; None if unknown, or if it has ended.

    Stripe's own period continues while it is unpaid, so its end isn't that day.
    """
    if membership.ended_at:
        return None
    return membership.paid_until or membership.counts_until
