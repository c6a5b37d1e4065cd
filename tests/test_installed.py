"""Installed as operators install it: on a platform that reads the Procfile, and as a package."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import psycopg
import pytest
import requests

from demo.servers import free_port
from tests.deployment import ROOT, database_with_a_campaign, lay_out, over_tls, running
from tests.simulator_parts import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.servers import Postgres, Valkey

pytestmark = pytest.mark.timeout(600)  # all that the lock file names is installed once more


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a platform's build leaves: the files, and an environment made of requirements.txt."""
    home = tmp_path_factory.mktemp("platform")
    lay_out(home / "app")
    subprocess.run([sys.executable, "-m", "venv", home / "python"], check=True)
    install(home, "--no-compile", "-r", "requirements.txt")
    return home


def install(home: Path, *what: str) -> None:
    command = [str(home / "python" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*command, "install", "--quiet", *what], check=True, cwd=home / "app")


@pytest.fixture(scope="module")
def database_url(
    servers: tuple[Postgres, Valkey], template: str, environment: dict[str, str]
) -> Iterator[str]:
    with database_with_a_campaign(servers[0], template, environment) as url:
        yield url


def processes(home: Path) -> dict[str, list[str]]:
    """The Procfile's lines, as a platform runs them."""
    lines = re.findall(r"^(\w+):\s*(.+)$", (home / "app" / "Procfile").read_text(), re.MULTILINE)
    return {name: ["/bin/sh", "-c", f"exec {command}"] for name, command in lines}


def test_a_platform_runs_the_procfile(
    home: Path,
    database_url: str,
    servers: tuple[Postgres, Valkey],
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """As on Heroku: postgres://, rediss:// with a self-signed certificate, and $PORT."""
    port = free_port()
    with over_tls(servers[1].port) as redis_port:
        env = environment | {
            "PATH": f"{home / 'python' / 'bin'}:/usr/bin:/bin",
            "DATABASE_URL": database_url.replace("postgresql://", "postgres://"),
            "REDIS_URL": f"rediss://:@127.0.0.1:{redis_port}",
            "REDIS_SELF_SIGNED": "yes",
            "PUBLIC_URL": "https://members.example.org",
            "TRUSTED_PROXIES": "1",
            "PORT": str(port),
            "WEB_CONCURRENCY": "1",
            "WORKER_CONCURRENCY": "1",
        }
        parts = processes(home)
        released = subprocess.run(parts.pop("release"), cwd=home / "app", env=env, check=False)
        assert released.returncode == 0
        log, url = tmp_path / "log", f"http://127.0.0.1:{port}"
        with running(
            *(parts[name] for name in ("web", "worker", "beat")),
            log=log,
            ready=f"{url}/readyz",
            cwd=home / "app",
            env=env,
        ):
            page = requests.get(f"{url}/join", headers={"X-Forwarded-For": "192.0.2.7"}, timeout=10)
            assert page.status_code == 200
            assert (
                "__Host-" in requests.get(f"{url}/staff/sign-in", timeout=10).headers["Set-Cookie"]
            )
            # A tick of beat has come to the worker through Redis.
            with psycopg.connect(database_url, autocommit=True) as connection:
                beats = "SELECT 1 FROM heartbeat WHERE name = 'worker'"
                wait_until(lambda: connection.execute(beats).fetchall(), 60)


def copied(home: Path) -> Path:
    """What the Dockerfile copies, and nothing else."""
    folder = home / "image"
    for line in re.findall(
        r"^COPY (?!--)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    ):
        for name in line.split():
            source, target = home / "app" / name, folder / name
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
    return folder


def test_the_package_holds_all_that_it_needs(
    home: Path, servers: tuple[Postgres, Valkey], environment: dict[str, str], tmp_path: Path
) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([*pip, *options, str(copied(home))], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    programs = home / "python" / "bin"
    install(home, "--no-deps", str(wheel))
    servers[0].recreate_database("installed")
    url = servers[0].url_of("installed")
    port = free_port()
    env = environment | {"DATABASE_URL": url, "PORT": str(port), "WEB_CONCURRENCY": "1"}
    migrated = subprocess.run(
        [programs / "fundraiser", "migrate"], cwd=tmp_path, env=env, check=False
    )
    assert migrated.returncode == 0
    with running(
        [str(programs / "python"), "-m", "fundraiser.granian"],
        log=tmp_path / "log",
        ready=f"http://127.0.0.1:{port}/readyz",
        cwd=tmp_path,
        env=env,
    ):
        for path in (
            "/staff/sign-in?lang=uk",
            "/widget.js",
            "/static/site.css",
            "/account/sign-in",
        ):
            assert requests.get(f"http://127.0.0.1:{port}{path}", timeout=10).ok, path
        page = requests.get(f"http://127.0.0.1:{port}/account/sign-in?lang=uk", timeout=10).text
        assert 'lang="uk"' in page


def test_the_platform_is_told_a_python_that_we_support() -> None:
    wanted = (ROOT / ".python-version").read_text().strip()
    floor = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert re.fullmatch(r"3\.\d+", wanted)
    assert tuple(map(int, wanted.split("."))) >= tuple(
        map(int, floor.removeprefix(">=").split("."))
    )
