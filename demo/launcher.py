"""`make run`: start every part, keep it running, print where it is, and end all of it together."""

import contextlib
import fcntl
import http.client
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil
from celery import Celery

from demo.fill import is_filled
from demo.processes import DemoError, end, kill, leftovers, spawn, wait_until
from demo.servers import NAME, Postgres, Valkey
from demo.settings import (
    CAMPAIGN,
    CHECKOUT,
    STAFF_EMAIL,
    DemoSettings,
    check_ports,
    read_settings,
)

MARK = "FUNDRAISER_DEMO"  # in the environment of each child: whose it is
LONGEST_WAIT = 30.0
LONG_LIFE = 60.0


class Part(Protocol):
    """What the launcher keeps running."""

    name: str
    child: subprocess.Popen[bytes] | None

    @property
    def log(self) -> Path: ...

    def start(self) -> None: ...


@dataclass
class Program:
    """A part that is a command; ``answers`` tells whether it is ready."""

    name: str
    command: list[str]
    env: dict[str, str]
    log: Path
    answers: Callable[[], bool]
    child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        self.child = spawn(self.command, log=self.log, cwd=CHECKOUT, env=self.env)

    def wait(self) -> None:
        if self.child:
            wait_until(self.answers, self.child, name=self.name, log=self.log, patience=60)


def main() -> int:
    """Run until a signal ends it; the exit status says whether everything started."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        settings = read_settings()
        with only_one(settings), everything(settings) as parts:
            keep_running(parts)
    except KeyboardInterrupt:
        say("Stopped. The next start continues with the same data.")
    except DemoError as error:
        say(str(error))
        return 1
    return 0


def say(line: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be closed
        print(line, flush=True)


@contextlib.contextmanager
def only_one(settings: DemoSettings) -> Iterator[None]:
    """Hold the state folder for this start alone; the kernel lets go of it however we end."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DemoError(
                f"The demonstration is already running with the data in {settings.home}."
            ) from error
        yield


@contextlib.contextmanager
def everything(settings: DemoSettings) -> Iterator[list[Part]]:
    """Start every part, in order, and end all of them in the end."""
    end_leftovers(settings)
    check_ports(settings)
    keep_old_logs(settings)
    postgres = Postgres(
        settings.home / "postgres",
        settings.port_of("PostgreSQL"),
        settings.secrets["database_password"],
        logs=settings.logs,
    )
    valkey = Valkey(settings.home / "valkey", settings.port_of("Valkey"), logs=settings.logs)
    environment = settings.environment(postgres.url, valkey.url) | {MARK: str(settings.home)}
    beside = programs_beside(settings, environment)
    service = programs_of_procfile(settings, environment)
    release = service.pop("release")
    parts: list[Part] = [postgres, valkey, *beside, *service.values()]
    started = time.monotonic()
    try:
        say("Starting PostgreSQL and Valkey.")
        postgres.start()
        valkey.start()
        filled = is_filled(postgres.url)
        if not filled:
            begin_anew(settings, postgres)
        start([release, *beside])
        wait_for_end(release)
        if not filled:
            wait(beside)
            say(f"Making a newsroom with {settings.members:,} members. This is done once.")
            fill(environment)
        say("Starting the service.")
        start(service.values())
        wait([*beside, *service.values()])
        say(f"Ready after {time.monotonic() - started:.0f} seconds. Ctrl-C stops everything.")
        print_addresses(settings)
        yield parts
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        say("Stopping.")
        # The service first: what it has begun still needs the others, and those the servers.
        end([part.child for part in (release, *service.values()) if part.child])
        end([part.child for part in beside if part.child])
        valkey.stop()
        postgres.stop()
        end_leftovers(settings)


def programs_beside(settings: DemoSettings, environment: dict[str, str]) -> list[Program]:
    """List what stands around the service: Stripe, the reader's mailbox, the newspaper."""

    def program(name: str, module: str, **options: str | int | Path) -> Program:
        flags = [
            text
            for option, value in options.items()
            for text in (f"--{option.replace('_', '-')}", str(value))
        ]
        return Program(
            name=name,
            command=[sys.executable, "-m", module, "--port", str(settings.port_of(name)), *flags],
            env=environment,
            log=settings.logs / f"{name}.log",
            answers=lambda: web_page_answers(settings.port_of(name), "/"),
        )

    return [
        program(
            "simulator",
            "simulator",
            store=settings.store,
            webhook_url=f"{settings.app_url}/webhooks/stripe",
            webhook_secret=settings.secrets["webhook_secret"],
            clock_file=settings.clock_file,
        ),
        program(
            "mailbox",
            "demo.mailbox",
            smtp_port=settings.port_of("mail (SMTP)"),
            store=settings.home / "mailbox.sqlite",
        ),
        program("newspaper", "demo.newspaper", app_url=settings.app_url),
    ]


def programs_of_procfile(settings: DemoSettings, environment: dict[str, str]) -> dict[str, Program]:
    """Read the Procfile: each line is a name and a shell command, as a platform would run it."""

    def celery_answers(node: str) -> Callable[[], bool]:
        bus = Celery(broker=environment["REDIS_URL"])
        return lambda: any(
            name.startswith(f"{node}@")
            for reply in bus.control.ping(timeout=0.3) or []
            for name in reply
        )

    answers = {
        "release": lambda: True,
        "web": lambda: web_page_answers(settings.port, "/readyz"),
        "worker": celery_answers("celery"),
        "beat": celery_answers("celerybeat"),
    }
    lines = re.findall(r"^(\w+):\s*(.+)$", (CHECKOUT / "Procfile").read_text(), re.MULTILINE)
    return {
        name: Program(
            name=name,
            command=["/bin/sh", "-c", f"exec {command}"],
            env=environment,
            log=settings.logs / f"{name}.log",
            answers=answers[name],
        )
        for name, command in lines
    }


def web_page_answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        return connection.getresponse().status < http.HTTPStatus.BAD_REQUEST
    return False


def start(programs: Iterable[Program]) -> None:
    for program in programs:
        program.start()


def wait(programs: Iterable[Program]) -> None:
    for program in programs:
        program.wait()


def wait_for_end(program: Program) -> None:
    failed = program.child.wait() if program.child else 0
    program.child = None
    if failed:
        raise DemoError(f"{program.name} failed. Its log says why: {program.log}")


def begin_anew(settings: DemoSettings, postgres: Postgres) -> None:
    """Remove what a first start left that did not come to its end."""
    postgres.recreate_database(NAME)
    for path in settings.home.glob(f"{settings.store.name}*"):
        path.unlink()
    settings.clock_file.unlink(missing_ok=True)


def fill(environment: dict[str, str]) -> None:
    child = spawn([sys.executable, "-m", "demo.fill"], log=None, cwd=CHECKOUT, env=environment)
    try:
        if child.wait():
            raise DemoError("Making the data failed: the lines above say why.")
    finally:
        end([child])


def print_addresses(settings: DemoSettings) -> None:
    newspaper = settings.url_of("newspaper")
    password = settings.secrets["staff_password"]
    for label, text in {
        "newspaper article": f"{newspaper}/articles/harbour-tide-gauges",
        "newspaper": f"{newspaper}/",
        "join page": f"{settings.app_url}/join?campaign={CAMPAIGN}",
        "staff sign-in": f"{settings.app_url}/staff  (e-mail {STAFF_EMAIL}, password {password})",
        "mailbox": f"{settings.url_of('mailbox')}/",
        "simulator": f"{settings.url_of('simulator')}/",
        "logs": str(settings.logs),
    }.items():
        say(f"{label + ':':<19}{text}")


def keep_running(parts: list[Part]) -> None:
    """Start again whatever ends, after a wait that grows while it keeps ending."""
    waits: dict[str, float] = {}
    begun = {part.name: time.monotonic() for part in parts}
    due: dict[str, float] = {}
    had_terminal = sys.stdout.isatty()
    while True:
        time.sleep(0.2)
        # The kernel may tell only make, which doesn't pass it on, that the terminal was closed.
        if had_terminal and not sys.stdout.isatty():
            raise KeyboardInterrupt
        now = time.monotonic()
        for part in parts:
            if part.name in due:
                if now >= due[part.name]:
                    del due[part.name]
                    begun[part.name] = now
                    restart(part)
            elif part.child and part.child.poll() is not None:
                end([part.child])  # what it started may still hold its port
                part.child = None
                long = now - begun[part.name] > LONG_LIFE
                wait = 0.5 if long else min(2 * waits.get(part.name, 0.25), LONGEST_WAIT)
                waits[part.name] = wait
                due[part.name] = now + wait
                say(f"{part.name} ended; it starts again in {wait:g} s. Its log: {part.log}")


def restart(part: Part) -> None:
    try:
        part.start()
    except DemoError as error:
        say(str(error))


def end_leftovers(settings: DemoSettings) -> None:
    """End what carries this state folder's mark: an earlier start may have been killed."""

    def marked(process: psutil.Process) -> bool:
        return bool(process.environ().get(MARK) == str(settings.home))

    kill(leftovers(marked))


def keep_old_logs(settings: DemoSettings) -> None:
    """Begin the logs anew and keep those of the last start beside them."""
    old = settings.home / "logs-before"
    if settings.logs.exists():
        shutil.rmtree(old, ignore_errors=True)
        settings.logs.rename(old)
    settings.logs.mkdir()
