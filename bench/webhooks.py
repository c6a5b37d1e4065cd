"""How many webhooks a second are acknowledged: verified, stored and committed before the 204.

Web processes, PostgreSQL (durable), Valkey and the generator (wrk) share this machine. Every event
is new, about three kilobytes, of a customer of its own. The yardsticks of the same run: a bare
insert of the same two rows by the same driver, and the same endpoint without its inbox.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import multiprocessing
import os
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from bench.servers import environment, find_tools, migrate, procfile_web
from demo.servers import free_port, throwaway

if TYPE_CHECKING:
    from collections.abc import Callable

ADDRESS = "/webhooks/stripe"
SECONDS = 6
STEADY, STEADY_CONNECTIONS = 500, 50  # a second
PROCESSES, CONNECTIONS = 2, 32
_ALIVE = "/healthz"
_LARGEST_RATE = 6_000  # webhooks a second that there are events for
_ROWS = (
    """INSERT INTO event (id, type, customer_id, created_at, received_at)
       VALUES (%s, 'customer.subscription.updated', %s, now(), now()) ON CONFLICT DO NOTHING""",
    """INSERT INTO sync_request (event_id, customer_id, due_at, attempts, created_at)
       VALUES (%s, %s, now(), 0, now())""",
)


@dataclass(frozen=True, slots=True)
class Answered:
    """``rate`` a second; times in milliseconds; ``failed`` were no 2xx, or no answer at all."""

    rate: float
    p50: float
    p99: float
    slowest: float
    acknowledged: int
    failed: int


def main() -> None:
    find_tools()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres, valkey = stack.enter_context(throwaway(durable=True))
        env = environment(postgres, valkey, free_port()) | {"WEB_CONCURRENCY": str(PROCESSES)}
        migrate(env)
        # Two processes are the Procfile's own number; none is bound to a core.
        ours = stack.enter_context(procfile_web(env, folder, _ALIVE, cores=()))
        plain_env = env | {"PORT": str(free_port())}
        plain = stack.enter_context(
            procfile_web(plain_env, folder, _ALIVE, "bench.plain_webhook:application", cores=())
        )
        send = Sender(folder, env["STRIPE_WEBHOOK_SECRET"])
        print(f"{ADDRESS}: {PROCESSES} web processes, {SECONDS} s each")
        print(f"{'':<40}{'a second':>10}{'50 %':>10}{'99 %':>10}{'slowest':>10}{'no 2xx':>8}")
        send.as_fast_as_it_goes(ours)  # the first requests open the connections
        bare = bare_inserts(postgres.url)
        print(f"{'a bare insert of the same rows':<40}{bare:>10,.0f}")
        # It keeps none of them, so that they may come again.
        show("the endpoint without its inbox", send.as_fast_as_it_goes(plain, once=False))
        before = count_events(postgres.url)
        full = send.as_fast_as_it_goes(ours)
        show("the endpoint", full)
        steady = send.steadily(ours)
        show(f"  at {STEADY} a second", steady)
        assert valkey.child
        valkey.child.send_signal(signal.SIGSTOP)
        frozen = send.steadily(ours)
        show("    with Redis frozen", frozen)
        valkey.child.send_signal(signal.SIGCONT)
        valkey.stop()
        stopped = send.steadily(ours)
        show("    with Redis stopped", stopped)
        stored = count_events(postgres.url) - before
    acknowledged = sum(found.acknowledged for found in (full, steady, frozen, stopped))
    assert stored >= acknowledged, f"{acknowledged:,} got 2xx, and {stored:,} are stored"
    print(f"of a bare insert: {full.rate / bare:.2f}; of {acknowledged:,} with 2xx none was lost")


class Sender:
    """Sends signed events, each once."""

    def __init__(self, folder: Path, secret: str) -> None:
        self._targets = folder / "targets"
        self._secret = secret.encode()
        self._made = 0

    def as_fast_as_it_goes(self, url: str, *, once: bool = True) -> Answered:
        events = _LARGEST_RATE * SECONDS
        return self._send(url, connections=CONNECTIONS, events=events, once=once)

    def steadily(self, url: str) -> Answered:
        pause = 1000 * STEADY_CONNECTIONS // STEADY
        return self._send(
            url, connections=STEADY_CONNECTIONS, events=2 * STEADY * SECONDS, pause=pause
        )

    def _send(
        self, url: str, *, connections: int, events: int, pause: int = 0, once: bool = True
    ) -> Answered:
        self._write(events)
        said = subprocess.run(
            [
                *("wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--timeout", "10s"),
                *("--latency", "-s", str(Path(__file__).with_suffix(".lua"))),
                url.replace(_ALIVE, ADDRESS),
            ],
            env=os.environ | {"TARGETS": str(self._targets), "PAUSE": str(pause)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        assert not once or found["requests"] <= events, "The events ran out: some were sent twice."
        return Answered(
            rate=found["requests"] / found["seconds"],
            p50=found["p50"],
            p99=found["p99"],
            slowest=found["slowest"],
            acknowledged=found["requests"] - found["refused"],
            failed=found["refused"] + found["broken"],
        )

    def _write(self, events: int) -> None:
        at = int(time.time())
        with self._targets.open("w") as file:
            for _ in range(events):
                self._made += 1
                body = _event(self._made, at)
                signed = hmac.new(self._secret, f"{at}.{body}".encode(), hashlib.sha256)
                file.write(f"t={at},v1={signed.hexdigest()} {body}\n")


def _event(number: int, at: int) -> str:
    subscription = {
        "id": f"sub_{number}",
        "object": "subscription",
        "customer": f"cus_{number}",
        "status": "active",
        "metadata": {f"key_{place}": "as long as one of Stripe's is: " * 3 for place in range(25)},
    }
    event = {
        "id": f"evt_{number}",
        "object": "event",
        "type": "customer.subscription.updated",
        "created": at,
        "livemode": False,
        "data": {"object": subscription},
    }
    return json.dumps(event)


def count_events(database: str) -> int:
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT count(*) FROM event").fetchone()
    return found[0] if found else 0


def bare_inserts(database: str) -> float:
    """How many transactions of the same rows a second, from as many connections."""
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        counts = pool.starmap(_insert, [(database, place) for place in range(PROCESSES)])
    return sum(counts) / SECONDS


def _insert(database: str, place: int) -> int:
    counts = [0] * (CONNECTIONS // PROCESSES)
    threads = [
        threading.Thread(target=_insert_on(database, f"{place}_{thread}", counts, thread))
        for thread in range(CONNECTIONS // PROCESSES)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def _insert_on(database: str, name: str, counts: list[int], thread: int) -> Callable[[], None]:
    def insert() -> None:
        with psycopg.connect(database) as connection:
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                row = (f"bare_{name}_{counts[thread]}", f"cus_{name}")
                for statement in _ROWS:
                    connection.execute(statement, row)
                connection.commit()
                counts[thread] += 1

    return insert


def show(name: str, found: Answered) -> None:
    """One line of the table."""
    times = "".join(f"{value:>7,.1f} ms" for value in (found.p50, found.p99, found.slowest))
    print(f"{name:<40}{found.rate:>10,.0f}{times}{found.failed:>8,}", flush=True)


if __name__ == "__main__":
    main()
