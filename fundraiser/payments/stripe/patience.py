"""How long Stripe is waited for in all, and whether somebody is waiting for the answer."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Patience:
    """``until`` (monotonic seconds) no call may go on; ``urgent``: it goes before the workers'."""

    until: float = math.inf
    urgent: bool = False

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()


_current: ContextVar[Patience] = ContextVar("patience")
_ENDLESS = Patience()


@contextmanager
def patience(seconds: float, *, urgent: bool) -> Iterator[None]:
    """All calls in this block together may take so long, with the wait for our turn."""
    token = _current.set(Patience(time.monotonic() + seconds, urgent))
    try:
        yield
    finally:
        _current.reset(token)


def current_patience() -> Patience:
    """What holds for the call that is about to be made."""
    return _current.get(_ENDLESS)
