"""Tokens that a system renews: kept encrypted under a key that is made of SECRET_KEY."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

if TYPE_CHECKING:
    from fundraiser.config import PatreonAccess, Settings


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a call is made with, and what it is renewed by."""

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)


def seal(settings: Settings, tokens: Tokens) -> bytes:
    """The tokens as they are kept: a copy of the database alone doesn't give them away."""
    return _cipher(settings).encrypt(json.dumps(asdict(tokens)).encode())


def unseal(settings: Settings, sealed: bytes) -> Tokens | None:
    """The tokens; None where they were sealed under another SECRET_KEY."""
    try:
        return Tokens(**json.loads(_cipher(settings).decrypt(sealed)))
    except (InvalidToken, ValueError, TypeError):
        return None


def name_of(access: PatreonAccess) -> str:
    """Names the tokens of the settings, so that newer ones take the place of those we keep."""
    told = json.dumps([access.access_token, access.refresh_token, access.client_id])
    return hashlib.sha256(told.encode()).hexdigest()


def _cipher(settings: Settings) -> MultiFernet:
    """Seals with the newest key, and reads what was sealed with any."""
    made = [
        hmac.new(key.encode(), b"tokens of live sources", "sha256").digest()
        for key in settings.secret_keys
    ]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in made])
