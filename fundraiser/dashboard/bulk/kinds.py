"""What each kind of bulk change does to people, whom it leaves alone, and how it is undone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, exists, or_, select
from sqlalchemy.dialects.postgresql import insert

from fundraiser.dashboard.bulk.models import BulkKind
from fundraiser.db import now
from fundraiser.members.complimentary import end_given, give_membership
from fundraiser.members.member_labels import Label, MemberLabel, add_label, remove_label
from fundraiser.members.models import Member, Membership, Note, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from fundraiser.dashboard.bulk.models import BulkChange


class Kind(ABC):
    """A kind of change: the same condition finds people for the preview and for the change."""

    def __init__(self, change: BulkChange, currency: str, grace: timedelta) -> None:
        self.change, self.currency, self.grace = change, currency, grace

    @abstractmethod
    def changes(self) -> ColumnElement[bool]:
        """SQL: whether this would change a member."""

    @abstractmethod
    def apply(self, session: Session, members: Sequence[Member]) -> Mapping[int, int | None]:
        """Change these members; returns the ID of what was added by the member's ID, if any."""

    @abstractmethod
    def undo(self, session: Session, made: Mapping[int, int | None]) -> Sequence[int]:
        """Undo it for these members; returns the IDs of those for whom it was still so."""


class _Labelling(Kind):
    """A change of a label; of one that was deleted meanwhile, nothing is left to do."""

    def add(self, session: Session, member_ids: Iterable[int]) -> Sequence[int]:
        label = session.get(Label, self.change.options["label"])
        return add_label(session, label, member_ids) if label else []

    def remove(self, session: Session, member_ids: Iterable[int]) -> Sequence[int]:
        label = session.get(Label, self.change.options["label"])
        return remove_label(session, label, member_ids) if label else []


class AddLabel(_Labelling):
    """Put a label on people."""

    def changes(self) -> ColumnElement[bool]:
        return ~_has_label(self.change)

    def apply(self, session: Session, members: Sequence[Member]) -> Mapping[int, int | None]:
        return dict.fromkeys(self.add(session, [member.id for member in members]))

    def undo(self, session: Session, made: Mapping[int, int | None]) -> Sequence[int]:
        return self.remove(session, made)


class RemoveLabel(_Labelling):
    """Take a label off people."""

    def changes(self) -> ColumnElement[bool]:
        return _has_label(self.change)

    def apply(self, session: Session, members: Sequence[Member]) -> Mapping[int, int | None]:
        return dict.fromkeys(self.remove(session, [member.id for member in members]))

    def undo(self, session: Session, made: Mapping[int, int | None]) -> Sequence[int]:
        return self.add(session, made)


class WriteNote(Kind):
    """Write the same note about each person."""

    def changes(self) -> ColumnElement[bool]:
        return Member.id.is_not(None)

    def apply(self, session: Session, members: Sequence[Member]) -> Mapping[int, int | None]:
        entry, text = self.change.audit_entry_id, self.change.note
        rows = [
            {"member_id": member.id, "audit_entry_id": entry, "text": text} for member in members
        ]
        written = session.execute(insert(Note).values(rows).returning(Note.member_id, Note.id))
        return {row.member_id: row.id for row in written}

    def undo(self, session: Session, made: Mapping[int, int | None]) -> Sequence[int]:
        return session.scalars(
            delete(Note).where(Note.id.in_(made.values())).returning(Note.member_id)
        ).all()


class GiveComplimentary(Kind):
    """Give a complimentary membership to people who have none."""

    def changes(self) -> ColumnElement[bool]:
        return ~exists().where(
            Membership.member_id == Member.id,
            Membership.source == Source.COMPLIMENTARY,
            Membership.ended_at.is_(None),
            or_(Membership.cancel_at.is_(None), Membership.cancel_at > now()),
        )

    def apply(self, session: Session, members: Sequence[Member]) -> Mapping[int, int | None]:
        options, given = self.change.options, {}
        for member in members:
            given[member.id] = give_membership(
                session,
                member,
                self.grace,
                tier=options["tier"],
                currency=self.currency,
                until=datetime.fromisoformat(options["until"]),
                reference=f"bulk-{self.change.id}-{member.id}",
            )
        session.flush()
        return {member_id: membership.id for member_id, membership in given.items()}

    def undo(self, session: Session, made: Mapping[int, int | None]) -> Sequence[int]:
        running = session.execute(
            select(Membership, Member)
            .join(Member, Member.id == Membership.member_id)
            .where(Membership.id.in_(made.values()), Membership.ended_at.is_(None))
            .order_by(Member.id)
        ).all()
        for membership, member in running:
            end_given(session, member, self.grace, membership)
        ended = {membership.id for membership, _member in running}
        return [member_id for member_id, membership_id in made.items() if membership_id in ended]


_KINDS: dict[BulkKind, Callable[[BulkChange, str, timedelta], Kind]] = {
    BulkKind.ADD_LABEL: AddLabel,
    BulkKind.REMOVE_LABEL: RemoveLabel,
    BulkKind.NOTE: WriteNote,
    BulkKind.COMPLIMENTARY: GiveComplimentary,
}


def kind_of(change: BulkChange, currency: str, grace: timedelta) -> Kind:
    """The kind of a change that has been planned."""
    if change.kind is None:
        raise ValueError(change.id)
    return _KINDS[change.kind](change, currency, grace)


def _has_label(change: BulkChange) -> ColumnElement[bool]:
    return exists().where(
        MemberLabel.member_id == Member.id, MemberLabel.label_id == change.options["label"]
    )
