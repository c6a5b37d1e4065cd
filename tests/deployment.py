"""The service as operators run it: installed on its own, with an environment of its own."""

from __future__ import annotations

import io
import shutil
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import requests

from demo.processes import end, spawn, wait_until
from fundraiser.config import load_settings
from fundraiser.db import Database
from tests.factories import make_campaign, make_tiers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from demo.servers import Postgres

ROOT = Path(__file__).parent.parent
CERTIFICATE = ROOT / "tests" / "localhost.pem"  # with its key; for localhost
# Stands for a release until there is one: of 1 December 2026, with its newest migration.
_BEFORE_THE_FIRST_RELEASE, _ITS_MIGRATION = "a69551f", "0063"


def lay_out(folder: Path) -> None:
    """Copy what git keeps, as a platform gets it: nothing else of a developer's machine."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # a file that was removed a moment ago is listed still
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def version_before() -> str:
    """The newest release that this commit follows, or the commit that stands for one until then."""
    tags = _git("tag", "--list", "v*", "--sort=-v:refname", "--merged", "HEAD~1") or ""
    return next(iter(tags.split()), _BEFORE_THE_FIRST_RELEASE)


def has_version_before() -> bool:
    """Whether this clone has that version: one without history doesn't."""
    return _git("cat-file", "-e", f"{version_before()}^{{commit}}") is not None


def migration_before() -> str:
    """The number of that version's newest migration."""
    names = _git("ls-tree", "--name-only", version_before(), "migrations/versions/")
    numbers = (Path(name).name[:4] for name in (names or "").split() if name.endswith(".py"))
    return max(numbers, default=_ITS_MIGRATION)


def lay_out_version_before(folder: Path) -> None:
    """Write that version's files into a folder."""
    folder.mkdir()
    command = ["git", "archive", version_before()]
    packed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        files.extractall(folder, filter="data")


def _git(*arguments: str) -> str | None:
    """What git says; None where it fails."""
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return None if done.returncode else done.stdout


@contextmanager
def database_with_a_campaign(
    postgres: Postgres, template: str, environment: Mapping[str, str]
) -> Iterator[str]:
    """The address of a migrated database that has the tiers and a running campaign."""
    name = f"deployed_{uuid4().hex}"
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        url = postgres.url_of(name)
        database = Database(load_settings({**environment, "DATABASE_URL": url}))
        with database.transaction() as session:
            make_tiers(session)
            make_campaign(session)
        database.dispose()
        yield url
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def running(
    *commands: list[str],
    log: Path,
    ready: str | None = None,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Run commands side by side, until ``ready`` (an address) answers with 200; ends them all."""
    children = []
    try:
        children += [spawn(command, log=log, cwd=cwd, env=env) for command in commands]
        if ready:
            wait_until(
                lambda: answers(ready), children[0], name=commands[0][0], log=log, patience=60
            )
        yield
    finally:
        end(children)


def answers(url: str) -> bool:
    """Whether a page is there."""
    with suppress(requests.ConnectionError, requests.Timeout):
        return requests.get(url, timeout=5, verify=str(CERTIFICATE)).ok
    return False


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


@contextmanager
def over_tls(port: int) -> Iterator[int]:
    """A port where what listens on ``port`` is reached over TLS, with a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, context, port), daemon=True).start()
        yield int(listener.getsockname()[1])


def _accept(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError):  # until the listener is closed
        while True:
            client = listener.accept()[0]
            threading.Thread(target=_serve, args=(client, context, port), daemon=True).start()


def _serve(client: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with (
        suppress(OSError),
        context.wrap_socket(client, server_side=True) as safe,
        socket.create_connection(("127.0.0.1", port)) as server,
    ):
        back = threading.Thread(target=_pass_on, args=(server, safe), daemon=True)
        back.start()
        _pass_on(safe, server)
        back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
        target.shutdown(socket.SHUT_RDWR)
