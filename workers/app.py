"""The Celery app; docs/decisions/celery-over-redis.md explains each setting."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import structlog
from billiard import active_children
from celery import Celery, Task
from celery.signals import beat_init, setup_logging, task_prerun, worker_shutting_down
from kombu import Exchange, Queue

from fundraiser.app import create_app
from fundraiser.config import load_settings
from fundraiser.db import is_migrated, worker_pool
from fundraiser.jobs import Job
from fundraiser.logs import configure_logging, name_task
from fundraiser.newsroom.maintenance import Stopped, is_stopped
from fundraiser.newsroom.secret_key import warn_of_another_key
from fundraiser.payments import refuse_other_mode
from workers.timetable import TIMETABLE

log = structlog.get_logger()
settings = load_settings()
flask_app = create_app(settings, worker_pool(settings))
refuse_other_mode(flask_app.database.engine, livemode=settings.livemode)
warn_of_another_key(settings, flask_app.database)
flask_app.database.dispose()  # forked processes must not share connections

# Seconds from SIGTERM to the end at the latest: tasks get 50, and systemd waits for 60.
LONGEST_END = 55.0
_VISIBLE_AGAIN = 120  # seconds until another worker gets a killed one's task


class HeldTask(Task):  # type: ignore[type-arg]  # as celery-types has it
    """A task that does nothing while the tables are too old, or a restored backup catches up.

    In the second case heartbeats and the watch go on, which change nothing.
    """

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Run the task, unless it must wait."""
        with flask_app.database.transaction() as session:
            if not is_migrated(session):
                log.warning("task_waits", task=self.name, advice="Run fundraiser migrate.")
                return None
            is_quiet = self.name in {Job.BEAT, Job.WATCH}
            if not is_quiet and is_stopped(session, Stopped.RESTORE):
                return None
        return super().__call__(*args, **kwargs)


app = Celery(
    "fundraiser",
    broker=settings.redis_url,
    include=["workers.tasks", "workers.sweep"],
    task_cls=HeldTask,
)
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    result_backend=None,
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_time_limit=60,
    task_soft_time_limit=50,
    worker_prefetch_multiplier=1,
    worker_soft_shutdown_timeout=30,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "visibility_timeout": _VISIBLE_AGAIN,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
    },
    result_backend_transport_options={"visibility_timeout": _VISIBLE_AGAIN},
    visibility_timeout=_VISIBLE_AGAIN,
    # One exchange each: with a shared one, every queue would get every message.
    task_queues=[
        Queue(name, Exchange(name), routing_key=name) for name in sorted({job.queue for job in Job})
    ],
    beat_schedule=TIMETABLE,
    timezone="UTC",
)


@setup_logging.connect
def _log_as_the_app_does(**_: object) -> None:
    configure_logging(settings)


@task_prerun.connect
def _name_it_in_the_log(task_id: str, task: Task[..., None], **_: object) -> None:
    name_task(task.name, task_id)


@worker_shutting_down.connect
def _end_in_time(**_: object) -> None:
    """Bound the end of a worker: one whose servers are frozen would wait for them for ever."""
    timer = threading.Timer(LONGEST_END, _end_by_force)
    timer.daemon = True
    timer.start()


def _end_by_force() -> None:
    log.error("worker_end_forced", advice="PostgreSQL or Redis doesn't answer.")
    for child in active_children():
        if child.pid:
            with suppress(OSError):
                os.kill(child.pid, signal.SIGKILL)
    os._exit(1)


def _end(*_: object) -> None:
    raise SystemExit


@beat_init.connect
def _end_where_it_stands(**_: object) -> None:
    """Make SIGTERM end beat at once; it closes its connection on exit.

    Celery's own handler closes the connection first, while a tick may be reading from it. The tick
    then fails, and the signal is lost.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
