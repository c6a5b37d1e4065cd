"""Names of the background jobs, and hints that wake the workers.

A job reads its work from the database, and a schedule runs it anyway. A hint carries no data and
may be lost: it only starts the job sooner.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from fundraiser.db import Base, now

if TYPE_CHECKING:
    from fundraiser.config import Settings

log = structlog.get_logger()

_TENTH = 0.1  # seconds: the longest that Redis can block the hints' thread
_PAUSE = 0.1  # seconds within which hints are merged
_STALE = 10  # seconds after which the schedule has run the job anyway


class Job(StrEnum):
    """A background job; ``workers.tasks`` has one task for each."""

    SETTLE = "settle"
    DELIVER = "deliver"
    ENQUEUE = "enqueue"
    RECOUNT = "recount"
    CATCH_UP = "catch_up"
    RECONCILE = "reconcile"
    PUBLISH = "publish"
    PROVE = "prove"
    FIGURES = "figures"
    MILESTONES = "milestones"
    MONEY = "money"
    RETAIN = "retain"
    IMPORT = "import"
    LIVE = "live"
    BULK = "bulk"
    INTENTS = "intents"
    WATCH = "watch"
    BEAT = "beat"

    @property
    def queue(self) -> str:
        """The job's Celery queue; jobs that come in bursts have one, so that others don't wait."""
        return self.value if self in {Job.SETTLE, Job.DELIVER} else "clock"


class Heartbeat(Base):
    """When a part of the system last did real work."""

    __tablename__ = "heartbeat"

    name: Mapped[str] = mapped_column(primary_key=True)
    beat_at: Mapped[datetime]


def beat(session: Session, name: str) -> None:
    """Record that this part is alive."""
    statement = insert(Heartbeat).values(name=name, beat_at=now())
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Heartbeat.name], set_={"beat_at": statement.excluded.beat_at}
        )
    )


def is_due(session: Session, name: str, every: timedelta) -> bool:
    """Whether this part last ran that long ago, or never."""
    last = session.get(Heartbeat, name)
    return last is None or last.beat_at <= now() - every


def hint(session: Session, job: Job) -> None:
    """Ask for this job as soon as the session's transaction is committed."""
    session.info.setdefault("hints", set()).add(job.value)


class Hints:
    """Sends hints from a separate thread, merged, so that no request waits for Redis."""

    def __init__(self, settings: Settings) -> None:
        self._celery = Celery("hints", broker=settings.redis_url, set_as_current=False)
        self._celery.conf.update(
            task_ignore_result=True,
            task_serializer="json",
            accept_content=["json"],
            broker_transport_options={
                "socket_timeout": _TENTH,
                "socket_connect_timeout": _TENTH,
                "max_retries": 0,
            },
        )
        self._waiting: set[str] = set()
        self._lock = threading.Condition()
        self._thread: threading.Thread | None = None

    def send(self, jobs: set[str]) -> None:
        """Pass on the hints and return at once."""
        with self._lock:
            self._waiting |= jobs
            # Start the thread at the first hint, because a server may fork before it.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
                self._thread.start()
            self._lock.notify()

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._waiting:
                    self._lock.wait()
                jobs, self._waiting = self._waiting, set()
            for job in jobs:
                self._send_one(Job(job))
            time.sleep(_PAUSE)

    def _send_one(self, job: Job) -> None:
        try:
            self._celery.send_task(
                job.value, queue=job.queue, expires=_STALE, retry=False, ignore_result=True
            )
        except (OperationalError, OSError) as error:
            log.warning("hint_lost", job=job, error=type(error).__name__)
