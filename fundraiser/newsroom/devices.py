"""Known browsers of staff (OWASP: "device cookies"), limited separately from strangers.

A signed cookie names the account, as a keyed hash, and the browser. It grants no access, but its
attempts are counted apart from strangers' attempts, who could otherwise lock the owner out.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from flask import request
from itsdangerous import BadData, URLSafeTimedSerializer

from fundraiser.config import current_settings
from fundraiser.security import keyed_digests, new_nonce, signing_keys

if TYPE_CHECKING:
    from flask import Response

_LIVES = timedelta(days=180)


def known_device(email: str) -> str | None:
    """This browser's ID, if the account has signed in with it before; None otherwise."""
    try:
        account, device = _signer().loads(
            request.cookies.get(_name(), ""), max_age=int(_LIVES.total_seconds())
        )
    except (BadData, ValueError, TypeError):
        return None
    return device if account in _accounts(email) else None


def remember_device(response: Response, email: str) -> None:
    """Set the cookie that identifies this browser at the next sign-in."""
    device = known_device(email) or new_nonce()
    response.set_cookie(
        _name(),
        _signer().dumps([_accounts(email)[0], device]),
        max_age=_LIVES,
        secure=_is_https(),
        httponly=True,
        samesite="Lax",
    )


def _accounts(email: str) -> list[str]:
    return keyed_digests("device", email.strip().lower())


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(signing_keys(), salt="known-device")


def _name() -> str:
    return "__Host-device" if _is_https() else "device"


def _is_https() -> bool:
    return current_settings().public_url.startswith("https://")
