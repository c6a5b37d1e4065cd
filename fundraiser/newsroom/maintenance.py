"""Maintenance: things the operator has stopped, and the notice for readers."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base, now
from fundraiser.errors import UnavailableError
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session


class Stopped(StrEnum):
    """What the operator can stop."""

    EMAILS = "emails"
    SIGN_UPS = "sign-ups"
    NUMBER = "number"
    RESTORE = "restore"

    @property
    def effect(self) -> str:
        """What stopping it does, for the operator."""
        return {
            Stopped.EMAILS: "No e-mail is sent; those that are due wait.",
            Stopped.SIGN_UPS: "Nobody can join, give or contribute; members keep their account.",
            Stopped.NUMBER: "Our pages say that the number is being checked.",
            Stopped.RESTORE: "A backup was restored: workers wait for fundraiser restore-check.",
        }[self]


class SignUpsClosedError(UnavailableError):
    """Nobody can join at the moment."""


class Maintenance(Base):
    """Something that is stopped; ``notice`` replaces our text for readers."""

    __tablename__ = "maintenance"

    what: Mapped[Stopped] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    notice: Mapped[str | None]


def read_maintenance(session: Session) -> Mapping[Stopped, Maintenance]:
    """Everything that is stopped."""
    return {found.what: found for found in session.scalars(select(Maintenance))}


def is_stopped(session: Session, what: Stopped) -> bool:
    """Whether this is stopped."""
    return session.get(Maintenance, what) is not None


def stop(session: Session, what: Stopped, notice: str | None = None) -> None:
    """Stop it, or change its notice; repeating keeps the first time."""
    found = session.get(Maintenance, what)
    if found is None:
        session.add(Maintenance(what=what, since=now(), notice=notice))
    else:
        found.notice = notice


def resume(session: Session, what: Stopped) -> Maintenance | None:
    """Resume it; returns the stop, or None if it wasn't stopped."""
    found = session.get(Maintenance, what)
    if found is not None:
        session.delete(found)
        session.flush()
    return found


def closed_notice(session: Session) -> str | None:
    """The notice for readers while sign-ups are closed or a backup is being restored."""
    stopped = read_maintenance(session)
    found = stopped.get(Stopped.SIGN_UPS) or stopped.get(Stopped.RESTORE)
    if found is None:
        return None
    return found.notice or _(
        "You can’t join at the moment: we’re working on our membership pages. Come back soon."
    )


def refuse_if_closed(session: Session) -> None:
    """Refuse new payments while sign-ups are closed.

    Raises:
        SignUpsClosedError: they are closed; the message is for readers.
    """
    if notice := closed_notice(session):
        raise SignUpsClosedError(notice)
