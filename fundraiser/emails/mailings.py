"""E-mails to everybody who asked for news: which of them have begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.dialects.postgresql import insert

from fundraiser.emails.models import Mailing

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session


def begin_mailing(session: Session, kind: str, key: str, at: datetime) -> bool:
    """Note that it begins; True for whoever is the first to do so."""
    begun = insert(Mailing).values(kind=kind, key=key, at=at).on_conflict_do_nothing()
    return session.scalar(begun.returning(Mailing.key)) is not None
