"""Calls that a sync needs at Stripe: collected while it writes, made after the commit.

Each call is safe to repeat: it has an idempotency key, or Stripe refuses the second one. We don't
store pending calls. The next sync finds them again in Stripe's own state, and there is a next sync,
because only a sync without pending calls deletes the requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.errors import NotFoundError
from fundraiser.payments.stripe.errors import StripeRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundraiser.payments.stripe.gateway import Gateway


class Telling:
    """One sync's calls to Stripe, by name, and Stripe's answers.

    ``gateway`` makes the calls. ``refusals`` are Stripe's refusals until they are recorded.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.refusals: dict[str, StripeRefusedError] = {}
        self._calls: dict[str, Callable[[], None]] = {}
        self._told: set[str] = set()

    @property
    def is_over(self) -> bool:
        """Whether no call is left."""
        return not self._calls

    def tell(self, name: str, call: Callable[[], None]) -> bool:
        """Add a call to make after the commit; False if this sync already made it."""
        if name in self._told:
            return False
        self._calls[name] = call
        return True

    def make_calls(self) -> None:
        """Make the calls in order.

        Raises:
            StripeUnavailableError: Stripe doesn't answer; the next sync finds the remaining
                calls.
        """
        for name in list(self._calls):
            call = self._calls.pop(name)
            self._told.add(name)
            try:
                call()
            except StripeRefusedError as error:
                self.refusals[name] = error
            except NotFoundError:
                continue  # ended or deleted: the next fetch shows it
