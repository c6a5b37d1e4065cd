"""Changes of a member's e-mail address: notify both addresses, with an undo link for 72 hours.

It doesn't matter who made the change: Stripe, staff or the member. A change ends all sessions that
began before it (see ``account.sessions``).
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
from fundraiser.texts import Named, gettext as _

UNDO_WITHIN = timedelta(hours=72)


class End(StrEnum):
    """Which address of a change: the old or the new one."""

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
        """The address at this end of the change."""
        return self.before if end is End.BEFORE else self.after

    @property
    def can_be_undone(self) -> bool:
        """Whether the undo link still works."""
        return self.undo_until > now()


def note_change(
    session: Session, member: Member, before: str | None, *, is_undo: bool = False
) -> None:
    """Record that a member's address changed, and enqueue an e-mail to both addresses.

    A change that undoes another one can't be undone, and earlier changes no longer can be either.
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


def check_email(session: Session, member: Member, email: str) -> None:
    """Check that a person may have this address.

    Raises:
        UnprocessableError: the address is invalid, unchanged, or somebody else's.
    """
    local, _at, domain = email.rpartition("@")
    if not local or "." not in domain.strip(".") or any(character.isspace() for character in email):
        raise UnprocessableError(
            Named("address-none", _("Enter an e-mail address, like name@example.org.")),
            field="email",
        )
    if email == member.email:
        raise UnprocessableError(
            Named("address-same", _("That’s the address we already have.")), field="email"
        )
    owner = session.scalars(
        select(Member.id).where(Member.address == fold_address(email), Member.id != member.id)
    ).first()
    if owner is not None:
        raise UnprocessableError(
            Named(
                "address-somebody-elses",
                _("This address belongs to another person. Two people can’t have the same one."),
            ),
            field="email",
        )


def mask(address: str) -> str:
    """Hide most of an address: after a typo, the other address's reader may be a stranger."""
    local, _at, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"


def changed_address(session: Session, change_id: int, end: str) -> str | None:
    """The address that an e-mail about a change goes to, or None if the change is unknown."""
    change = session.get(AddressChange, change_id)
    return change.address(End(end)) if change else None


def find_undoable(session: Session, change_id: int) -> tuple[AddressChange, Member]:
    """Find a change that can be undone, and its member, whose address may have changed again since.

    Raises:
        UnprocessableError: the 72 hours are over, or the change was already undone.
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
