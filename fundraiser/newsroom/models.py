"""Staff, and the trail of what they did."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, text, true
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base, Identifier


class Role(StrEnum):
    """What a person of the staff may do."""

    ADMIN = "admin"
    MANAGER = "manager"
    SUPPORT = "support"
    FINANCE = "finance"


class Staff(Base):
    """A person of the newsroom who signs in to the dashboard.

    ``password_hash`` is null until an invitation is taken up. ``second_factor`` is what the secret
    of the one-time codes is made of, in force from ``second_factor_at`` on; ``second_factor_step``
    is the newest step whose code was used, so that none is used twice. ``language`` is the one in
    which the person last signed in; ``wants_milestones``: a letter at each of a campaign.
    """

    __tablename__ = "staff"
    __table_args__ = (Index("uq_staff_email", text("lower(email)"), unique=True),)

    id: Mapped[Identifier]
    email: Mapped[str]
    name: Mapped[str]
    password_hash: Mapped[str | None]
    role: Mapped[Role]
    created_at: Mapped[datetime]
    last_sign_in_at: Mapped[datetime | None]
    deactivated_at: Mapped[datetime | None]
    second_factor: Mapped[str | None]
    second_factor_at: Mapped[datetime | None]
    second_factor_step: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    language: Mapped[str] = mapped_column(default="en", server_default="en")
    wants_milestones: Mapped[bool] = mapped_column(default=True, server_default=true())


class StaffSession(Base):
    """One browser in which somebody of the staff is signed in; ``token_hash`` is of its cookie.

    It ends at ``ends_at``, or earlier an hour after ``seen_at``, when its person last opened a
    page. ``browser`` names browser and system ("Firefox, Windows"). ``confirmed_at`` is when the
    person last gave the password and, where it is asked for, the second step; null until the first
    time, and such a session opens nothing.
    """

    __tablename__ = "staff_session"

    id: Mapped[Identifier]
    staff_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("staff.id"), index=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    browser: Mapped[str]
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]


class KeyKind(StrEnum):
    """What a letter's key opens."""

    INVITATION = "invitation"
    NEW_PASSWORD = "new_password"  # noqa: S105 - the name of a kind


class StaffKey(Base):
    """A key that a letter carries, to choose a password with: good once, until ``ends_at``."""

    __tablename__ = "staff_key"

    id: Mapped[Identifier]
    staff_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("staff.id"), index=True)
    kind: Mapped[KeyKind]
    token_hash: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class AuditEntry(Base):
    """One act of staff: who, what, on what, when.

    ``fields`` are the names of what was changed, ``details`` amounts and identifiers: never
    personal data. ``key`` is made of the form that was sent: the same form sent twice is one act.
    """

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_subject", "subject"),
        Index("ix_audit_entry_staff_id", "staff_id", "id"),
    )

    id: Mapped[Identifier]
    at: Mapped[datetime]
    staff_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("staff.id"))
    act: Mapped[str]
    subject: Mapped[str]
    fields: Mapped[list[str]] = mapped_column(default=list, server_default=text("'[]'"))
    details: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'"))
    key: Mapped[str | None] = mapped_column(unique=True)
