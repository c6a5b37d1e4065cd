"""What the benchmarks measure: the service as the Procfile starts it, and its yardsticks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from demo.processes import DemoError, end, spawn, wait_until
from demo.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from demo.servers import Postgres, Valkey

ROOT = Path(__file__).parent.parent
HOST = "127.0.0.1"
TOOLS = ("nginx", "wrk")
OURS = "fundraiser.asgi:application"

# Each server has the first core to itself and the generator the second: one worker is one core.
_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
ON_FIRST_CORE, ON_SECOND_CORE = (
    (["taskset", "-c", str(core)] for core in _CORES[:2]) if len(_CORES) > 1 else ([], [])
)

_NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 512; }}
http {{
  access_log off; default_type application/json; sendfile on; tcp_nopush on;
  keepalive_requests 100000000; open_file_cache max=10;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen {host}:{port}; root {folder}/files; {headers} }}
}}
"""


def find_tools() -> None:
    """Refuse to begin without the yardstick and the load generator.

    Raises:
        DemoError: one of them is missing; it says how to get it.
    """
    if missing := [tool for tool in TOOLS if shutil.which(tool, path=_path()) is None]:
        raise DemoError(
            f"{' and '.join(missing)} can't be found. On Debian and Ubuntu: apt-get install "
            f"{' '.join(missing)}"
        )


def environment(postgres: Postgres, valkey: Valkey, port: int) -> dict[str, str]:
    """The environment of a service with one worker."""
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DATABASE_URL": postgres.url,
        "REDIS_URL": valkey.url,
        "STRIPE_API_KEY": "sk_test_simulator",
        "STRIPE_API_BASE": "http://127.0.0.1:9",
        "STRIPE_WEBHOOK_SECRET": "whsec_bench",
        "SMTP_URL": "smtp://127.0.0.1:9",
        "SECRET_KEY": "only-for-the-benchmarks-0123456789-abcdef",
        "PUBLIC_URL": f"http://{HOST}:{port}",
        "HOST": HOST,
        "PORT": str(port),
        "WEB_CONCURRENCY": "1",
        "LOG_LEVEL": "WARNING",
    }


def migrate(env: dict[str, str]) -> None:
    """Make the tables."""
    alembic = Path(sys.executable).with_name("alembic")
    subprocess.run([alembic, "upgrade", "head"], cwd=ROOT, env=env, check=True)


@contextmanager
def procfile_web(
    env: dict[str, str],
    folder: Path,
    address: str,
    application: str = OURS,
    *,
    is_wsgi: bool = False,
    cores: Sequence[str] = tuple(ON_FIRST_CORE),
) -> Iterator[str]:
    """The Procfile's web process, with another application where one is named."""
    found = re.search(r"^web: (.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
    assert found
    command = f"{found[1]} {application}"
    if is_wsgi:
        command = f"granian --interface wsgi --host {HOST} --port $PORT --http 1 {application}"
    log = folder / f"{application}.log"
    url = f"http://{HOST}:{env['PORT']}{address}"
    with _running([*cores, "/bin/sh", "-c", f"exec {command}"], url, log=log, env=env):
        yield url


@contextmanager
def nginx(folder: Path, address: str, answer: requests.Response) -> Iterator[str]:
    """One worker of nginx that serves these bytes as a file, with the same headers."""
    file = folder / "files" / address.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_bytes(answer.content)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)  # its worker is another user, where it is started by root
    port = free_port()
    own = {"content-type", "content-length", "etag", "date", "server", "connection"}
    headers = " ".join(
        f'add_header {name} "{value}";'
        for name, value in answer.headers.items()
        if name.lower() not in own
    )
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, host=HOST, port=port, headers=headers))
    url = f"http://{HOST}:{port}{address}"
    command = ["nginx", "-p", str(folder), "-c", str(config)]
    env = os.environ | {"PATH": _path()}
    with _running([*ON_FIRST_CORE, *command], url, log=folder / "nginx.log", env=env):
        yield url


@contextmanager
def _running(command: list[str], url: str, *, log: Path, env: dict[str, str]) -> Iterator[None]:
    child = spawn(command, log=log, cwd=ROOT, env=env)
    try:
        wait_until(lambda: _answers(url), child, name=command[-1], log=log, patience=30)
        yield
    finally:
        end([child])


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.ConnectionError:
        return False


def _path() -> str:
    return f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
