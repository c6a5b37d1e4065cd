"""The people of the newsroom: added, let in, signed out everywhere."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from fundraiser.db import now
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.newsroom import passwords
from fundraiser.newsroom.audit import Act, record
from fundraiser.newsroom.models import Role, Staff
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


SHORTEST_PASSWORD = 12


def find_staff(session: Session, email: str) -> Staff | None:
    """The person of this address in any case."""
    return session.scalars(
        select(Staff).where(func.lower(Staff.email) == email.strip().lower())
    ).first()


def add_staff(session: Session, *, email: str, name: str, role: Role, password: str) -> Staff:
    """Add a person who may sign in.

    Raises:
        UnprocessableError: the address is taken or is none, or the password is too short.
    """
    email = email.strip()
    if "@" not in email[1:-1]:
        raise UnprocessableError(_("Enter an e-mail address."), field="email")
    if find_staff(session, email):
        raise UnprocessableError(
            _("%(email)s is on the staff already.", email=email), field="email"
        )
    staff = Staff(
        email=email,
        name=name.strip() or email,
        password_hash=_hash(password),
        role=role,
        session_key=_new_key(),
        created_at=now(),
    )
    session.add(staff)
    session.flush()
    record(session, Act.ADDED_STAFF, f"staff {staff.id}", staff=None)
    return staff


def reset_password(session: Session, email: str, password: str) -> Staff:
    """Give a person a new password, and sign the person out everywhere.

    Raises:
        NotFoundError: nobody on the staff has this address.
        UnprocessableError: the password is too short.
    """
    staff = find_staff(session, email)
    if staff is None:
        raise NotFoundError(_("%(email)s is not on the staff.", email=email))
    staff.password_hash = _hash(password)
    staff.session_key = _new_key()
    record(session, Act.RESET_PASSWORD, f"staff {staff.id}", staff=None)
    return staff


def let_in(session: Session, email: str, password: str) -> Staff | None:
    """The person who may sign in with these; None, after the same time, for anybody else."""
    staff = find_staff(session, email)
    is_right = passwords.is_right(staff.password_hash if staff else None, password)
    if staff is None or not is_right or staff.deactivated_at:
        return None
    if passwords.is_outdated(staff.password_hash):
        staff.password_hash = passwords.hash_password(password)
    staff.last_sign_in_at = now()
    record(session, Act.SIGNED_IN, f"staff {staff.id}", staff=staff)
    return staff


def _hash(password: str) -> str:
    if len(password) < SHORTEST_PASSWORD:
        raise UnprocessableError(
            _("The password must have %(count)s characters or more.", count=SHORTEST_PASSWORD),
            field="password",
        )
    return passwords.hash_password(password)


def _new_key() -> str:
    return secrets.token_urlsafe(32)
