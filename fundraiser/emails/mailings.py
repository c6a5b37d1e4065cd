"""Mailings to everybody who asked for news: which have started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select
from sqlalchemy.dialects.postgresql import insert

from fundraiser.emails.models import Mailing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session


def begin_mailing(session: Session, kind: str, key: str, at: datetime) -> bool:
    """Start a mailing; True for the first caller only."""
    begun = insert(Mailing).values(kind=kind, key=key, at=at).on_conflict_do_nothing()
    return session.scalar(begun.returning(Mailing.key)) is not None


def list_mailings(session: Session, start: datetime, end: datetime) -> Sequence[Mailing]:
    """The mailings that started in this time.

    Leaves out what a milestone's mailing notes for itself: quarters that were passed, and that it
    has looked at a goal.
    """
    is_note = and_(
        Mailing.kind == "milestone",
        or_(Mailing.key.not_like("%\\% of %"), Mailing.key.like("%, passed")),
    )
    return session.scalars(
        select(Mailing).where(Mailing.at >= start, Mailing.at <= end, ~is_note).order_by(Mailing.at)
    ).all()
