"""Inject faults from a seed: network errors and a busy Stripe."""

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
    """Fault rates from 0 to 1; `deliver` false holds back all webhooks."""

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
    """The current faults, kept across restarts."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.settings = Settings(**json.loads(store.setting("faults", "{}")))
        self._seed()

    def set(self, changes: dict[str, float | bool]) -> None:
        """Change settings; raises ValueError with a sentence."""
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
        """When to deliver each copy of an event, in seconds from now; None if lost."""
        settings = self.settings
        copies = 2 if self.webhooks.random() < settings.duplicate else 1
        return [self._delay() for _ in range(copies)]

    def api(self) -> str | None:
        """This API call's fault: 'api_429', 'api_500', 'api_timeout' or none."""
        draw, settings = self.calls.random(), self.settings
        for name in ("api_429", "api_500", "api_timeout"):
            rate = getattr(settings, name)
            if draw < rate:
                return name
            draw -= rate
        return None

    def latency(self) -> float:
        """This call's delay in seconds."""
        usual = self.settings.latency_seconds
        if not usual:
            return 0.0
        return min(usual * self.latencies.lognormvariate(0, SPREAD), LONGEST_LATENCY)

    def seconds(self) -> int:
        """Stripe's clock for signatures, which uses real time like the receiver's."""
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
