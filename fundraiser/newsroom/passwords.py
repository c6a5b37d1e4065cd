"""Passwords: kept as argon2 hashes, and checked in the same time whoever asks."""

from __future__ import annotations

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher()


def hash_password(password: str) -> str:
    """The hash to keep, with its parameters and salt in it."""
    return _hasher.hash(password)


def is_right(password_hash: str | None, password: str) -> bool:
    """Whether the password is the one that was hashed.

    None, the hash of nobody's password, takes as long to answer and is never right.
    """
    try:
        _hasher.verify(password_hash or _nobodys_hash(), password)
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


def prepare() -> None:
    """Make nobody's hash now: at the first sign-in it would double the time of the answer."""
    _nobodys_hash()


@cache
def _nobodys_hash() -> str:
    return hash_password(secrets.token_urlsafe(32))
