"""The workers of the fault run of sources: killed now and then, and begun anew."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from demo.processes import end, spawn

if TYPE_CHECKING:
    import subprocess
    from random import Random

ROOT = Path(__file__).parent.parent
WORKERS, KILL_EVERY = 2, 2.5
SETTLES = 10.0  # seconds for new workers to begin
# Small steps, short waits: a kill hits something, and the run doesn't wait for hours.
WORKER = """
import time
from datetime import timedelta
from sqlalchemy.exc import SQLAlchemyError
from fundraiser.app import create_app
from fundraiser.members.counting import recount_due
from fundraiser.sources import applying, batches, undoing
from fundraiser.sources.live import asking, calls, files
applying.AT_ONCE = undoing.AT_ONCE = 3
calls.PATIENCE = 1.0
asking.LEASE = timedelta(seconds=4)
asking.back_off = files.back_off = lambda failures: timedelta(seconds=0.3)
asking._RENEWAL_AGAIN = timedelta(seconds=1)
app = create_app()
with app.app_context():
    settings = app.extensions["settings"]
    while True:
        try:
            moved = asking.ask_any(app.database, settings)
            moved |= batches.step_any(app.database, settings.grace)
            with app.database.transaction() as session:
                recount_due(session, settings.grace)
        except SQLAlchemyError:
            moved = False
        if not moved:
            time.sleep(0.05)
"""


class Workers:
    """Processes that do the work; one is killed every few seconds, and begun anew."""

    def __init__(self, environment: dict[str, str], home: Path) -> None:
        self.environment, self.log, self.killed = environment, home / "workers.log", 0
        self.born: dict[int, float] = {}
        self.alive = [self._begin() for _ in range(WORKERS)]
        self.next = time.monotonic() + KILL_EVERY

    def _begin(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", WORKER]
        child = spawn(command, log=self.log, cwd=ROOT, env=self.environment)
        self.born[child.pid] = time.monotonic()
        return child

    def look(self, random: Random, *, kills: bool = True) -> None:
        if kills and time.monotonic() > self.next:
            self.next = time.monotonic() + KILL_EVERY
            grown = [one for one in self.alive if time.monotonic() - self.born[one.pid] > SETTLES]
            if grown:
                random.choice(grown).send_signal(signal.SIGKILL)
                self.killed += 1
        for place, child in enumerate(self.alive):
            if child.poll() is not None:
                self.alive[place] = self._begin()

    def restart(self, changed: dict[str, str]) -> None:
        self.environment = self.environment | changed
        end(self.alive, patience=1)
        self.alive = [self._begin() for _ in range(WORKERS)]
        time.sleep(SETTLES)

    def stop(self) -> None:
        end(self.alive, patience=1)

    def say(self) -> str:
        return self.log.read_text()[-3000:] if self.log.exists() else ""
