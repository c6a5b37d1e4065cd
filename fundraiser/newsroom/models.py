"""Staff, and the audit log of what they did."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text, true
from sqlalchemy.orm import Mapped, mapped_column, relationship

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
    is the newest step whose code was used, so that none is used twice. ``second_step_by`` is when
    a person without a second step has to have set one up. ``language`` is the one in
    which the person last signed in; ``wants_milestones``: an e-mail at each of a campaign.
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
    language: Mapped[str] = mapped_column(default="en", server_default="en")
    wants_milestones: Mapped[bool] = mapped_column(default=True, server_default=true())
    passkeys: Mapped[list[Passkey]] = relationship(
        order_by="Passkey.id", cascade="all, delete-orphan"
    )

    @property
    def has_second_step(self) -> bool:
        """Whether the password alone does not let this person in."""
        return self.second_factor_at is not None or bool(self.passkeys)


class Passkey(Base):
    """A passkey (WebAuthn credential) of a person of the staff.

    ``name`` is the browser it was made in. ``sign_count`` goes up with each use where the
    authenticator counts; one that goes down would be a copy.
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
    """One of ten codes for a person whose passkey or telephone is lost: good once."""

    __tablename__ = "staff_recovery_code"

    id: Mapped[Identifier]
    staff_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("staff.id"), index=True)
    code_hash: Mapped[str] = mapped_column(unique=True)
    used_at: Mapped[datetime | None]


class StaffRules(Base):
    """What administrators ask of the staff: the one row, or its defaults while there is none.

    ``second_step_roles``: who has to have a second step. ``large_refund``: a refund above it, in
    whole units of its currency, asks for the password again.
    """

    __tablename__ = "staff_rules"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    second_step_roles: Mapped[list[str]]
    large_refund: Mapped[int]


class SecretKeyCheck(Base):
    """A hash by each key of SECRET_KEY that was in use, by which a lost one is noticed: one row."""

    __tablename__ = "secret_key_check"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str]


class StaffSession(Base):
    """One browser in which somebody of the staff is signed in; ``token_hash`` is of its cookie.

    It ends at ``ends_at``, or earlier an hour after ``seen_at``, when its person last opened a
    page. ``browser`` names browser and system ("Firefox, Windows"). ``confirmed_at`` is when the
    person last gave the password and, where it is asked for, the second step; null until the first
    time, and such a session opens nothing. ``challenge`` is what a passkey is to sign next, in
    base64url: used once.
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
    """What an e-mail's key opens."""

    INVITATION = "invitation"
    NEW_PASSWORD = "new_password"  # noqa: S105 - the name of a kind


class StaffKey(Base):
    """A key that an e-mail carries, to choose a password with: good once, until ``ends_at``."""

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
    action: Mapped[str]
    subject: Mapped[str]
    fields: Mapped[list[str]] = mapped_column(default=list, server_default=text("'[]'"))
    details: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'"))
    key: Mapped[str | None] = mapped_column(unique=True)
