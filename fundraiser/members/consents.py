"""Consents: what each person agreed to, separately, with the text they read and the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, func, select, update

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.members.models import Consent, ConsentKind, Member
from fundraiser.members.names import LONGEST_NAME, is_plain_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

MOST_COUNTED = 10_000  # names: each request for the page counts them
_IS_NAMED = (
    Member.counting,
    Member.supporter_since.is_not(None),
    Member.name.is_not(None),
    # Stripe accepts any text as a name. Other unsuitable names (see names) are filtered below.
    func.length(Member.name) <= LONGEST_NAME,
    ~Member.name.contains("@"),
    ~Member.name.contains("://"),
)


def is_given(session: Session, member: Member, kind: ConsentKind) -> bool:
    """Whether the person currently agrees to this."""
    newest = session.scalars(
        select(Consent.given)
        .where(Consent.member_id == member.id, Consent.kind == kind)
        .order_by(Consent.id.desc())
        .limit(1)
    ).first()
    return bool(newest)


def note_consent(
    session: Session, member: Member, kind: ConsentKind, text: str, *, given: bool
) -> None:
    """Record a consent or its withdrawal; do nothing if it doesn't change anything.

    If staff have hidden a name from the public page, its owner can't show it.
    """
    if kind is ConsentKind.SUPPORTERS:
        session.refresh(member, ["supporter_since", "supporter_closed_at"], with_for_update=True)
        given = given and member.supporter_closed_at is None
    if given == is_given(session, member, kind):
        return
    at = now()
    session.add(Consent(member_id=member.id, kind=kind, given=given, text=text, at=at))
    if kind is ConsentKind.SUPPORTERS:
        member.supporter_since = at if given else None


def hide_name(session: Session, member: Member, text: str) -> None:
    """Hide a person's name from the public page until staff allow it again; ``text`` says so."""
    at = now()
    kind = ConsentKind.SUPPORTERS
    session.add(Consent(member_id=member.id, kind=kind, given=False, text=text, at=at))
    member.supporter_since, member.supporter_closed_at = None, at


def restore_name(member: Member) -> None:
    """Allow a hidden name again; the person has to consent anew."""
    member.supporter_closed_at = None


def names_to_review(session: Session, most: int) -> Sequence[Member]:
    """Members whose name waits for review by staff; empty if names need no review."""
    if not current_settings().review_names:
        return []
    waiting = session.scalars(
        select(Member)
        .where(*_IS_NAMED, Member.supporter_name.is_distinct_from(Member.name))
        .order_by(Member.supporter_since, Member.id)
        .limit(most)
    )
    return [member for member in waiting if is_plain_name(member.name or "")]


def show_name(session: Session, member_id: int, name: str) -> bool:
    """Approve a name for the public page; False if it changed or the consent was withdrawn."""
    shown = session.scalar(
        update(Member)
        .where(Member.id == member_id, Member.name == name, Member.supporter_since.is_not(None))
        .values(supporter_name=name)
        .returning(Member.id)
    )
    return shown is not None


def read_named(
    session: Session, before: datetime | None, most: int
) -> tuple[Sequence[str], datetime | None]:
    """A page of names of counted people who agreed to be named, latest consent first.

    The second value is where the next page starts, or None after the last.
    """
    named = select(Member.name, Member.supporter_since).where(_is_shown())
    if before:
        named = named.where(Member.supporter_since < before)
    rows = session.execute(named.order_by(Member.supporter_since.desc()).limit(most + 1)).all()
    more = rows[most - 1].supporter_since if len(rows) > most else None
    return [row.name for row in rows[:most] if is_plain_name(row.name)], more


def count_named(session: Session) -> int:
    """Count the names on the public page, up to a limit: limit + 1 means "more"."""
    some = select(Member.id).where(_is_shown()).limit(MOST_COUNTED + 1).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def _is_shown() -> ColumnElement[bool]:
    if current_settings().review_names:
        return and_(*_IS_NAMED, Member.supporter_name == Member.name)
    return and_(*_IS_NAMED)
