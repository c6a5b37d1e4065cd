"""What stands around several hosts: nginx with deploy/nginx.conf, and PgBouncer."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from demo.launcher import web_page_answers
from demo.processes import DemoError, end, spawn, wait_until
from demo.servers import free_port
from demo.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from demo.servers import Postgres

_POOL = 20  # connections of PgBouncer to PostgreSQL
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def nginx(folder: Path, port: int, webs: Sequence[int]) -> Iterator[str]:
    """The public address of our nginx.conf with these web processes behind it, without TLS."""
    site = (CHECKOUT / "deploy" / "nginx.conf").read_text()
    servers = "".join(f"    server 127.0.0.1:{web} max_fails=0;\n" for web in webs)
    for pattern, new in (
        (r"    server 127\.0\.0\.1:8001[^\n]*\n    server 127\.0\.0\.1:8002[^\n]*\n", servers),
        (r"/var/cache/nginx/fundraiser", f"{folder}/cache"),
        (r"/var/log/nginx/fundraiser\.log", f"{folder}/access.log"),
        (r"(?s)server \{\s+listen 80;.*?\n\}\n", ""),
        (r"    listen 443 ssl http2;", f"    listen 127.0.0.1:{port};"),
        (r"    listen \[::\]:443 ssl http2;\n", ""),
        (r"    ssl_[^\n]*\n", ""),
        (r"X-Forwarded-Proto \$scheme", "X-Forwarded-Proto http"),
    ):
        site, count = re.subn(pattern, new, site)
        if not count:
            raise DemoError(f"deploy/nginx.conf has no {pattern}")
    places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in _TEMPORARY)
    user = "user root;\n" if os.geteuid() == 0 else ""  # the folder is private
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off;\n{user}pid {folder}/nginx.pid;\nerror_log stderr warn;\nworker_processes 1;\n"
        f"worker_rlimit_nofile 8192;\nevents {{ worker_connections 4096; }}\n"
        f"http {{\n{places}{site}\n}}\n"
    )
    log = folder / "nginx.log"
    child = spawn(
        [_program("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(config)],
        log=log,
        cwd=folder,
    )
    try:
        wait_until(
            lambda: web_page_answers(port, "/healthz"), child, name="nginx", log=log, patience=30
        )
        yield f"http://127.0.0.1:{port}"
    finally:
        end([child])


@contextmanager
def pgbouncer(folder: Path, postgres: Postgres) -> Iterator[str]:
    """The database's address through a PgBouncer in transaction mode."""
    port = free_port()
    (folder / "users").write_text(f'"fundraiser" "{postgres.password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={postgres.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {folder}/users\npool_mode = transaction\n"
        f"default_pool_size = {_POOL}\nmax_client_conn = 400\nlog_connections = 0\n"
        "log_disconnections = 0\n"
    )
    log = folder / "pgbouncer.log"
    as_nobody = ["-u", "nobody"] if os.geteuid() == 0 else []
    child = spawn(
        [_program("pgbouncer"), *as_nobody, str(folder / "pgbouncer.ini")], log=log, cwd=folder
    )
    url = postgres.url.replace(f":{postgres.port}/", f":{port}/")
    try:
        wait_until(lambda: _answers(url), child, name="PgBouncer", log=log, patience=20)
        yield url
    finally:
        end([child])


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise DemoError(f"{name} can't be found. On Debian and Ubuntu: apt-get install {name}")
    return found
