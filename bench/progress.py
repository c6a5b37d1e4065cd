"""How quick the hottest address is: /campaigns/<slug>/progress, on one worker.

In one run, by one generator (wrk), in turns: nginx serving the same bytes as a file; our worker,
for readers who have no number yet and for those who have it; nginx and our worker while people
join; and the same view in plain Flask. A machine that does other things slows all of them: read the
ratios. What joins cost the machine (PostgreSQL, the program that writes them) both have to bear.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import requests
from sqlalchemy import text

from bench.servers import (
    ON_SECOND_CORE,
    environment,
    find_tools,
    migrate,
    nginx,
    procfile_web,
)
from demo.servers import free_port, throwaway
from fundraiser.config import load_settings
from fundraiser.db import Database, now
from fundraiser.members.ledger import append
from fundraiser.members.models import Cause
from tests.factories import make_campaign, make_member, make_tiers

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS = "/campaigns/25000/progress"
MEMBERS = 16_234
ROUNDS, SECONDS, CONNECTIONS = 3, 2, 32
JOINS_A_SECOND = 50
MEANWHILE = ", while people join"
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}  # milliseconds


@dataclass(frozen=True, slots=True)
class Speed:
    """Requests a second, and the time in milliseconds that 99 of 100 answers do not exceed."""

    rate: float
    slowest: float


def main() -> None:
    find_tools()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(throwaway())
        env = environment(*servers, free_port())
        migrate(env)
        database = Database(load_settings(env))
        stack.callback(database.engine.dispose)
        fill(database)
        ours = stack.enter_context(procfile_web(env, folder, ADDRESS))
        answer = requests.get(ours, timeout=5)
        file = stack.enter_context(nginx(folder, ADDRESS, answer))
        flask_env = environment(*servers, free_port())
        flask = stack.enter_context(
            procfile_web(flask_env, folder, ADDRESS, "bench.plain_flask:application", is_wsgi=True)
        )
        assert requests.get(file, timeout=5).content == answer.content
        assert requests.get(flask, timeout=5).json() == answer.json()
        etag = {"If-None-Match": answer.headers["ETag"]}

        rounds: dict[str, list[Speed]] = {}
        joins: list[float] = []
        for _ in range(ROUNDS):
            rounds.setdefault("nginx", []).append(load(file))
            rounds.setdefault("ours", []).append(load(ours))
            rounds.setdefault("ours, who has the number (304)", []).append(load(ours, etag))
            for name, url in ((f"nginx{MEANWHILE}", file), (f"ours{MEANWHILE}", ours)):
                with joining(database) as times:
                    rounds.setdefault(name, []).append(load(url))
                joins.append(len(times) / (times[-1] - times[0]))
            rounds.setdefault("plain Flask", []).append(load(flask))
        expected = requests.get(flask, timeout=5).json()["members"]
        time.sleep(1)  # the longest that a number is kept
        assert requests.get(ours, timeout=5).json()["members"] == expected > MEMBERS
    report(rounds, len(answer.content), median(joins))


def fill(database: Database) -> None:
    """A running campaign and its number."""
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
        session.execute(text("UPDATE ledger_head SET balance = :members"), {"members": MEMBERS})


def load(url: str, headers: dict[str, str] | None = None) -> Speed:
    """Ask as fast as the answers come, on connections that stay open."""
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{SECONDS}s",
        "--timeout",
        "9s",
        "--latency",
        url,
    ]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    said = subprocess.run(
        [*ON_SECOND_CORE, *command], check=True, capture_output=True, text=True
    ).stdout
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    rate = re.search(r"Requests/sec: +([\d.]+)", said)
    slowest = re.search(r"99% +([\d.]+)(us|ms|s)", said)
    assert rate, said
    assert slowest, said
    return Speed(float(rate[1]), float(slowest[1]) * _UNITS[slowest[2]])


@contextmanager
def joining(database: Database) -> Iterator[list[float]]:
    """People join meanwhile, each by a row of the ledger; the list has the second of each."""
    over = threading.Event()
    times = [time.monotonic()]

    def join() -> None:
        while not over.wait(max(times[0] + len(times) / JOINS_A_SECOND - time.monotonic(), 0)):
            with database.transaction() as session:
                append(
                    session,
                    make_member(session),
                    cause=Cause.STRIPE,
                    cause_ref=None,
                    reason="paid",
                    happened_at=now(),
                )
            times.append(time.monotonic())

    thread = threading.Thread(target=join)
    thread.start()
    try:
        yield times
    finally:
        over.set()
        thread.join()


def report(rounds: dict[str, list[Speed]], size: int, joins: float) -> None:
    """Medians, since one round in a busy moment says little."""
    speeds = {
        name: Speed(median(speed.rate for speed in found), median(s.slowest for s in found))
        for name, found in rounds.items()
    }
    print(
        f"{ADDRESS}, {size} bytes, which nginx has as a file; one worker on one core, "
        f"{CONNECTIONS} connections, "
        f"median of {ROUNDS} rounds of {SECONDS} s; {joins:.0f} of {JOINS_A_SECOND} wanted joins "
        "a second"
    )
    print(f"{'':<34}{'requests/s':>12}{'99 % within':>14}{'of nginx':>10}")
    for name, speed in speeds.items():
        yardstick = f"nginx{MEANWHILE}" if name.endswith(MEANWHILE) else "nginx"
        ratio = speed.rate / speeds[yardstick].rate
        print(f"{name:<34}{speed.rate:>12,.0f}{speed.slowest:>11.1f} ms{ratio:>10.2f}")


if __name__ == "__main__":
    main()
