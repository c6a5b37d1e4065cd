"""What every part of the simulator works with: store, clock, faults, settings."""

import threading
from dataclasses import dataclass, field
from typing import Any, Literal

from simulator.core.behaviours import Behaviours
from simulator.core.clock import Clock
from simulator.core.errors import StripeError, missing
from simulator.core.faults import Faults
from simulator.core.limits import Limiter
from simulator.core.shapes import Object
from simulator.core.store import Store


@dataclass
class World:
    """One simulated Stripe account."""

    store: Store
    clock: Clock
    faults: Faults
    base_url: str
    webhook_url: str | None = None
    webhook_secret: str | None = None
    retry_seconds: float = 1.0
    dunning_end: Literal["cancel", "unpaid", "past_due"] = "cancel"
    stopping: threading.Event = field(default_factory=threading.Event)
    deliver_soon: threading.Event = field(default_factory=threading.Event)
    limiter: Limiter = field(default_factory=Limiter)
    behaviours: Behaviours = field(init=False)
    # The API call being answered, as its events name it; guarded by the store's lock.
    request: Object | None = None

    def __post_init__(self) -> None:
        self.behaviours = Behaviours(self.store)

    def now(self) -> int:
        return self.clock.now()

    @property
    def hosted_url(self) -> str:
        """Where the hosted pages are: the account's own domain, if it has set one up."""
        return self.choice("checkout_domain") or self.base_url

    def on(self, name: str) -> bool:
        """Whether this behaviour of Stripe's is in force (see `simulator.core.behaviours`)."""
        return self.behaviours.on(name)

    def choice(self, name: str, default: str | None = None) -> str:
        """What the account has chosen, or what is assumed of Stripe where nobody knows."""
        return self.behaviours.choice(name, default)

    def must(self, kind: str, identity: str, param: str | None = None) -> Object:
        """The object of that kind, or Stripe's refusal: 404 in the address, 400 in a parameter."""
        found = self.store.get(identity)
        if found is not None and found["object"] == kind:
            return found
        error = missing(kind.replace("checkout.session", "checkout session"), identity)
        if param is None:
            raise error
        raise StripeError(error.message, code=error.code, param=param)

    def named(self, whole: Object, field_name: str) -> Object | None:
        """The object that a field names, if it names one that is still there."""
        identity = whole.get(field_name)
        return self.store.get(identity) if identity else None


def changes(before: Object, after: Object) -> dict[str, Any]:
    """The former values of what changed, as `previous_attributes` tells them."""
    return {
        name: before.get(name)
        for name, value in after.items()
        if not name.startswith("_") and before.get(name) != value
    }
