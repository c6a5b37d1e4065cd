"""Invitations: a member's own link, which says nothing about whose it is, and who joined by it."""

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

INVITATION = "invitation"  # what staff see as the source of who came by such a link
_CODE = re.compile(r"[0-9a-f]{16}")


def make_link(member: Member) -> None:
    """Give the person a link; who has one keeps it. The person's row is locked."""
    member.invite_code = member.invite_code or secrets.token_hex(8)


def drop_link(member: Member) -> None:
    """The link leads nobody here any more; who has joined by it stays counted."""
    member.invite_code = None


def find_inviter(session: Session, code: str | None) -> Member | None:
    """Whose link it is; None where it is nobody's, or nobody's any more."""
    if not code or not _CODE.fullmatch(code):
        return None
    return session.scalars(select(Member).where(Member.invite_code == code)).first()


def name_of_inviter(session: Session, inviter: Member) -> str | None:
    """The name that a reader may see: of a member who agreed to that.

    What staff keep off the public page they would not have read here either.
    """
    may_be_read = inviter.counting and inviter.supporter_closed_at is None
    agreed = may_be_read and is_given(session, inviter, ConsentKind.INVITER)
    return inviter.name if agreed and is_plain_name(inviter.name or "") else None


def note_inviter(session: Session, member: Member, code: str | None) -> None:
    """Remember whose link led a person here who has never counted; nobody invites themselves."""
    inviter = find_inviter(session, code) if member.number is None else None
    if inviter is not None and inviter.id != member.id:
        member.invited_by = inviter.id


def count_invited(session: Session, member: Member) -> int:
    """How many people first became members by this person's link."""
    return (
        session.scalar(
            select(func.count()).where(Member.invited_by == member.id, Member.number.is_not(None))
        )
        or 0
    )
