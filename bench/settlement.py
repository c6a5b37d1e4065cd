"""How many customers a second are settled, and how soon a webhook is in the public number.

The Procfile's own processes, PostgreSQL (durable), Valkey and the Stripe simulator share this
machine; the budget of Stripe's calls is off. Every customer has joined at the simulator by card and
no event was delivered: what is measured begins with the reason to look. The yardstick of the same
run: the same calls to Stripe, whose answers are thrown away.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import multiprocessing
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from bench import slow_stripe
from chaos.load import Load
from chaos.service import running_service
from chaos.shop import CAMPAIGN, open_shop
from fundraiser.config import load_settings
from fundraiser.db import Database
from fundraiser.payments.stripe.gateway import Gateway

if TYPE_CHECKING:
    from chaos.service import Service

SETTLED, COMPARED = 1_000, 200  # customers
JOINS_A_SECOND, SECONDS = 50, 10
_PROCESSES = 2  # as many as the worker's own
_POLL = 0.02  # seconds between two looks at the public number
_PATIENCE = 300  # seconds

_MARK = """
    INSERT INTO sync_request (customer_id, due_at, attempts, created_at)
    SELECT unnest(%s::text[]), now(), 0, now()
"""
# Stripe's list of events tells of everybody who joined: it is not looked through meanwhile.
_LOOKED = "INSERT INTO event_watermark (id, looked_at, found) VALUES (1, now(), 0)"
_ARRIVALS = """
    SELECT ledger.version, extract(epoch FROM event.received_at)::float8
    FROM ledger JOIN event ON event.id = cause_ref WHERE cause_ref LIKE 'evt_bench_%' AND change = 1
"""


def main() -> None:
    if "--latency" in sys.argv:
        slow_stripe.main(sys.argv[sys.argv.index("--latency") + 1])
        return
    joins = JOINS_A_SECOND * SECONDS
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(Path(folder), workers=1, without=None, catch_up_seconds=3600) as service,
    ):
        open_shop(service, people=SETTLED + COMPARED + joins, seed=1)
        customers = join_at_stripe(service, SETTLED + COMPARED + joins)
        alone = fetches_alone(service, customers[:COMPARED])
        with service.connect() as database:
            database.execute(_LOOKED)
            database.execute(_MARK, (customers[COMPARED : COMPARED + SETTLED],))
        for program in service.programs.values():
            program.start()
        service.programs["web"].wait()
        settled = settlements(service)
        print(f"the same calls to Stripe alone {alone:>8,.0f} customers a second")
        print(f"settled                        {settled:>8,.0f}   {settled / alone:.2f} of that")
        times = sorted(freshness(service, customers[COMPARED + SETTLED :]))
        median, most = times[len(times) // 2], times[len(times) * 99 // 100]
        print(
            f"from a webhook's arrival to the public number, {JOINS_A_SECOND} joins a second: "
            f"median {median:.2f} s, 99 % within {most:.2f} s, slowest {times[-1]:.2f} s, "
            f"of {len(times):,}"
        )


def join_at_stripe(service: Service, people: int) -> list[str]:
    """So many people pay by card; no event of it is delivered."""
    load = Load(
        service=service, people=people, changes_each=0, seed=1, most_behind=0, behind=lambda: 0
    )
    load.post.lost = 1.0
    load.live(range(people), most_behind=None)
    load.stop()
    return list(load.last_change)


def fetches_alone(service: Service, customers: list[str]) -> float:
    """How many customers' states are fetched a second, by as many processes as settle."""
    with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
        pool.starmap(_fetch, [(service.environment, customers[:1])] * _PROCESSES)
        begun = time.monotonic()
        shares = [customers[place::_PROCESSES] for place in range(_PROCESSES)]
        pool.starmap(_fetch, [(service.environment, share) for share in shares])
        return len(customers) / (time.monotonic() - begun)


def _fetch(environment: dict[str, str], customers: list[str]) -> None:
    settings = load_settings(environment)
    gateway = Gateway(settings, Database(settings))
    for customer in customers:
        gateway.fetch_customer(customer)


def settlements(service: Service) -> float:
    """Customers settled a second, from the first that is settled to the last."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        time.sleep(0.2)
        with service.connect() as database:
            found = database.execute("SELECT count(*) FROM sync_request").fetchone()
            if found == (0,):
                times = database.execute(
                    "SELECT count(*), extract(epoch FROM max(at) - min(at))::float8"
                    " FROM chaos_settlement"
                ).fetchone()
                assert times
                return float(times[0] / times[1])
    raise AssertionError("They were not settled in time.")


def freshness(service: Service, customers: list[str]) -> list[float]:
    """Seconds from each webhook's arrival to the first public answer that counts its member."""
    seen: list[tuple[float, int]] = []
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(service, seen, over))
    watcher.start()
    begun = time.monotonic()
    senders = [
        threading.Thread(target=_deliver, args=(service, customers, begun, place))
        for place in range(4)
    ]
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join()
    settlements(service)
    time.sleep(2)
    over.set()
    watcher.join()
    with service.connect() as database:
        arrivals = database.execute(_ARRIVALS).fetchall()
    assert len(arrivals) > len(customers) // 2, f"Only {len(arrivals)} began to count."
    return [
        next(at for at, version in seen if version >= counted) - arrived
        for counted, arrived in arrivals
    ]


def _watch(service: Service, seen: list[tuple[float, int]], over: threading.Event) -> None:
    url = f"{service.settings.app_url}/campaigns/{CAMPAIGN}/progress"
    with requests.Session() as session:
        while not over.wait(_POLL):
            version = int(session.get(url, timeout=10).json()["version"])
            if not seen or version > seen[-1][1]:
                seen.append((datetime.now(UTC).timestamp(), version))


def _deliver(service: Service, customers: list[str], begun: float, place: int) -> None:
    """Every fourth of the webhooks, each at its moment."""
    secret = service.settings.secrets["webhook_secret"].encode()
    with requests.Session() as session:
        for number in range(place, len(customers), 4):
            time.sleep(max(begun + number / JOINS_A_SECOND - time.monotonic(), 0))
            at = int(time.time())
            body = json.dumps(
                {
                    "id": f"evt_bench_{number}",
                    "object": "event",
                    "type": "invoice.paid",
                    "created": at,
                    "livemode": False,
                    "data": {
                        "object": {
                            "id": f"in_{number}",
                            "object": "invoice",
                            "customer": customers[number],
                        }
                    },
                }
            )
            signed = hmac.new(secret, f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
            session.post(
                f"{service.settings.app_url}/webhooks/stripe",
                data=body,
                headers={"Stripe-Signature": f"t={at},v1={signed}"},
                timeout=30,
            ).raise_for_status()


if __name__ == "__main__":
    main()
