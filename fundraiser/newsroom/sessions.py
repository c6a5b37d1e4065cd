"""Staff sessions: one row a browser; end after an hour idle, after twelve hours, or on request.

They use the machine's clock, so that a demonstration's time jump signs nobody out.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, delete, select, update

from fundraiser.db import clock
from fundraiser.newsroom.models import Staff, StaffSession
from fundraiser.security import digest, new_secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

LIVES = timedelta(hours=12)
IDLE = timedelta(hours=1)
SECOND_STEP_WITHIN = timedelta(minutes=10)
_SEEN_EACH = timedelta(minutes=1)
# Of each pair the first that fits: Edge and Opera say that they are Chrome, Chrome that it is
# Safari, and Android that it is Linux.
_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "Mac"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def begin(
    session: Session, staff: Staff, user_agent: str, *, is_confirmed: bool
) -> tuple[StaffSession, str]:
    """Create a session and its token, of which we store only a hash.

    Without ``is_confirmed`` it grants no access and ends in ten minutes: the second step is
    missing.
    """
    at, token = clock.machine(), new_secret()
    session.execute(delete(StaffSession).where(~_is_good()))
    begun = StaffSession(
        staff_id=staff.id,
        token_hash=digest(token),
        browser=name_browser(user_agent),
        created_at=at,
        seen_at=at,
        ends_at=at + (LIVES if is_confirmed else SECOND_STEP_WITHIN),
        confirmed_at=at if is_confirmed else None,
    )
    session.add(begun)
    session.flush()
    return begun, token


def find(session: Session, token: str) -> tuple[StaffSession, Staff] | None:
    """The session of this token, and its person; None if it has ended or the account is closed."""
    row = session.execute(
        select(StaffSession, Staff)
        .join(Staff, Staff.id == StaffSession.staff_id)
        .where(StaffSession.token_hash == digest(token), _is_good(), Staff.deactivated_at.is_(None))
    ).first()
    return (row[0], row[1]) if row else None


def has_to_be_seen(found: StaffSession) -> bool:
    """Whether ``seen_at`` is old enough to update, since we don't update it at every page."""
    return clock.machine() - found.seen_at > _SEEN_EACH


def note_seen(session: Session, session_id: int) -> None:
    """Record that the person has just opened a page."""
    session.execute(
        update(StaffSession).where(StaffSession.id == session_id).values(seen_at=clock.machine())
    )


def confirm(session: Session, session_id: int) -> str:
    """Record that the person has just confirmed their identity; returns a new token."""
    token = new_secret()
    session.execute(
        update(StaffSession)
        .where(StaffSession.id == session_id)
        .values(confirmed_at=clock.machine(), token_hash=digest(token))
    )
    return token


def sessions_of(session: Session, staff: Staff) -> Sequence[StaffSession]:
    """The browsers in which a person is signed in, last used first."""
    return session.scalars(
        select(StaffSession)
        .where(
            StaffSession.staff_id == staff.id, _is_good(), StaffSession.confirmed_at.is_not(None)
        )
        .order_by(StaffSession.seen_at.desc(), StaffSession.id.desc())
    ).all()


def end(session: Session, staff: Staff, session_id: int) -> bool:
    """End one session of this person; False if there was none."""
    ended = session.scalar(
        delete(StaffSession)
        .where(StaffSession.id == session_id, StaffSession.staff_id == staff.id)
        .returning(StaffSession.id)
    )
    return ended is not None


def end_all(session: Session, staff: Staff) -> None:
    """End all sessions of this person, unfinished sign-ins too."""
    session.execute(delete(StaffSession).where(StaffSession.staff_id == staff.id))


def name_browser(user_agent: str) -> str:
    """Browser and system from a User-Agent header, like "Firefox, Windows"; empty if unknown."""
    names = (
        next((name for mark, name in known if mark in user_agent), "")
        for known in (_BROWSERS, _SYSTEMS)
    )
    return ", ".join(filter(None, names))


def _is_good() -> ColumnElement[bool]:
    at = clock.machine()
    return (StaffSession.ends_at > at) & (StaffSession.seen_at > at - IDLE)
