"""Authenticator codes (TOTP): six digits from an app on the person's phone.

The secret combines a random part in the database with our secret key, so that a copy of the
database alone can't make codes.
"""

from __future__ import annotations

import base64
import io
import secrets
import time
from typing import TYPE_CHECKING

import pyotp
import segno

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.errors import UnprocessableError
from fundraiser.security import hmacs, is_one_of
from fundraiser.texts import Named, gettext as _

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.newsroom.models import Staff

_STEP = 30  # seconds that a code stands
_SECRET_BYTES = 20


def begin(staff: Staff) -> None:
    """Create a secret to show, while authenticator codes are off."""
    if staff.second_factor is None:
        staff.second_factor = secrets.token_urlsafe(24)


def secret_of(staff: Staff) -> str:
    """The secret for the person's authenticator app, in base32."""
    return _secrets_of(staff)[0]


def _secrets_of(staff: Staff) -> list[str]:
    """The secrets with each of our keys: the app may have an older one."""
    made = hmacs(f"second factor {staff.id} {staff.second_factor}")
    return [base64.b32encode(one[:_SECRET_BYTES]).decode() for one in made]


def picture(staff: Staff) -> bytes:
    """The secret as a QR code, an SVG image without inline styles."""
    address = pyotp.TOTP(secret_of(staff)).provisioning_uri(
        name=staff.email, issuer_name=current_settings().newsroom_name
    )
    image = io.BytesIO()
    segno.make(address, error="m").save(image, kind="svg", scale=5, border=4, light="#fff")
    return image.getvalue()


def turn_on(session: Session, staff: Staff, code: str) -> bool:
    """Activate codes once the person enters a correct one; False if already active.

    Raises:
        UnprocessableError: the code is wrong.
    """
    if staff.second_factor_at is not None:
        return False
    check(session, staff, code)
    staff.second_factor_at = now()
    return True


def check(session: Session, staff: Staff, code: str) -> None:
    """Check a code of the current, previous or next half minute.

    Raises:
        UnprocessableError: it is wrong, or was already used.
    """
    session.refresh(staff, with_for_update=True)
    typed = "".join(code.split())
    at = int(time.time())  # the telephone knows nothing of a demonstration's clock
    programs = [pyotp.TOTP(secret) for secret in _secrets_of(staff)]
    for step in (at // _STEP + offset for offset in (-1, 0, 1)):
        is_right = is_one_of(typed, (program.at(step * _STEP) for program in programs))
        if is_right and step > staff.second_factor_step:
            staff.second_factor_step = step
            return
    raise UnprocessableError(
        Named(
            "not-the-current-code",
            _("That isn’t the current code. Enter the one your app shows now."),
        ),
        field="code",
    )
