"""Staff, and the trail of what they did."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, text
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

    ``session_key`` is part of the signed session: a new one signs the person out everywhere.
    """

    __tablename__ = "staff"
    __table_args__ = (Index("uq_staff_email", text("lower(email)"), unique=True),)

    id: Mapped[Identifier]
    email: Mapped[str]
    name: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[Role]
    session_key: Mapped[str]
    created_at: Mapped[datetime]
    last_sign_in_at: Mapped[datetime | None]
    deactivated_at: Mapped[datetime | None]


class AuditEntry(Base):
    """One act of staff: who, what, on what, when."""

    __tablename__ = "audit_entry"

    id: Mapped[Identifier]
    at: Mapped[datetime]
    staff_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("staff.id"))
    act: Mapped[str]
    subject: Mapped[str]
