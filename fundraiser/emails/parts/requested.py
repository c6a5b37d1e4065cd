"""When e-mails that confirm a requested change are due: once Stripe has made the change."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from fundraiser.emails.parts.queries import Due, Query, due_to
from fundraiser.members.models import Member, Membership, Source
from fundraiser.payments.intents import Intent, IntentKind

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement

# Stripe drops a price change that isn't confirmed at the bank within 23 hours.
_WAITS = timedelta(hours=22)


def requested(kind: IntentKind, *conditions: ColumnElement[bool]) -> Query:
    """Members with a change of this kind that Stripe has made, and that still holds."""

    def due(at: datetime) -> Due:
        return (
            due_to(Intent.member_id, Intent.key, membership=Intent.target)
            .join(Member, Member.id == Intent.member_id)
            .join(Membership, Membership.reference == Intent.target)
            .where(
                Intent.kind == kind,
                Intent.closed_at > at - _WAITS,
                Intent.refusal.is_(None),
                Membership.source == Source.STRIPE,
                Membership.ended_at.is_(None),
                Member.address.is_not(None),
                *conditions,
            )
        )

    return due
