"""`python -m chaos.hosts`: two hosts, a rolling deploy between two versions, a host's death.

PostgreSQL behind PgBouncer, one Valkey, nginx with deploy/nginx.conf, and two hosts, each with a
web, a worker and a beat process, all on this machine. The hosts start with the version before,
from git. While readers read and join, the migrations run, the hosts change to this version one
after the other, and one is killed. Exits with 0 if no reader met an error and no event was lost.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psycopg
import requests

from chaos.edge import nginx, pgbouncer
from chaos.postbox import postbox
from chaos.readers import Readers
from chaos.service import make_settings, make_simulator
from chaos.shop import CAMPAIGN
from demo.launcher import web_page_answers
from demo.processes import DemoError, end, family, kill, spawn, wait_until
from demo.servers import free_port, throwaway
from demo.settings import CHECKOUT
from fundraiser.webhooks.inbox import HANDLED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BEFORE = "a69551f"  # the version before the first release
_PARTS = ("web", "worker", "beat")
_FEW = 20  # answers
_NUMBER = f"/campaigns/{CAMPAIGN}/progress"


@dataclass
class Host:
    """A host: a port of its own, and the Procfile's processes from a version's files."""

    name: str
    env: Mapping[str, str]
    logs: Path
    port: int = field(default_factory=free_port)
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, tree: Path) -> None:
        """Start this version, and wait until its web process is ready."""
        lines = re.findall(r"^(\w+):\s*(.+)$", (tree / "Procfile").read_text(), re.MULTILINE)
        env = {**self.env, "PORT": str(self.port), "PYTHONPATH": str(tree)}
        log = self.logs / f"{self.name}.log"
        for part, command in lines:
            if part in _PARTS:
                node = f" --hostname {self.name}@%h" if part == "worker" else ""
                shell = ["/bin/sh", "-c", f"exec {command}{node}"]
                self.children[part] = spawn(shell, log=log, cwd=tree, env=env)
        web = self.children["web"]
        wait_until(
            lambda: web_page_answers(self.port, "/readyz"), web, name="web", log=log, patience=120
        )

    def stop(self) -> None:
        """End everything as an operator does; requests and tasks that run are finished."""
        end(self.children.values(), patience=60)

    def die(self) -> None:
        """Lose power."""
        for child in self.children.values():
            relatives = family(child.pid)
            child.send_signal(signal.SIGKILL)
            kill(relatives)
            child.wait()


def main() -> int:
    options = _options()
    home = Path(tempfile.mkdtemp(prefix="fundraiser-hosts-"))
    home.chmod(0o755)
    try:
        wrong = run(home, options.before, options.seconds)
    except DemoError as error:
        print(error)
        return 2
    for sentence in wrong:
        print(f"   WRONG: {sentence}")
    if wrong:
        print(f"The logs are in {home}")
        return 1
    shutil.rmtree(home, ignore_errors=True)
    print("RIGHT: no reader met an error, and no event was lost")
    return 0


def run(home: Path, before: str, seconds: float) -> list[str]:
    """The whole run; returns what was wrong."""
    old = home / "before"
    _lay_out(before, old)
    with ExitStack() as stack:
        postgres, valkey = stack.enter_context(throwaway(durable=True))
        emails = stack.enter_context(postbox())
        pooled = stack.enter_context(pgbouncer(home, postgres))
        settings = make_settings(home)
        settings.logs.mkdir(parents=True)
        env = settings.environment(pooled, valkey.url) | {
            "SMTP_URL": emails.url,
            "TRUSTED_PROXIES": "1",
            "WEB_CONCURRENCY": "1",
            "WORKER_CONCURRENCY": "1",
            "JOIN_LIMIT": "100000 per minute",
            "NETWORK_LIMIT": "100000 per minute",
            "CATCH_UP_SECONDS": "10",
            "METRICS_TOKEN": "of-this-run-alone-0123456789abcdef",
        }
        directly = {**env, "DATABASE_URL": postgres.url}
        simulator = make_simulator(settings, env)
        simulator.start()
        stack.callback(lambda: end([simulator.child] if simulator.child else []))
        simulator.wait()
        _migrate(old, directly)
        hosts = [Host(name, env, settings.logs) for name in ("one", "two")]
        for host in hosts:
            stack.callback(host.stop)
            host.start(old)
        _open_shop_as_before(old, directly)
        url = stack.enter_context(nginx(home, settings.port, [host.port for host in hosts]))
        readers = Readers(url)
        readers.start(reading=2, joining=2)
        for phase in _happenings(readers, hosts, directly, seconds):
            print(f"{phase}: {readers.answers[phase]:,} answers", flush=True)
        readers.stop()
        wrong = [*readers.errors, *_untried(readers)]
        wrong += _wrong_in_the_end(postgres.url, settings.url_of("simulator"), len(readers.joined))
        print(f"{len(readers.joined)} joined, {emails.taken} e-mails")
        _measure(url, hosts, env)
    return wrong


def _happenings(
    readers: Readers, hosts: list[Host], directly: dict[str, str], seconds: float
) -> Iterator[str]:
    """One thing after another; gives each one's name when it is over."""

    def phase(name: str) -> str:
        readers.phase = name
        return name

    name = phase("two hosts, version before")
    time.sleep(seconds)
    yield name
    name = phase("migrations")
    _migrate(CHECKOUT, directly)
    time.sleep(seconds / 2)
    yield name
    for host in hosts:
        name = phase(f"host {host.name} changes version")
        host.stop()
        host.start(CHECKOUT)
        time.sleep(seconds / 2)
        yield name
    name = phase("host two dies")
    hosts[1].die()
    time.sleep(seconds)
    yield name
    name = phase("host two is back")
    hosts[1].start(CHECKOUT)
    time.sleep(seconds / 2)
    yield name


def _untried(readers: Readers) -> list[str]:
    """What would prove nothing: a phase without readers, or no joins."""
    counts = {name: count for name, count in readers.answers.items() if name}
    silent = [f"hardly anybody read: {name}" for name, count in counts.items() if count < _FEW]
    return silent if readers.joined else [*silent, "nobody joined"]


def _wrong_in_the_end(database_url: str, stripe_url: str, joined: int) -> list[str]:
    """What isn't as it should be a minute after the last join."""
    wrong = ["nothing was compared"]
    until = time.monotonic() + 60
    while wrong and time.monotonic() < until:
        time.sleep(1)
        with closing(psycopg.connect(database_url)) as connection:
            wrong = _differences(connection, stripe_url, joined)
    return wrong


def _differences(connection: psycopg.Connection[Any], stripe_url: str, joined: int) -> list[str]:
    def one(query: str) -> int:
        return cast("int", connection.execute(query.encode()).fetchall()[0][0])

    stored = {row[0] for row in connection.execute("SELECT id FROM event").fetchall()}
    told = {one["id"] for one in _events(stripe_url) if one["type"] in HANDLED}
    paying = one("SELECT count(*) FROM member WHERE counting")
    wrong = []
    if lost := told - stored:
        wrong.append(f"{len(lost)} of {len(told)} events are lost")
    if paying != joined:
        wrong.append(f"{paying} people are counted, {joined} have paid")
    balance = one("SELECT balance FROM ledger ORDER BY version DESC LIMIT 1") if paying else 0
    if balance != paying:
        wrong.append(f"the number is {balance}, {paying} people count")
    if waiting := one("SELECT count(*) FROM sync_request"):
        wrong.append(f"{waiting} syncs wait")
    welcomed = one("SELECT count(*) FROM email WHERE kind = 'welcome' AND state = 'sent'")
    if welcomed != paying:
        wrong.append(f"{welcomed} of {paying} were welcomed")
    return wrong


def _events(stripe_url: str) -> Iterator[dict[str, Any]]:
    after: dict[str, str] = {}
    while True:
        answer = requests.get(
            f"{stripe_url}/v1/events",
            params={"limit": "100", **after},
            auth=("sk_test_simulator", ""),
            timeout=30,
        )
        page = answer.json()
        yield from page["data"]
        if not page["has_more"]:
            return
        after = {"starting_after": page["data"][-1]["id"]}


def _measure(url: str, hosts: list[Host], env: Mapping[str, str]) -> None:
    """The origin's load behind nginx's cache, and a host's pages; prints both."""
    seconds = 10
    before = _numbers_asked(hosts[0], env)
    _wrk(f"{url}{_NUMBER}", seconds, "behind nginx's cache")
    time.sleep(6)  # what a process counted is written every five seconds
    asked = _numbers_asked(hosts[0], env) - before
    print(f"   of these, {asked / seconds:.1f} a second reached the two hosts")
    _wrk(f"http://127.0.0.1:{hosts[0].port}{_NUMBER}", 5, "one host, the number")
    _wrk(f"http://127.0.0.1:{hosts[0].port}/join", 5, "one host, the join page")
    print(f"   load of this machine: {os.getloadavg()[0]:.1f}")


def _numbers_asked(host: Host, env: Mapping[str, str]) -> int:
    """How often all hosts together were asked for the number."""
    answer = requests.get(
        f"http://127.0.0.1:{host.port}/metrics",
        headers={"Authorization": f"Bearer {env['METRICS_TOKEN']}"},
        timeout=30,
    )
    found = re.findall(
        r'^fundraiser_request_seconds_count\{[^}]*route="/campaigns/<slug>/progress"[^}]*\} (\S+)$',
        answer.text,
        re.MULTILINE,
    )
    return int(sum(map(float, found)))


def _wrk(url: str, seconds: int, what: str) -> None:
    program = shutil.which("wrk")
    if program is None:
        print(f"{what}: not measured, wrk is not installed")
        return
    done = subprocess.run(  # noqa: S603 - ours
        [program, "-t1", "-c32", f"-d{seconds}", "--latency", url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rate = re.search(r"Requests/sec:\s+(\S+)", done)
    slow = re.search(r"99%\s+(\S+)", done)
    bad = re.search(r"Non-2xx[^\n]*", done)
    print(
        f"{what}: {rate[1] if rate else '?'} a second, 99 % within {slow[1] if slow else '?'}"
        f"{'; ' + bad[0] if bad else ''}"
    )


def _lay_out(version: str, folder: Path) -> None:
    folder.mkdir()
    command = ["git", "archive", version]
    done = subprocess.run(command, cwd=CHECKOUT, check=False, capture_output=True)  # noqa: S603 - ours
    if done.returncode:
        raise DemoError(f"git has no version {version}: fetch the whole history.")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
        files.extractall(folder, filter="data")


def _migrate(tree: Path, env: Mapping[str, str]) -> None:
    env = {**env, "PYTHONPATH": str(tree)}
    command = [sys.executable, "-m", "fundraiser", "migrate"]
    subprocess.run(command, cwd=tree, env=env, check=True)  # noqa: S603 - ours


def _open_shop_as_before(tree: Path, env: Mapping[str, str]) -> None:
    """Tiers, prices and a campaign, written by the version before."""
    script = (
        "import os; from types import SimpleNamespace; from chaos.shop import open_shop; "
        "open_shop(SimpleNamespace(environment=dict(os.environ)), people=1, seed=1)"
    )
    env = {**env, "PYTHONPATH": str(tree)}
    command = [sys.executable, "-c", script]
    subprocess.run(command, cwd=tree, env=env, check=True)  # noqa: S603 - ours


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos.hosts", description=__doc__)
    parser.add_argument("--before", default=_BEFORE, help="a tag or commit")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each phase lasts")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
