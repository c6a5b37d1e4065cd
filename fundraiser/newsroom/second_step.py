"""Two-step sign-in: who needs it, deadlines, recovery codes, removal."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update

from fundraiser.config import current_settings
from fundraiser.db import clock, now
from fundraiser.errors import UnprocessableError
from fundraiser.newsroom import passkeys, second_factor, sessions
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.models import RecoveryCode, Role, StaffRules
from fundraiser.outbox import enqueue_to_staff
from fundraiser.security import digest
from fundraiser.texts import Named, gettext as _

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.newsroom.models import Staff, StaffSession

TIME_TO_SET_UP = timedelta(days=7)
CODES = 10
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # 5 bits each, none taken for another
_LENGTH, _GROUP = 28, 4  # 140 bits, so that a plain hash of it says nothing
_DEFAULT_ROLES, _DEFAULT_LARGE_REFUND = (Role.ADMIN, Role.FINANCE), 100


def read_rules(session: Session) -> StaffRules:
    """The security rules for staff; the defaults until an administrator changes them."""
    return session.get(StaffRules, 1) or StaffRules(
        id=1, second_step_roles=list(_DEFAULT_ROLES), large_refund=_DEFAULT_LARGE_REFUND
    )


def change_rules(session: Session, by: Staff, roles: list[Role], large_refund: int) -> None:
    """Set the roles that need two-step sign-in, and the refund that needs confirmation."""
    before, names = read_rules(session), sorted(role.value for role in roles)
    changes: dict[str, tuple[object, object]] = {
        "second_step_roles": (", ".join(sorted(before.second_step_roles)), ", ".join(names)),
        "large_refund": (before.large_refund, large_refund),
    }
    session.merge(
        StaffRules(
            id=1, second_step_roles=[role.value for role in roles], large_refund=large_refund
        )
    )
    record(
        session,
        Action.CHANGED_RULES,
        "staff rules",
        staff=by,
        changes={name: pair for name, pair in changes.items() if pair[0] != pair[1]},
    )


def start_deadline(session: Session, staff: Staff) -> None:
    """Start the week in which a person who signs in must set up two-step sign-in."""
    needs_one = staff.role in read_rules(session).second_step_roles and not staff.has_second_step
    if not needs_one:
        staff.second_step_by = None
    elif staff.second_step_by is None:
        staff.second_step_by = clock.machine() + TIME_TO_SET_UP


def is_overdue(staff: Staff) -> bool:
    """Whether the person's deadline has passed, so that only the set-up pages are open."""
    by = staff.second_step_by
    return by is not None and by <= clock.machine() and not staff.has_second_step


def turn_on_authenticator(session: Session, staff: Staff, code: str) -> None:
    """Activate authenticator codes, once the person has entered a correct one.

    Raises:
        UnprocessableError: the code is wrong.
    """
    if second_factor.turn_on(session, staff, code):
        _note_added(session, staff, Action.SECOND_FACTOR_ON)
        tell(session, staff, _("An authenticator app was added to your account."))


def turn_off_authenticator(session: Session, staff: Staff) -> None:
    """Deactivate authenticator codes; the next authenticator gets a new secret."""
    if staff.second_factor_at is not None:
        staff.second_factor = staff.second_factor_at = None
        record(session, Action.SECOND_FACTOR_OFF, f"staff {staff.id}", staff=staff)
        tell(session, staff, _("The authenticator app was removed from your account."))
        _forget_codes_of_nothing(session, staff)


def add_passkey(session: Session, staff: Staff, here: StaffSession, answer: str, name: str) -> None:
    """Store a new passkey.

    Raises:
        UnprocessableError: it is invalid, or the person has too many.
    """
    passkeys.add(session, staff, here, answer, name)
    _note_added(session, staff, Action.ADDED_PASSKEY)
    tell(session, staff, _("A passkey was added to your account."))


def remove_passkey(session: Session, staff: Staff, passkey_id: int) -> None:
    """Remove one of a person's own passkeys; safe to repeat."""
    found = next((known for known in staff.passkeys if known.id == passkey_id), None)
    if found is not None:
        staff.passkeys.remove(found)
        record(session, Action.REMOVED_PASSKEY, f"staff {staff.id}", staff=staff)
        tell(session, staff, _("A passkey was removed from your account."))
        _forget_codes_of_nothing(session, staff)


def check_code(session: Session, staff: Staff, typed: str) -> str:
    """Check an authenticator code or a recovery code, which it uses up.

    Returns "authenticator" or "recovery_code".

    Raises:
        UnprocessableError: it is neither.
    """
    code = _normalize(typed)
    if len(code) == _LENGTH:
        used = session.scalar(
            update(RecoveryCode)
            .where(
                RecoveryCode.staff_id == staff.id,
                RecoveryCode.code_hash == digest(code),
                RecoveryCode.used_at.is_(None),
            )
            .values(used_at=now())
            .returning(RecoveryCode.id)
        )
        if used is None:
            raise UnprocessableError(
                Named(
                    "not-a-recovery-code",
                    _("This recovery code is wrong or has already been used. Try another one."),
                ),
                field="code",
            )
        left = codes_left(session, staff)
        tell(
            session,
            staff,
            _(
                "Somebody signed in with one of your recovery codes. You have %(count)s left.",
                count=left,
            ),
        )
        return "recovery_code"
    if staff.second_factor_at is None:
        raise UnprocessableError(
            Named("no-authenticator", _("Use your passkey, or enter one of your recovery codes.")),
            field="code",
        )
    second_factor.check(session, staff, typed)
    return "authenticator"


def make_codes(session: Session, staff: Staff) -> list[str]:
    """Make ten new recovery codes in place of the old ones; stores only hashes."""
    session.execute(delete(RecoveryCode).where(RecoveryCode.staff_id == staff.id))
    codes = [
        "".join(secrets.choice(_ALPHABET) for _each in range(_LENGTH)) for _code in range(CODES)
    ]
    session.add_all(RecoveryCode(staff_id=staff.id, code_hash=digest(code)) for code in codes)
    record(session, Action.MADE_RECOVERY_CODES, f"staff {staff.id}", staff=staff)
    tell(
        session,
        staff,
        _("Ten new recovery codes were made for your account. The old ones no longer work."),
    )
    groups = range(0, _LENGTH, _GROUP)
    return ["-".join(code[start : start + _GROUP] for start in groups) for code in codes]


def codes_left(session: Session, staff: Staff) -> int:
    """How many recovery codes are unused."""
    return (
        session.scalar(
            select(func.count()).where(
                RecoveryCode.staff_id == staff.id, RecoveryCode.used_at.is_(None)
            )
        )
        or 0
    )


def remove_all(session: Session, by: Staff, staff: Staff) -> None:
    """Remove all second steps of somebody who has lost them, and end all sessions."""
    if staff.has_second_step:
        forget(session, staff)
        sessions.end_all(session, staff)
        record(session, Action.SECOND_FACTOR_OFF, f"staff {staff.id}", staff=by)
        tell(session, staff, _("An administrator turned off two-step sign-in for your account."))


def forget(session: Session, staff: Staff) -> None:
    """Delete passkeys, the authenticator's secret and recovery codes."""
    staff.second_factor = staff.second_factor_at = staff.second_step_by = None
    staff.passkeys.clear()
    session.execute(delete(RecoveryCode).where(RecoveryCode.staff_id == staff.id))


def tell(session: Session, staff: Staff, sentence: str) -> None:
    """E-mail a member of staff that their sign-in has changed."""
    enqueue_to_staff(
        session,
        staff.id,
        key=secrets.token_urlsafe(8),
        subject=_("Security notice for your account"),
        paragraphs=[
            sentence,
            _("If that wasn’t you, change your password and tell an administrator straight away."),
        ],
        link=(_("Go to your account"), f"{current_settings().public_url}/staff/account"),
    )


def _note_added(session: Session, staff: Staff, action: Action) -> None:
    staff.second_step_by = None
    record(session, action, f"staff {staff.id}", staff=staff)


def _forget_codes_of_nothing(session: Session, staff: Staff) -> None:
    """Without a second step, delete the recovery codes.

    Those who need one set up another at once: the week is for people who never had any.
    """
    if not staff.has_second_step:
        forget(session, staff)
        if staff.role in read_rules(session).second_step_roles:
            staff.second_step_by = clock.machine()


def _normalize(typed: str) -> str:
    return "".join(character for character in typed[:100].upper() if character.isalnum())
