"""Stripe's rate limits: for the whole account and each operation."""

import threading
import time
from collections import Counter, defaultdict, deque

from simulator.core.errors import StripeError

IN_ALL = {"live": 100, "sandbox": 25}
OF_EACH = 25
_SECOND = 1.0


class Limiter:
    """The calls of the last second; refused calls don't count."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls: deque[float] = deque()
        self.by_operation: defaultdict[str, deque[float]] = defaultdict(deque)
        self.answered: Counter[str] = Counter()  # of each operation since the start, and 429s

    def let_in(self, limits: str, operation: str) -> None:
        """Count a call of an operation (method and path template); raises Stripe's 429."""
        with self.lock:
            self.answered[operation] += 1
            if limits not in IN_ALL:
                return
            now = time.monotonic()
            of_this = self.by_operation[operation]
            for calls in (self.calls, of_this):
                while calls and calls[0] <= now - _SECOND:
                    calls.popleft()
            reason = None
            if len(self.calls) >= IN_ALL[limits]:
                reason = "global-rate"
            elif len(of_this) >= OF_EACH:
                reason = "endpoint-rate"
            if reason:
                self.answered["429"] += 1
                raise rate_limited(reason)
            self.calls.append(now)
            of_this.append(now)


def rate_limited(reason: str) -> StripeError:
    """Stripe's 429; a header names the limit."""
    return StripeError(
        "Request rate limit exceeded. You can learn more about rate limits here"
        " https://docs.stripe.com/rate-limits.",
        status=429,
        code="rate_limit",
        limit=reason,
    )
