"""Deadline and urgency of calls to Stripe, for the current block."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Semaphore


class NoTurnError(Exception):
    """So many are waiting for Stripe that this call would get its turn too late."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Calls must end by ``until`` (monotonic seconds); ``urgent`` ones go before workers' calls."""

    until: float = math.inf
    urgent: bool = False
    places: Semaphore | None = None

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.until - time.monotonic()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those who wait for Stripe.

        Raises:
            NoTurnError: all are taken.
        """
        if self.places is None:
            yield
            return
        if not self.places.acquire(blocking=False):
            raise NoTurnError
        try:
            yield
        finally:
            self.places.release()


_current: ContextVar[Patience] = ContextVar("patience")
_ENDLESS = Patience()


@contextmanager
def patience(seconds: float, *, urgent: bool, places: Semaphore | None = None) -> Iterator[None]:
    """Limit the total time of all calls in this block, waiting for rate limits included."""
    around = current_patience()
    token = _current.set(
        Patience(
            min(time.monotonic() + seconds, around.until),
            urgent or around.urgent,
            places or around.places,
        )
    )
    try:
        yield
    finally:
        _current.reset(token)


def current_patience() -> Patience:
    """The deadline and urgency of the next call."""
    return _current.get(_ENDLESS)
