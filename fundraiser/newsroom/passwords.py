"""Passwords: kept as argon2 hashes, and checked in the same time whoever asks.

A hash takes 64 MiB of memory and all of a core, so that only a few are made at once. The others
wait for a moment and are turned away after it. Strangers have places of their own: however many
come, somebody who is known (see ``devices``) gets one.
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
    """So many at once, and so many who wait."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._places = BoundedSemaphore(at_once)
        self._queue = BoundedSemaphore(at_once + waiting)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Wait for a place, if few enough others do.

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
    """The hash to keep, with its parameters and salt in it.

    Raises:
        UnavailableError: too many passwords are hashed or checked at this moment.
    """
    with KNOWN.one():
        return _hasher.hash(password)


def is_right(password_hash: str | None, password: str, places: ConcurrencyLimiter = KNOWN) -> bool:
    """Whether the password is the one that was hashed.

    None, the hash of nobody's password, takes as long to answer and is never right.

    Raises:
        UnavailableError: too many passwords are hashed or checked at this moment.
    """
    with places.one():
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
    return _hasher.hash(secrets.token_urlsafe(32))


def _busy() -> UnavailableError:
    return UnavailableError(
        _("Many people are signing in at this moment. Wait a few seconds and try again.")
    )
