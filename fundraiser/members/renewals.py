"""When a membership is charged next; one that will end may still renew until then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import or_

from fundraiser.members.models import Membership

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement

# ``renews`` in SQL.
RENEWS: ColumnElement[bool] = or_(
    Membership.cancel_at.is_(None), Membership.cancel_at > Membership.period_end
)


def renews(membership: Membership) -> bool:
    """Whether another period follows the current one if nothing changes."""
    ends, period_end = membership.cancel_at, membership.period_end
    return ends is None or (period_end is not None and ends > period_end)


def next_payment_at(membership: Membership) -> datetime | None:
    """The next charge's time; None if it ends before, is paused, or is free without an end."""
    if membership.collection_paused or not renews(membership):
        return None
    free_until, period_end = membership.free_until, membership.period_end
    if membership.amount == 0:
        # A discount of 100 % pays the next invoices until it ends.
        free_until = membership.discount_until
        if free_until is None:
            return None
    return max(free_until, period_end) if free_until and period_end else period_end
