"""Limit how often public pages call Stripe, since a checkout's owner may open them all day.

Webhooks deliver the same information within seconds. Each process has its own limit.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from flask import current_app
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from fundraiser.config import current_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.payments.models import Checkout

_ONE_CHECKOUT, _ALL = parse("4 per 10 seconds"), parse("100 per 10 seconds")


class _Budget:
    """A process's remaining calls, for one checkout and in total."""

    def __init__(self, threads: int) -> None:
        # A third of the places in which Stripe may be waited for: the others are for who joins.
        self.places = BoundedSemaphore(max(min(threads // 4, 32), 1))
        self.counted = FixedWindowRateLimiter(MemoryStorage())


@contextmanager
def asking(checkout: Checkout, what: str) -> Iterator[bool]:
    """Whether we may call Stripe about this checkout now; a context manager."""
    key = (what, checkout.session_id or "")
    budget: _Budget = current_app.extensions.setdefault(
        "asking", _Budget(current_settings().web_threads)
    )
    may = budget.counted.hit(_ONE_CHECKOUT, *key) and budget.places.acquire(blocking=False)
    try:
        yield may and budget.counted.hit(_ALL, "all")
    finally:
        if may:
            budget.places.release()
