"""The second factor: a code of six digits from a program on the person's telephone.

The program's secret is made of a random part in the database and the service's own secret key, so
that neither alone, a copy of the database for instance, is enough to make codes.
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
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.newsroom.models import Staff

_STEP = 30  # seconds that a code stands
_SECRET_BYTES = 20


def begin(staff: Staff) -> None:
    """Have a secret to show, while the second factor is off."""
    if staff.second_factor is None:
        staff.second_factor = secrets.token_urlsafe(24)


def secret_of(staff: Staff) -> str:
    """What the person's program is told, in base32."""
    return _secrets_of(staff)[0]


def _secrets_of(staff: Staff) -> list[str]:
    """The same by each of our keys: the program may have been told by an older one."""
    made = hmacs(f"second factor {staff.id} {staff.second_factor}")
    return [base64.b32encode(one[:_SECRET_BYTES]).decode() for one in made]


def picture(staff: Staff) -> bytes:
    """The secret as a QR code, an SVG image without styles of its own."""
    address = pyotp.TOTP(secret_of(staff)).provisioning_uri(
        name=staff.email, issuer_name=current_settings().newsroom_name
    )
    image = io.BytesIO()
    segno.make(address, error="m").save(image, kind="svg", scale=5, border=4, light="#fff")
    return image.getvalue()


def turn_on(session: Session, staff: Staff, code: str) -> bool:
    """Ask for codes from now on, once the person's program makes the right one; False if before.

    Raises:
        UnprocessableError: the code is wrong.
    """
    if staff.second_factor_at is not None:
        return False
    check(session, staff, code)
    staff.second_factor_at = now()
    return True


def check(session: Session, staff: Staff, code: str) -> None:
    """Make sure that the code is the one of now, or of the half minute before or after.

    Raises:
        UnprocessableError: it is not, or it has been used.
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
        _("This code is not the one of this moment. Enter the one that the program shows now."),
        field="code",
    )
