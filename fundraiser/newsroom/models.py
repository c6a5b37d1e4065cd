"""Models: staff, their sign-in, and the audit log."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text, true
from sqlalchemy.orm import Mapped, mapped_column, relationship

from fundraiser.db import Base, Identifier
from fundraiser.texts import DEFAULT_LANGUAGE


class Role(StrEnum):
    """A staff member's role, which decides what they may do."""

    ADMIN = "admin"
    MANAGER = "manager"
    SUPPORT = "support"
    FINANCE = "finance"


class Staff(Base):
    """A member of staff who can sign in to the dashboard.

    ``password_hash`` is null until the invitation is accepted. ``second_factor`` is part of the
    authenticator's secret, active from ``second_factor_at``; ``second_factor_step`` is the last
    used time step, so that no code works twice. ``second_step_by`` is the deadline for setting up
    two-step sign-in. ``chosen_language`` is that of the person's pages, null for the browser's;
    ``language`` is that of their e-mails: the chosen one, or the last sign-in's.
    ``wants_milestones``: e-mail each milestone.
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
    second_step_by: Mapped[datetime | None]
    language: Mapped[str] = mapped_column(default=DEFAULT_LANGUAGE, server_default=DEFAULT_LANGUAGE)
    chosen_language: Mapped[str | None]
    wants_milestones: Mapped[bool] = mapped_column(default=True, server_default=true())
    passkeys: Mapped[list[Passkey]] = relationship(
        order_by="Passkey.id", cascade="all, delete-orphan"
    )

    @property
    def has_second_step(self) -> bool:
        """Whether this person needs more than a password to sign in."""
        return self.second_factor_at is not None or bool(self.passkeys)


class Passkey(Base):
    """A passkey (WebAuthn credential) of a member of staff.

    ``name`` is the browser that made it. ``sign_count`` rises with each use if the authenticator
    counts; a lower value would mean a copy.
    """

    __tablename__ = "staff_passkey"

    id: Mapped[Identifier]
    staff_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("staff.id"), index=True)
    credential_id: Mapped[bytes] = mapped_column(unique=True)
    public_key: Mapped[bytes]
    sign_count: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str]
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class RecoveryCode(Base):
    """One of ten one-time codes for people who lost their passkey or phone."""

    __tablename__ = "staff_recovery_code"

    id: Mapped[Identifier]
    staff_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("staff.id"), index=True)
    code_hash: Mapped[str] = mapped_column(unique=True)
    used_at: Mapped[datetime | None]


class StaffRules(Base):
    """Security rules for staff: one row; without it, the defaults.

    ``second_step_roles`` need two-step sign-in. Refunds above ``large_refund``, in whole units of
    their currency, ask for the password again.
    """

    __tablename__ = "staff_rules"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    second_step_roles: Mapped[list[str]]
    large_refund: Mapped[int]


class SecretKeyCheck(Base):
    """A hash with each SECRET_KEY that was used, to notice a lost one: one row."""

    __tablename__ = "secret_key_check"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str]


class StaffSession(Base):
    """A browser in which a member of staff is signed in; ``token_hash`` is its cookie's hash.

    It ends at ``ends_at``, or an hour after ``seen_at``, when the person last opened a page.
    ``browser`` names browser and system ("Firefox, Windows"). ``confirmed_at`` is the last time the
    person gave the password and, if needed, the second step; while it is null the session grants no
    access. ``challenge`` is the next passkey challenge, in base64url: used once.
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
    challenge: Mapped[str | None]


class KeyKind(StrEnum):
    """What an e-mailed key is for."""

    INVITATION = "invitation"
    NEW_PASSWORD = "new_password"  # noqa: S105 - the name of a kind


class StaffKey(Base):
    """An e-mailed key to choose a password: works once, until ``ends_at``."""

    __tablename__ = "staff_key"

    id: Mapped[Identifier]
    staff_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("staff.id"), index=True)
    kind: Mapped[KeyKind]
    token_hash: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class AuditEntry(Base):
    """One action by staff: who, what, on what, when.

    ``fields`` are the names of changed fields, ``details`` amounts and IDs: never personal data.
    ``key`` comes from the submitted form: the same form sent twice is one action.
    """

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_subject", "subject"),
        Index("ix_audit_entry_staff_id", "staff_id", "id"),
    )

    id: Mapped[Identifier]
    at: Mapped[datetime]
    staff_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("staff.id"))
    action: Mapped[str]
    subject: Mapped[str]
    fields: Mapped[list[str]] = mapped_column(default=list, server_default=text("'[]'"))
    details: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'"))
    key: Mapped[str | None] = mapped_column(unique=True)
