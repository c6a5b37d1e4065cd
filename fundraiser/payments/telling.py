"""What a settlement tells Stripe: found while it writes, said once that is committed.

Each call can be repeated: it carries an idempotency key, or Stripe refuses the second one. Nothing
is kept of what is still to be said, since the next settlement finds it again in Stripe's own state;
and there is a next one, because the requests are deleted only by a settlement that has nothing left
to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.errors import NotFoundError
from fundraiser.payments.stripe.errors import StripeRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundraiser.payments.stripe.gateway import Gateway


class Telling:
    """The calls of one settlement, by name, and Stripe's answers to them.

    ``gateway`` is what they go by. ``refusals`` are of what Stripe refused, until they are noted.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.refusals: dict[str, StripeRefusedError] = {}
        self._calls: dict[str, Callable[[], None]] = {}
        self._told: set[str] = set()

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to say."""
        return not self._calls

    def tell(self, name: str, call: Callable[[], None]) -> bool:
        """Make this call after the commit; False if it was made before in this settlement."""
        if name in self._told:
            return False
        self._calls[name] = call
        return True

    def make_calls(self) -> None:
        """Make the calls, in their order.

        Raises:
            StripeUnavailableError: Stripe does not answer; the rest is found again by the next
                settlement.
        """
        for name in list(self._calls):
            call = self._calls.pop(name)
            self._told.add(name)
            try:
                call()
            except StripeRefusedError as error:
                self.refusals[name] = error
            except NotFoundError:
                continue  # ended, or deleted: the next look at Stripe sees it
