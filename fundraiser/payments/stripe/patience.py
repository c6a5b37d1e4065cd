"""How long Stripe is waited for in all, by how many, and whether somebody waits for the answer."""

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
    """``until`` (monotonic seconds) no call may go on; ``urgent``: it goes before the workers'.

    ``places`` are how many of this process may wait for Stripe at once.
    """

    until: float = math.inf
    urgent: bool = False
    places: Semaphore | None = None

    @property
    def left(self) -> float:
        """Seconds."""
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
    """All calls in this block together may take so long, with the wait for our turn.

    Within another block neither lasts longer than that, and what was urgent there is so here.
    """
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
    """What holds for the call that is about to be made."""
    return _current.get(_ENDLESS)
