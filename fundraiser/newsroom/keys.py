"""One-time keys e-mailed to staff: invitations and password resets.

The key is in the URL's fragment, which no server sees, and only a form's POST uses it: a program
that opens e-mailed links changes nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.errors import UnprocessableError
from fundraiser.newsroom.models import KeyKind, StaffKey
from fundraiser.outbox import enqueue_to_staff
from fundraiser.security import digest, new_secret
from fundraiser.texts import Named, gettext as _

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.newsroom.models import Staff

LIVES = {KeyKind.INVITATION: timedelta(days=3), KeyKind.NEW_PASSWORD: timedelta(hours=1)}
_MOST_AN_HOUR = 3
_ONE_CLICK = timedelta(seconds=30)


def send_invitation(session: Session, staff: Staff) -> None:
    """Enqueue an invitation to choose a first password."""
    newsroom = current_settings().newsroom_name
    token, page = _new_key(session, staff, KeyKind.INVITATION)
    enqueue_to_staff(
        session,
        staff.id,
        key=token[:8],
        subject=_("You’re invited to the %(newsroom)s dashboard", newsroom=newsroom),
        paragraphs=[
            _("Hello %(name)s. Choose a password, and you can sign in.", name=staff.name),
            _("The invitation works once, within three days."),
            *_by_hand(page, token),
        ],
        link=(_("Choose a password"), f"{page}#{token}"),
    )


def send_new_password(session: Session, staff: Staff) -> None:
    """Enqueue an e-mail to choose a new password."""
    token, page = _new_key(session, staff, KeyKind.NEW_PASSWORD)
    enqueue_to_staff(
        session,
        staff.id,
        key=token[:8],
        subject=_("Choose a new password"),
        paragraphs=[
            _("Somebody asked for a new password for your dashboard account. We hope it was you."),
            _("If it wasn’t you, there’s nothing to do: your password stays as it is."),
            _("The link works once, within an hour."),
            *_by_hand(page, token),
        ],
        link=(_("Choose a password"), f"{page}#{token}"),
    )


def find_key(session: Session, token: str) -> StaffKey:
    """Find and lock a valid key.

    Raises:
        UnprocessableError: it is unknown, used or expired.
    """
    key = session.scalars(
        select(StaffKey).where(StaffKey.token_hash == digest(token.strip())).with_for_update()
    ).first()
    if key is None:
        sentence = _(
            "We don’t recognise this key. Open the link in the e-mail again, or copy the whole key."
        )
        raise UnprocessableError(Named("key-unknown", sentence), field="token")
    if key.used_at:
        raise UnprocessableError(
            Named(
                "key-used",
                _("This key has already been used. Sign in with the password you chose then."),
            ),
            field="token",
        )
    if key.ends_at <= now():
        sentence = (
            Named(
                "invitation-over",
                _("This invitation has expired. Ask an administrator to resend it."),
            )
            if key.kind is KeyKind.INVITATION
            else Named("key-over", _("This key has expired. Ask for a new e-mail."))
        )
        raise UnprocessableError(sentence, field="token")
    return key


def end_keys(session: Session, staff: Staff) -> None:
    """Expire all of a person's unused keys."""
    at = now()
    session.execute(
        update(StaffKey)
        .where(StaffKey.staff_id == staff.id, StaffKey.used_at.is_(None), StaffKey.ends_at > at)
        .values(ends_at=at)
    )


def too_many_keys(session: Session, staff: Staff) -> bool:
    """Whether a person has reached the hourly limit of such e-mails."""
    count = session.scalar(
        select(func.count()).where(
            StaffKey.staff_id == staff.id, StaffKey.created_at > now() - timedelta(hours=1)
        )
    )
    return (count or 0) >= _MOST_AN_HOUR


def was_sent_just_now(session: Session, staff: Staff) -> bool:
    """Whether a key was sent in the last half minute, so that this is a second click."""
    newest = session.scalar(
        select(func.max(StaffKey.created_at)).where(StaffKey.staff_id == staff.id)
    )
    return newest is not None and now() - newest < _ONE_CLICK


def _new_key(session: Session, staff: Staff, kind: KeyKind) -> tuple[str, str]:
    """Create a key and its page's URL.

    An invitation expires earlier ones. A password reset doesn't: anybody can request one, and could
    otherwise expire each key before its owner opens the e-mail.
    """
    at, token = now(), new_secret()
    if kind is KeyKind.INVITATION:
        end_keys(session, staff)
    session.add(
        StaffKey(
            staff_id=staff.id,
            kind=kind,
            token_hash=digest(token),
            created_at=at,
            ends_at=at + LIVES[kind],
        )
    )
    session.flush()
    return token, f"{current_settings().public_url}/staff/new-password"


def _by_hand(page: str, token: str) -> list[str]:
    return [
        _("If the button doesn’t work, open %(page)s and enter this key:", page=page),
        token,
    ]
