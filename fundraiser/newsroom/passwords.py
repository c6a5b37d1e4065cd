"""Hash passwords with argon2, and check them in constant time with limited concurrency.

Each hash takes 64 MiB and a whole core, so only a few run at once. Others wait a moment and are
then refused. Strangers have separate places, so that known browsers (see ``devices``) always get
one.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fundraiser.errors import UnavailableError
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator

_hasher = PasswordHasher()
AT_ONCE = min(os.cpu_count() or 1, 4)
_PATIENCE = 3.0  # seconds


class ConcurrencyLimiter:
    """Limits how many run at once and how many wait."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._places = BoundedSemaphore(at_once)
        self._queue = BoundedSemaphore(at_once + waiting)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Context manager: wait for a free place, unless too many wait already.

        Raises:
            UnavailableError: there was none.
        """
        if not self._queue.acquire(blocking=False):
            raise _busy()
        try:
            if not self._places.acquire(timeout=_PATIENCE):
                raise _busy()
            try:
                yield
            finally:
                self._places.release()
        finally:
            self._queue.release()


STRANGERS, KNOWN = ConcurrencyLimiter(AT_ONCE, 6), ConcurrencyLimiter(1, 4)


def hash_password(password: str) -> str:
    """Hash a password; the hash contains its parameters and salt.

    Raises:
        UnavailableError: too many passwords are being hashed or checked.
    """
    with KNOWN.one():
        return _hasher.hash(password)


def is_right(password_hash: str | None, password: str, places: ConcurrencyLimiter = KNOWN) -> bool:
    """Whether the password matches the hash.

    With None, the hash of an unknown person, it takes as long and returns False.

    Raises:
        UnavailableError: too many passwords are being hashed or checked.
    """
    with places.one():
        try:
            _hasher.verify(password_hash or _nobodys_hash(), password)
        except (VerificationError, InvalidHashError):
            return False
    return password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Whether the hash has old parameters."""
    return _hasher.check_needs_rehash(password_hash)


def prepare() -> None:
    """Make the dummy hash now, so that the first sign-in isn't slower."""
    _nobodys_hash()


@cache
def _nobodys_hash() -> str:
    return _hasher.hash(secrets.token_urlsafe(32))


def _busy() -> UnavailableError:
    return UnavailableError(
        _("Many people are signing in right now. Wait a few seconds and try again.")
    )
