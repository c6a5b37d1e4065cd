"""Run due jobs in the beat process while no worker receives tasks, so that Redis may be down.

Redis carries tasks from beat to the workers. If Redis is full, frozen or down, or no worker runs,
the workers' heartbeat in the database stops. A thread of beat notices and runs the jobs: more
slowly, but within a minute. Jobs claim their rows in PostgreSQL, so workers that come back repeat
nothing.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from celery.signals import beat_init

from fundraiser.db import now
from fundraiser.errors import FundraiserError
from fundraiser.jobs import Heartbeat, Job
from workers.app import app, flask_app
from workers.timetable import SWEEPS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

log = structlog.get_logger()

SILENT = timedelta(seconds=45)  # a little more than two heartbeats
_PAUSE = 5.0  # seconds


class Sweep:
    """Runs due jobs in this process after the workers have been silent for ``silent``."""

    def __init__(
        self, run: Callable[[Job], object], silent: timedelta = SILENT, pause: float = _PAUSE
    ) -> None:
        self._run = run
        self._silent = silent
        self._pause = pause
        self._since = now()
        self._next: dict[Job, float] = {}
        self._is_needed = False

    def watch(self) -> None:
        """Check every few seconds until the process ends."""
        while True:
            time.sleep(self._pause)
            try:
                self.look()
            except Exception:
                log.exception("sweep_failed")

    def look(self) -> bool:
        """Run due jobs if the workers are silent; returns whether they were."""
        needed = now() - max(self._since, self._last_beat() or self._since) > self._silent
        if needed != self._is_needed:
            log.warning("sweep_begins" if needed else "sweep_ends")
            self._is_needed = needed
        if not needed:
            return False
        for job, every in SWEEPS.items():
            if job is Job.BEAT or time.monotonic() < self._next.get(job, 0):
                continue
            self._next[job] = time.monotonic() + every
            try:
                self._run(job)
            except FundraiserError as error:  # usually Stripe is down too
                log.warning("sweep_waits", job=job, error=type(error).__name__)
            except Exception:
                log.exception("sweep_failed", job=job)
        return True

    def _last_beat(self) -> datetime | None:
        with flask_app.database.transaction() as session:
            beat = session.get(Heartbeat, "worker")
            return beat.beat_at if beat else None


@beat_init.connect
def _watch(**_: object) -> None:
    sweep = Sweep(lambda job: app.tasks[job.value]())
    threading.Thread(target=sweep.watch, name="sweep", daemon=True).start()
