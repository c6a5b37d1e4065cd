"""The timetable of the faults: a worker every few seconds, the rest by how far the load is."""

from __future__ import annotations

import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from simulator.core.due import DAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.load import Load
    from chaos.service import Service

KILL_EVERY = 3.0  # seconds
_LEADER_EACH = 16  # kills: the others are of processes that settle
CLOCK_ADVANCES = 15 * DAY
# Of Stripe's API calls: 2 % fail, and one in twenty of those is not answered at all.
API_FAULTS = {"api_429": 0.0095, "api_500": 0.0095, "api_timeout": 0.001, "timeout_seconds": 25.0}


@dataclass
class Faults:
    """Call ``tick`` often from the main thread; ``happened`` counts the faults by name."""

    service: Service
    load: Load
    seed: int
    frozen_seconds: float
    happened: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = Random(f"faults {self.seed}")  # noqa: S311 - a fault must be repeatable
        self._next_kill = time.monotonic() + KILL_EVERY
        self._kills = 0
        self._thaw_at: float | None = None
        web = self.service.kill_web
        self._planned: list[tuple[float, str, Callable[[], None]]] = [
            (0.08, "Valkey flushed", self.service.flush_valkey),
            (0.16, "PostgreSQL stopped at once", self.service.stop_postgres_at_once),
            (0.24, "web process killed", lambda: web(self.random, leader=False)),
            (0.32, "Valkey frozen", self._freeze),
            (0.50, "clock advanced by 15 days", self._advance),
            (0.60, "Valkey flushed", self.service.flush_valkey),
            (0.70, "PostgreSQL stopped at once", self.service.stop_postgres_at_once),
            (0.80, "web process killed", lambda: web(self.random, leader=True)),
        ]

    def begin(self) -> None:
        """Stripe's own faults, in force until ``end``."""
        self.service.control(
            "faults", seed=self.seed, duplicate=0.3, reorder=1.0, drop=0.05, **API_FAULTS
        )

    def end(self) -> None:
        off = dict.fromkeys(("duplicate", "reorder", "drop", *API_FAULTS), 0.0)
        self.service.control("faults", **off | {"timeout_seconds": 0.0})

    @property
    def are_over(self) -> bool:
        return not self._planned and self._thaw_at is None

    def tick(self) -> None:
        now = time.monotonic()
        if now >= self._next_kill:
            self._next_kill = now + KILL_EVERY
            self._kills += 1
            leader = self._kills % _LEADER_EACH == 0
            if self.service.kill_worker(self.random, leader=leader):
                self.happened["worker killed"] += 1
        if self._thaw_at is not None and now >= self._thaw_at:
            self._thaw_at = None
            self.service.signal_valkey(signal.SIGCONT)
        if self._planned and self.load.share_done >= self._planned[0][0] and self._thaw_at is None:
            _, name, act = self._planned.pop(0)
            self.happened[name] += 1
            act()

    def _freeze(self) -> None:
        self.service.signal_valkey(signal.SIGSTOP)
        self._thaw_at = time.monotonic() + self.frozen_seconds

    def _advance(self) -> None:
        told = self.service.control("clock", advance_seconds=CLOCK_ADVANCES)
        self.load.world.clock.offset = told["offset_seconds"]
