"""Mailings to everybody who asked for news: which have started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.dialects.postgresql import insert

from fundraiser.emails.models import Mailing

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session


def begin_mailing(session: Session, kind: str, key: str, at: datetime) -> bool:
    """Start a mailing; True for the first caller only."""
    begun = insert(Mailing).values(kind=kind, key=key, at=at).on_conflict_do_nothing()
    return session.scalar(begun.returning(Mailing.key)) is not None
