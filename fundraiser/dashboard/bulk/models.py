"""Models: changes of many members at once, and what each did to a person."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base, Identifier


class BulkKind(StrEnum):
    """What to do with many people: nothing that moves money."""

    ADD_LABEL = "add_label"
    REMOVE_LABEL = "remove_label"
    NOTE = "note"
    COMPLIMENTARY = "complimentary"


class BulkState(StrEnum):
    """People are frozen (draft), the change is previewed (planned), applied, perhaps undone."""

    DRAFT = "draft"
    PLANNED = "planned"
    APPLYING = "applying"
    APPLIED = "applied"
    UNDOING = "undoing"
    UNDONE = "undone"


AT_WORK = (BulkState.APPLYING, BulkState.UNDOING)


class Result(StrEnum):
    """What became of one person.

    ``unchanged``: it was so before. ``gone``: the account was deleted in the meantime. ``kept``:
    somebody changed it since, so the undo left it.
    """

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    GONE = "gone"
    UNDONE = "undone"
    KEPT = "kept"


class BulkChange(Base):
    """A change of many members.

    ``options`` are what the kind asks for: ``label`` (an ID), or ``tier`` and ``until``. ``note``
    is a note's text, emptied once the notes are written. ``people`` is how many were frozen,
    ``changing`` how many of them the preview found to change, ``done`` how many are processed.
    ``audit_entry_id`` is where staff applied it.
    """

    __tablename__ = "bulk_change"
    __table_args__ = (
        Index("ix_bulk_change_at_work", "id", postgresql_where="state IN ('applying', 'undoing')"),
    )

    id: Mapped[Identifier]
    state: Mapped[BulkState]
    kind: Mapped[BulkKind | None]
    options: Mapped[dict[str, Any]]
    note: Mapped[str | None]
    people: Mapped[int]
    changing: Mapped[int | None]
    done: Mapped[int]
    staff_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("staff.id"), index=True)
    audit_entry_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("audit_entry.id"), index=True
    )
    created_at: Mapped[datetime]
    applied_at: Mapped[datetime | None]
    undone_at: Mapped[datetime | None]


class BulkMember(Base):
    """A person in a change; ``made_id`` is the note or membership that it added."""

    __tablename__ = "bulk_member"

    bulk_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("bulk_change.id", ondelete="CASCADE"), primary_key=True
    )
    member_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("member.id"), primary_key=True, index=True
    )
    result: Mapped[Result | None]
    made_id: Mapped[int | None] = mapped_column(BigInteger)
