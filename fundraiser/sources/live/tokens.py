"""Renewable API tokens, encrypted with a key derived from SECRET_KEY."""

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
    """An access token and its refresh token."""

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)


def seal(settings: Settings, tokens: Tokens) -> bytes:
    """Encrypt the tokens, so that a copy of the database alone doesn't reveal them."""
    return _cipher(settings).encrypt(json.dumps(asdict(tokens)).encode())


def unseal(settings: Settings, sealed: bytes) -> Tokens | None:
    """Decrypt the tokens; None if they were encrypted with another SECRET_KEY."""
    try:
        return Tokens(**json.loads(_cipher(settings).decrypt(sealed)))
    except (InvalidToken, ValueError, TypeError):
        return None


def name_of(access: PatreonAccess) -> str:
    """A hash of the configured tokens, so that newly configured ones replace stored ones."""
    told = json.dumps([access.access_token, access.refresh_token, access.client_id])
    return hashlib.sha256(told.encode()).hexdigest()


def _cipher(settings: Settings) -> MultiFernet:
    """Encrypts with the newest key, and decrypts with any."""
    made = [
        hmac.new(key.encode(), b"tokens of live sources", "sha256").digest()
        for key in settings.secret_keys
    ]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in made])
