"""Invitations: a member's personal link, which doesn't identify them, and who joined through it."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from fundraiser.members.consents import is_given
from fundraiser.members.models import ConsentKind, Member
from fundraiser.members.names import is_plain_name

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

INVITATION = "invitation"  # the source that staff see for people who came by such a link
_CODE = re.compile(r"[0-9a-f]{16}")


def make_link(member: Member) -> None:
    """Give the person an invitation link, or keep the existing one; the person's row is locked."""
    member.invite_code = member.invite_code or secrets.token_hex(8)


def drop_link(member: Member) -> None:
    """Delete the person's link; people who joined through it are still counted as invited."""
    member.invite_code = None


def find_inviter(session: Session, code: str | None) -> Member | None:
    """Find the member whose link this is; None if the link is unknown or deleted."""
    if not code or not _CODE.fullmatch(code):
        return None
    return session.scalars(select(Member).where(Member.invite_code == code)).first()


def name_of_inviter(session: Session, inviter: Member) -> str | None:
    """The inviter's name, if the member agreed to show it.

    A name that staff have hidden from the public page isn't shown here either.
    """
    may_be_read = inviter.counting and inviter.supporter_closed_at is None
    agreed = may_be_read and is_given(session, inviter, ConsentKind.INVITER)
    return inviter.name if agreed and is_plain_name(inviter.name or "") else None


def note_inviter(session: Session, member: Member, code: str | None) -> None:
    """Record whose link led here a person who has never counted; nobody invites themselves."""
    inviter = find_inviter(session, code) if member.number is None else None
    if inviter is not None and inviter.id != member.id:
        member.invited_by = inviter.id


def count_invited(session: Session, member: Member) -> int:
    """Count the people who first became members through this person's link."""
    return (
        session.scalar(
            select(func.count()).where(Member.invited_by == member.id, Member.number.is_not(None))
        )
        or 0
    )
