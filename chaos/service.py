"""The service under test: the Procfile's own processes on real servers, and who restarts them."""

from __future__ import annotations

import dataclasses
import os
import secrets
import signal
import sqlite3
import sys
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import redis
import requests

from chaos.postbox import postbox
from demo.launcher import Program, programs_of_procfile, web_page_answers
from demo.processes import DemoError, end, family
from demo.servers import throwaway
from demo.settings import CHECKOUT, DemoSettings, check_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from random import Random

    from chaos.postbox import Postbox
    from demo.servers import Postgres, Valkey

CATCH_UP_SECONDS = 10  # what is hourly in production
_RETRY_SECONDS = 0.25  # before Stripe's first further try to deliver
_PATCHES = CHECKOUT / "chaos" / "patches"


@dataclasses.dataclass
class Service:
    """All the processes; ``restarts`` counts, by name, how often one was started again."""

    settings: DemoSettings
    environment: dict[str, str]
    postgres: Postgres
    valkey: Valkey
    postbox: Postbox
    simulator: Program
    programs: dict[str, Program]
    restarts: dict[str, int] = dataclasses.field(default_factory=dict)

    def watch(self) -> None:
        """Start again at once whatever of the service has ended; call it from the main thread."""
        for name, program in self.programs.items():
            if program.child and program.child.poll() is not None:
                end([program.child])  # what it started may still hold its port
                program.start()
                self.restarts[name] = self.restarts.get(name, 0) + 1
        if self.simulator.child and self.simulator.child.poll() is not None:
            raise DemoError(f"The simulator ended by itself. Its log: {self.simulator.log}")

    def kill_worker(self, random: Random, *, leader: bool) -> bool:
        """``kill -9`` of a process that settles, or of the leader of some; False if none is up.

        One leader is left to lead: a service that is all killed while it starts shows nothing.
        """
        up: dict[int, list[psutil.Process]] = {}
        for name, program in self.programs.items():
            if name.startswith("worker") and program.child and program.child.poll() is None:
                settling = family(program.child.pid)
                if settling:
                    up[program.child.pid] = settling
        if leader and len(up) > 1:
            return _kill_one([psutil.Process(random.choice(list(up)))], random)
        return _kill_one([process for settling in up.values() for process in settling], random)

    def kill_web(self, random: Random, *, leader: bool) -> None:
        """``kill -9`` of the web server, or of one of the processes that answer for it."""
        child = self.programs["web"].child
        if child:
            _kill_one([psutil.Process(child.pid)] if leader else family(child.pid), random)

    def flush_valkey(self) -> None:
        with redis.Redis.from_url(self.valkey.url, socket_timeout=5) as client:
            client.flushall()

    def signal_valkey(self, number: signal.Signals) -> None:
        if self.valkey.child:
            self.valkey.child.send_signal(number)

    def stop_postgres_at_once(self) -> None:
        """Let PostgreSQL drop everything, as at a crash, and start it again."""
        if self.postgres.child:
            self.postgres.child.send_signal(signal.SIGQUIT)
            self.postgres.child.wait(20)
        self.postgres.start()

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.environment["DATABASE_URL"], autocommit=True, connect_timeout=5)

    def stripe(self) -> sqlite3.Connection:
        """The simulator's own tables."""
        return sqlite3.connect(f"file:{self.settings.store}?mode=ro", uri=True, timeout=30)

    def control(self, what: str, **given: Any) -> Any:  # noqa: ANN401 - any JSON
        url = f"{self.settings.url_of('simulator')}/_simulator/{what}"
        answer = requests.post(url, json=given, timeout=300)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def running_service(
    home: Path,
    *,
    workers: int,
    without: str | None,
    processes: int = 2,
    catch_up_seconds: int = CATCH_UP_SECONDS,
    more: Mapping[str, str] | None = None,
) -> Iterator[Service]:
    """Start everything with its data and logs under ``home``, and end all of it.

    Each of the ``workers`` leads so many ``processes``; two is what the Procfile says. ``more``
    goes into the environment.
    """
    settings = make_settings(home)
    settings.logs.mkdir(parents=True)
    with ExitStack() as stack:
        postgres, valkey = stack.enter_context(throwaway(durable=True))
        emails = stack.enter_context(postbox())
        environment = settings.environment(postgres.url, valkey.url) | {
            "SMTP_URL": emails.url,
            # The outbox is looked at, not what is sent: e-mails have a fault run of their own.
            "EMAILS_PER_SECOND": "1",
            "CATCH_UP_SECONDS": str(catch_up_seconds),
            "WORKER_CONCURRENCY": str(processes),
            # As many in all as two processes have: so a dozen fit into PostgreSQL's connections.
            "SETTLE_THREADS": str(max(64 // (workers * processes), 1)),
            "LOG_LEVEL": "WARNING",
            **(more or {}),
        }
        if without:
            # Python looks there for what to run before anything else.
            environment |= {
                "PYTHONPATH": f"{_PATCHES}{os.pathsep}{CHECKOUT}",
                "CHAOS_WITHOUT": without,
            }
        simulator = make_simulator(settings, environment)
        programs = programs_of_procfile(settings, environment)
        release = programs.pop("release")
        _twice(programs, "beat", 2)
        _twice(programs, "worker", workers)
        service = Service(settings, environment, postgres, valkey, emails, simulator, programs)
        try:
            simulator.start()
            release.start()
            if release.child and release.child.wait(120):
                raise DemoError(f"The release failed. Its log says why: {release.log}")
            simulator.wait()
            yield service
        finally:
            everybody = (simulator, release, *programs.values())
            end([program.child for program in everybody if program.child], patience=3)


def _kill_one(processes: list[psutil.Process], random: Random) -> bool:
    if processes:
        with suppress(psutil.NoSuchProcess):
            random.choice(processes).send_signal(signal.SIGKILL)
    return bool(processes)


def start_programs(service: Service) -> None:
    """Start the service itself, once its database holds what it sells."""
    for program in service.programs.values():
        program.start()
    service.programs["web"].wait()


def make_settings(home: Path) -> DemoSettings:
    """As the demonstration's, on free ports below those that systems hand out to anybody."""
    while True:
        settings = DemoSettings(home, 20_000 + secrets.randbelow(12_000), members=0)
        with suppress(DemoError):
            check_ports(settings)
            return settings


def make_simulator(settings: DemoSettings, environment: dict[str, str]) -> Program:
    port = settings.port_of("simulator")
    flags = {
        "--port": port,
        "--store": settings.store,
        "--webhook-url": f"{settings.app_url}/webhooks/stripe",
        "--webhook-secret": settings.secrets["webhook_secret"],
        "--webhook-retry": _RETRY_SECONDS,
        "--clock-file": settings.clock_file,
        # Subscriptions that fail to be paid go on failing: the clock has to end their grace.
        "--dunning-end": "past_due",
    }
    return Program(
        name="simulator",
        command=[
            *(sys.executable, "-m", "simulator"),
            *(str(part) for flag in flags.items() for part in flag),
        ],
        env={name: value for name, value in environment.items() if name != "PYTHONPATH"},
        log=settings.logs / "simulator.log",
        answers=lambda: web_page_answers(port, "/"),
    )


def _twice(programs: dict[str, Program], name: str, number: int) -> None:
    """So many of one program, each with a log of its own."""
    one = programs.pop(name)
    *shell, command = one.command
    for place in range(1, number + 1):
        # Two nodes of one name are one for Celery's remote control.
        node = f" --hostname {name}-{place}@%h" if name == "worker" else ""
        programs[f"{name}-{place}"] = Program(
            name=f"{name}-{place}",
            command=[*shell, command + node],
            env=one.env,
            log=one.log.with_name(f"{name}-{place}.log"),
            answers=one.answers,
        )
