"""Changed addresses: both are e-mailed, with a link that undoes the change for 72 hours.

Whoever changed it, at Stripe, on the staff's or on the member's own page: a session that began
before the change is over (see ``account.sessions``).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from fundraiser.db import Base, Identifier, now
from fundraiser.errors import UnprocessableError
from fundraiser.members.models import Member, fold_address
from fundraiser.outbox import enqueue
from fundraiser.texts import gettext as _

UNDO_WITHIN = timedelta(hours=72)


class End(StrEnum):
    """The two addresses of a change."""

    BEFORE = "before"
    AFTER = "after"


class AddressChange(Base):
    """A member's address before and after a change; it can be undone until ``undo_until``."""

    __tablename__ = "address_change"

    id: Mapped[Identifier]
    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    before: Mapped[str]
    after: Mapped[str]
    at: Mapped[datetime]
    undo_until: Mapped[datetime]

    def address(self, end: End) -> str:
        """The address at this end."""
        return self.before if end is End.BEFORE else self.after

    @property
    def can_be_undone(self) -> bool:
        """Whether its link still works."""
        return self.undo_until > now()


def note_change(
    session: Session, member: Member, before: str | None, *, is_undo: bool = False
) -> None:
    """Note that a member has another address, and enqueue an e-mail to both.

    One that undoes another change can't be undone itself, and ends what could be undone before it.
    """
    if not before or not member.email or fold_address(before) == fold_address(member.email):
        return
    at = now()
    if is_undo:
        session.execute(
            update(AddressChange)
            .where(AddressChange.member_id == member.id, AddressChange.undo_until > at)
            .values(undo_until=at)
        )
    change = AddressChange(
        member_id=member.id,
        before=before,
        after=member.email,
        at=at,
        undo_until=at if is_undo else at + UNDO_WITHIN,
    )
    session.add(change)
    session.flush()
    for end in End:
        enqueue(
            session,
            "address_changed",
            to=member.id,
            key=f"{change.id} {end}",
            context={"change": change.id, "end": end.value},
        )


def mask(address: str) -> str:
    """An address as the reader of another one sees it, which may be a stranger's by a typo."""
    local, _at, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"


def changed_address(session: Session, change_id: int, end: str) -> str | None:
    """The address that the e-mail about a change goes to, if the change is still known."""
    change = session.get(AddressChange, change_id)
    return change.address(End(end)) if change else None


def find_undoable(session: Session, change_id: int) -> tuple[AddressChange, Member]:
    """A change that can be undone, and its member, who may have changed the address again since.

    Raises:
        UnprocessableError: the 72 hours are over, or it was undone.
    """
    row = session.execute(
        select(AddressChange, Member)
        .join(Member, Member.id == AddressChange.member_id)
        .where(AddressChange.id == change_id)
    ).first()
    if row is None or not row[0].can_be_undone or row[1].email is None:
        raise UnprocessableError(
            _(
                "This link worked for 72 hours, or until the change was undone. Reply to our "
                "e-mail if your address isn’t right."
            )
        )
    return row[0], row[1]
