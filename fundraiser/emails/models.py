"""Who is not written to, who asked to be, and what staff changed about the letters."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base, Identifier


class Ground(StrEnum):
    """Why an address gets no letters: it does not exist, or its owner called one of them spam."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"


class Suppression(Base):
    """An address, in lower case, that gets no letters. Every sending asks."""

    __tablename__ = "suppression"

    address: Mapped[str] = mapped_column(primary_key=True)
    ground: Mapped[Ground]
    detail: Mapped[str | None]
    at: Mapped[datetime]


class ReminderKind(StrEnum):
    """Asked for on the campaign's page, or left by a join that was not finished."""

    LATER = "later"
    UNFINISHED = "unfinished"


class Reminder(Base):
    """An address left by a reader, for one letter at ``due_at`` and no other.

    One that was asked for on a page is confirmed by a letter first; the address of an unfinished
    join was given with consent. ``stopped_at``: not wanted any more.
    """

    __tablename__ = "reminder"
    __table_args__ = (
        Index(
            "uq_reminder_open",
            "campaign_slug",
            text("lower(email)"),
            unique=True,
            postgresql_where="kind = 'later' AND stopped_at IS NULL",
        ),
        Index("ix_reminder_due", "due_at", postgresql_where="stopped_at IS NULL"),
        UniqueConstraint("checkout_id"),
    )

    id: Mapped[Identifier]
    kind: Mapped[ReminderKind]
    email: Mapped[str]
    language: Mapped[str]
    campaign_slug: Mapped[str] = mapped_column(ForeignKey("campaign.slug"))
    checkout_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("checkout.id"))
    due_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    stopped_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class LetterSwitch(Base):
    """Whether a kind of letter is sent, where staff said so."""

    __tablename__ = "letter_switch"

    kind: Mapped[str] = mapped_column(primary_key=True)
    is_on: Mapped[bool]


class LetterWording(Base):
    """A kind's subject, heading and text as staff wrote them, in one language."""

    __tablename__ = "letter_wording"

    kind: Mapped[str] = mapped_column(primary_key=True)
    language: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    heading: Mapped[str]
    text: Mapped[str]
    changed_at: Mapped[datetime]
    staff_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("staff.id"))


class Mailing(Base):
    """A letter to many that a campaign caused: it goes out once, to who wanted it then."""

    __tablename__ = "mailing"

    kind: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
