"""Joins and renewals with a Stripe that answers as slowly as the real one, and limits as it does.

The Procfile's own processes, PostgreSQL (durable), Valkey and the simulator share this machine with
the readers: each sends the join form, pays on the hosted page at once, and opens the thanks page.
The simulator delivers all events of a join by itself. Stripe's limits are those of a live account:
100 calls a second in all, 25 of each operation.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from chaos.load import Load
from chaos.service import running_service, start_programs
from chaos.shop import CAMPAIGN, open_shop
from fundraiser.app import create_app
from fundraiser.config import load_settings
from fundraiser.payments.settlement import settle_due
from fundraiser.payments.stripe.gateway import current_gateway

if TYPE_CHECKING:
    from chaos.service import Service

SECONDS, JOINS_A_SECOND = 60, 10
AT_ONCE = 200
RENEWALS, JOINS_BESIDE = 5_000, 2  # a second
FORMS, TOGETHER = 300, 60
_QUIET = 5.0  # seconds without a request to sync
_POLL = 0.05  # seconds between two looks
_PATIENCE = 180.0  # seconds until somebody who joined is counted
_PROCESSES = 2
_PAGES = {
    "number": f"/campaigns/{CAMPAIGN}/progress",
    "article": f"/campaigns/{CAMPAIGN}/embed",
    "account": "/account/sign-in",
}
_CARD = {
    "method": "card",
    "cardNumber": "4242424242424242",
    "cardExpiry": "12/60",
    "cardCvc": "123",
    "billingName": "A Reader",
    "billingCountry": "GB",
}
_MARK = """
    INSERT INTO sync_request (customer_id, due_at, attempts, created_at)
    SELECT unnest(%s::text[]), now(), 0, now()
"""
_COUNTED = """
    SELECT member.email, ledger.version
    FROM ledger JOIN member ON member.id = ledger.member_id WHERE ledger.change = 1
"""


@dataclass
class Readers:
    """People who join, and what each of them sees; times in seconds."""

    service: Service
    statuses: Counter[int] = field(default_factory=Counter)
    to_the_payment: list[float] = field(default_factory=list)
    to_the_thanks: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    paid_at: dict[str, float] = field(default_factory=dict)
    made: int = 0

    def join(self, name: str) -> None:
        """Choose, pay and be thanked."""
        url, email = self.service.settings.app_url, f"{name}@bench.example"
        form = {"campaign": CAMPAIGN, "tier": "member", "interval": "month", "currency": "GBP"}
        began = time.time()
        with requests.Session() as browser:
            answer = browser.post(
                f"{url}/join",
                data=form | {"nonce": f"{name}-0123456789"},
                headers={"Origin": url},
                allow_redirects=False,
                timeout=60,
            )
            self.statuses[answer.status_code] += 1
            if answer.status_code != requests.codes.see_other:
                return
            self.to_the_payment.append(time.time() - began)
            paid = browser.post(
                answer.headers["Location"],
                data=_CARD | {"email": email},
                allow_redirects=False,
                timeout=60,
            )
            paid.raise_for_status()
            self.paid_at[email] = came = time.time()
            thanks = browser.get(paid.headers["Location"], timeout=60)
            self.to_the_thanks.append(time.time() - came)
            said = thanks.text.partition('data-test="outcome-')[2].partition('"')[0]
            self.outcomes[said or str(thanks.status_code)] += 1

    def come(self, joins: int, a_second: float, over: threading.Event | None = None) -> None:
        """So many people join, evenly."""
        began, run = time.monotonic(), time.time_ns()
        with ThreadPoolExecutor(joins) as hands:
            found = []
            for number in range(joins):
                time.sleep(max(began + number / a_second - time.monotonic(), 0))
                if over and over.is_set():
                    break
                found.append(hands.submit(self.join, f"r{run}-{number}"))
            for one in found:
                one.result()


class Watch:
    """Sees when each version of the number is public, and how long pages take meanwhile."""

    def __init__(self, service: Service) -> None:
        self._service, self._over = service, threading.Event()
        self.seen: list[tuple[float, int]] = []
        self.took: dict[str, list[float]] = {name: [] for name in _PAGES}
        self._threads = [
            threading.Thread(target=self._look, args=(name,), daemon=True) for name in _PAGES
        ]
        for thread in self._threads:
            thread.start()

    def _look(self, name: str) -> None:
        with requests.Session() as session:
            while not self._over.wait(_POLL if name == "number" else 10 * _POLL):
                began = time.time()
                answer = session.get(f"{self._service.settings.app_url}{_PAGES[name]}", timeout=60)
                answer.raise_for_status()
                self.took[name].append(time.time() - began)
                if name == "number":
                    version = int(answer.json()["version"])
                    if not self.seen or version > self.seen[-1][1]:
                        self.seen.append((time.time(), version))

    def public_after(self, paid_at: dict[str, float]) -> list[float]:
        """Seconds from each payment to the first public answer that counts it."""
        until = time.monotonic() + _PATIENCE
        while True:
            with self._service.connect() as database:
                counted = dict(database.execute(_COUNTED).fetchall())
            shown = self.seen[-1][1] if self.seen else 0
            if all(counted.get(email, shown + 1) <= shown for email in paid_at):
                break
            assert time.monotonic() < until, "They were not counted in time."
            time.sleep(0.5)
        return sorted(
            next(at for at, version in self.seen if version >= counted[email]) - paid
            for email, paid in paid_at.items()
        )

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)


def main(latency: str) -> None:
    renewals = _given("--renewals", RENEWALS)
    limits = {
        "STRIPE_CALLS_PER_SECOND": "25",
        "STRIPE_CALLS_IN_ALL": "100",
        "JOIN_LIMIT": "100000 per minute",
        "CHECKOUTS_PER_MINUTE": "100000",
        "EMAILS_PER_SECOND": "10",  # as many as unless told
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(
            Path(folder), workers=1, without=None, catch_up_seconds=3600, more=limits
        ) as service,
    ):
        open_shop(service, people=renewals, seed=1)
        customers = join_at_stripe(service, renewals)
        with service.connect() as database:
            database.execute(
                "INSERT INTO event_watermark (id, looked_at, found) VALUES (1, now(), 0)"
            )
        make_members(service, customers)
        start_programs(service)
        until_quiet(service)
        service.control("faults", latency_seconds=float(latency.removesuffix("ms")) / 1000)
        service.control("choices", rate_limits="live")
        Readers(service).come(4, 2)  # everything is loaded, and every connection open
        steadily(service, _given("--seconds", SECONDS))
        all_at_once(service)
        forms(service)
        renew(service, customers)


def make_members(service: Service, customers: list[str]) -> None:
    """Settle them while Stripe is quick: who renews is a member already, and was welcomed."""
    with service.connect() as database:
        database.execute(_MARK, (customers,))
    with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
        quickly = service.environment | {"STRIPE_CALLS_PER_SECOND": "0"}
        pool.map(_settle_all, [quickly] * _PROCESSES, chunksize=1)
    with service.connect() as database:
        database.execute("DELETE FROM email")


def _settle_all(environment: dict[str, str]) -> None:
    settings = load_settings(environment)
    app = create_app(settings)
    with app.app_context():
        settle_due(app.database, current_gateway(), settings.grace, threads=4, seconds=3600)


def until_quiet(service: Service) -> None:
    """Wait until the events of all that have been settled."""
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < _QUIET:
        time.sleep(0.5)
        with service.connect() as database:
            (waiting,) = database.execute(
                "SELECT count(*) FROM sync_request WHERE due_at < now() + interval '1 minute'"
            ).fetchone() or (0,)
        if waiting:
            quiet_since = time.monotonic()


def join_at_stripe(service: Service, people: int) -> list[str]:
    """So many people pay by card; no event of it is delivered."""
    load = Load(
        service=service, people=people, changes_each=0, seed=1, most_behind=0, behind=lambda: 0
    )
    load.post.lost = 1.0
    load.live(range(people), most_behind=None)
    load.stop()
    return list(load.last_change)


def steadily(service: Service, seconds: int) -> None:
    """Ten joins a second."""
    before = calls(service)
    readers, watch = Readers(service), Watch(service)
    readers.come(seconds * JOINS_A_SECOND, JOINS_A_SECOND)
    times = watch.public_after(readers.paid_at)
    watch.end()
    made = calls(service) - before
    joins = len(readers.paid_at)
    print(f"\n{JOINS_A_SECOND} joins a second for {seconds} s, load {os.getloadavg()[0]:.1f}:")
    show("to the payment page", readers.to_the_payment)
    show("to the thanks", readers.to_the_thanks)
    show("from the payment to the public number", times)
    looks = made["GET /v1/subscriptions"] / joins
    print(f"  {looks:.2f} looks at Stripe a join, {sum(made.values()) / joins:.1f} calls; ", end="")
    print(f"answers {dict(readers.statuses)}, thanks {dict(readers.outcomes)}, 429s {made['429']}")
    show_pages(watch)


def all_at_once(service: Service) -> None:
    """Two hundred in one second."""
    before = calls(service)
    readers, watch = Readers(service), Watch(service)
    readers.come(AT_ONCE, AT_ONCE)
    times = watch.public_after(readers.paid_at)
    watch.end()
    made = calls(service) - before
    print(f"\n{AT_ONCE} joins in one second, load {os.getloadavg()[0]:.1f}:")
    show("to the payment page", readers.to_the_payment)
    show("from the payment to the public number", times)
    looks = made["GET /v1/subscriptions"] / max(len(readers.paid_at), 1)
    print(f"  {looks:.2f} looks at Stripe a join; answers {dict(readers.statuses)}, ", end="")
    print(f"thanks {dict(readers.outcomes)}, 429s {made['429']}")
    show_pages(watch)


def forms(service: Service) -> None:
    """Three hundred join forms, sixty at a time; nobody pays."""
    url = service.settings.app_url
    statuses: Counter[int] = Counter()
    form = {"campaign": CAMPAIGN, "tier": "member", "interval": "month", "currency": "GBP"}

    def send(number: int) -> float:
        began = time.time()
        answer = requests.post(
            f"{url}/join",
            data=form | {"nonce": f"form-{time.time_ns()}-{number}"},
            headers={"Origin": url},
            allow_redirects=False,
            timeout=60,
        )
        statuses[answer.status_code] += 1
        return time.time() - began

    watch = Watch(service)
    with ThreadPoolExecutor(TOGETHER) as hands:
        times = list(hands.map(send, range(FORMS)))
    watch.end()
    print(f"\n{FORMS} join forms, {TOGETHER} at a time, load {os.getloadavg()[0]:.1f}:")
    show("to the payment page", times)
    print(f"  answers {dict(statuses)}")
    show_pages(watch)


def renew(service: Service, customers: list[str]) -> None:
    """All of them renew at once, while two people a second join."""
    before = calls(service)
    readers, watch, over = Readers(service), Watch(service), threading.Event()
    with service.connect() as database:
        database.execute(_MARK, (customers,))
    began = time.monotonic()
    joining = threading.Thread(
        target=readers.come, args=(len(customers), JOINS_BESIDE, over), daemon=True
    )
    joining.start()
    left = 1
    while left:
        time.sleep(1)
        with service.connect() as database:
            (left,) = database.execute(
                "SELECT count(*) FROM sync_request WHERE customer_id = ANY(%s)", (customers,)
            ).fetchone() or (1,)
    took = time.monotonic() - began
    over.set()
    joining.join()
    times = watch.public_after(readers.paid_at)
    watch.end()
    made = calls(service) - before
    print(
        f"\n{len(customers):,} renewals at once beside {JOINS_BESIDE} joins a second, "
        f"load {os.getloadavg()[0]:.1f}:\n  {len(customers) / took:.1f} a second, "
        f"429s {made['429']}"
    )
    show("from a payment to the public number", times)
    show_pages(watch)


def calls(service: Service) -> Counter[str]:
    """How many calls of each operation the simulator has had."""
    url = f"{service.settings.url_of('simulator')}/_simulator/calls"
    return Counter(requests.get(url, timeout=30).json())


def show(what: str, times: list[float]) -> None:
    found = sorted(times)
    print(
        f"  {what}: median {found[len(found) // 2]:.2f} s, 99 % within "
        f"{found[len(found) * 99 // 100]:.2f} s, slowest {found[-1]:.2f} s, of {len(found):,}",
        flush=True,
    )


def show_pages(watch: Watch) -> None:
    slowest = ", ".join(
        f"{name} {sorted(took)[len(took) * 99 // 100]:.2f} s (slowest {max(took):.2f})"
        for name, took in watch.took.items()
    )
    print(f"  meanwhile, 99 % within: {slowest}", flush=True)


def _given(option: str, usual: int) -> int:
    return int(sys.argv[sys.argv.index(option) + 1]) if option in sys.argv else usual
