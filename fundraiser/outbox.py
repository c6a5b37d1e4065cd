"""The letters owed: a row is written in the transaction that causes the letter."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from fundraiser.db import Base, Identifier, now
from fundraiser.jobs import Job, hint


class LetterKind(StrEnum):
    """The letters we send."""

    WELCOME = "welcome"
    CONTRIBUTION = "contribution"
    SECOND_MEMBERSHIP = "second_membership"
    SIGN_IN = "sign_in"
    CHANGE_OF_ADDRESS = "change_of_address"


class LetterState(StrEnum):
    """``unknown``: we died between the server's acceptance and our note of it.

    ``withdrawn``: its reason was gone before it was sent.
    """

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    WITHDRAWN = "withdrawn"


class Letter(Base):
    """A letter owed to a person: at most one of a kind in a cycle.

    Where the cycle names a thing at Stripe, that is told once, to whom it was then: its customer
    may become somebody else's when an address is changed.
    ``due_at`` of one that is ``sending`` is when it counts as lost. ``unknown_at`` stays where such
    a letter was sent again. ``error`` is a sentence for staff.
    """

    __tablename__ = "letter"
    __table_args__ = (
        UniqueConstraint("member_id", "kind", "cycle"),
        Index(
            "uq_letter_told_once",
            "kind",
            "cycle",
            unique=True,
            postgresql_where="kind IN ('contribution', 'second_membership')",
        ),
        Index("ix_letter_due", "due_at", postgresql_where="state IN ('queued', 'sending')"),
        Index(
            "ix_letter_open",
            "state",
            "id",
            postgresql_where="state NOT IN ('sent', 'withdrawn')",
        ),
    )

    id: Mapped[Identifier]
    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"))
    kind: Mapped[LetterKind]
    cycle: Mapped[str]
    context: Mapped[dict[str, Any]]
    state: Mapped[LetterState]
    due_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    unknown_at: Mapped[datetime | None]


def owe(
    session: Session, kind: LetterKind, *, member_id: int, cycle: str, context: dict[str, Any]
) -> None:
    """Owe a person this letter once; owing it again changes nothing."""
    at = now()
    session.execute(
        insert(Letter)
        .values(
            member_id=member_id,
            kind=kind,
            cycle=cycle,
            context=context,
            state=LetterState.QUEUED,
            due_at=at,
            created_at=at,
            attempts=0,
        )
        .on_conflict_do_nothing()
    )
    hint(session, Job.DELIVER)
