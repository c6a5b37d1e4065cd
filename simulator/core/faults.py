"""Faults on demand, from a seed: what a network and a busy Stripe do to us."""

import json
import time
from dataclasses import asdict, dataclass, fields, replace
from random import Random

from simulator.core.store import Store

# A call in twenty takes more than twice the usual time.
SPREAD = 0.5
LONGEST_LATENCY = 30.0


@dataclass(frozen=True)
class Settings:
    """Rates are between 0 and 1; `deliver` false holds every webhook back until it is true."""

    seed: int = 1
    duplicate: float = 0.0
    reorder: float = 0.0
    delay_seconds: float = 0.0
    drop: float = 0.0
    api_429: float = 0.0
    api_500: float = 0.0
    api_timeout: float = 0.0
    timeout_seconds: float = 25.0
    # How long an answer takes: a log-normal around this.
    latency_seconds: float = 0.0
    # How far Stripe's clock is ahead of ours, in signatures and in Date headers.
    clock_skew: float = 0.0
    deliver: bool = True


class Faults:
    """The faults in force; they outlive a restart."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.settings = Settings(**json.loads(store.setting("faults", "{}")))
        self._seed()

    def set(self, changes: dict[str, float | bool]) -> None:
        """Change some settings; raises ValueError with a sentence about what is wrong."""
        known = {field.name: field.type for field in fields(Settings)}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(
                    f"There is no fault called '{name}'; there are {', '.join(known)}."
                )
            if (known[name] is bool) is not isinstance(value, bool):
                raise ValueError(f"'{name}' cannot be {value!r}.")
            rate = name in {"duplicate", "reorder", "drop"} or name.startswith("api_")
            if (value < 0 and name != "clock_skew") or (rate and value > 1):
                raise ValueError(f"'{name}' is {value}: a rate is between 0 and 1.")
            if name == "latency_seconds" and value > LONGEST_LATENCY:
                raise ValueError(f"'{name}' is {value}: {LONGEST_LATENCY} at most.")
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]  # checked above
        self.store.set_setting("faults", json.dumps(asdict(self.settings)))
        self._seed()

    def deliveries(self) -> list[float | None]:
        """When to make each delivery of one event: seconds from now; None for one that is lost."""
        settings = self.settings
        copies = 2 if self.webhooks.random() < settings.duplicate else 1
        return [self._delay() for _ in range(copies)]

    def api(self) -> str | None:
        """The fault that this API call meets: 'api_429', 'api_500', 'api_timeout' or none."""
        draw, settings = self.calls.random(), self.settings
        for name in ("api_429", "api_500", "api_timeout"):
            rate = getattr(settings, name)
            if draw < rate:
                return name
            draw -= rate
        return None

    def latency(self) -> float:
        """How many seconds this call's answer takes."""
        usual = self.settings.latency_seconds
        if not usual:
            return 0.0
        return min(usual * self.latencies.lognormvariate(0, SPREAD), LONGEST_LATENCY)

    def seconds(self) -> int:
        """What Stripe's clock shows, for signatures: real time, as the receiver's is."""
        return int(time.time() + self.settings.clock_skew)

    def _delay(self) -> float | None:
        settings, random = self.settings, self.webhooks
        lost, late = random.random() < settings.drop, random.random() < settings.reorder
        if lost:
            return None
        return settings.delay_seconds + (random.random() * 3 if late else 0)

    def _seed(self) -> None:
        seed = self.settings.seed
        self.webhooks = Random(f"webhooks {seed}")  # noqa: S311 - a fault must be repeatable
        self.latencies = Random(f"latencies {seed}")  # noqa: S311 - a fault must be repeatable
        self.calls = Random(f"calls {seed}")  # noqa: S311 - a fault must be repeatable
