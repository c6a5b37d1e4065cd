"""The senders of webhooks: signed, tried again until they are taken, in no promised order."""

import hashlib
import hmac
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError

from simulator import API_VERSION
from simulator.core.events import EVENT_COLUMNS, event_body, thin_body
from simulator.core.shapes import Object
from simulator.core.store import encode
from simulator.core.world import World

SENDERS = 4
BATCH = 8
TAKEN = 200, 299
GIVE_UP_AFTER = 3 * 86400
LONGEST_WAIT = 60.0
# A sender that dies with its process leaves its deliveries to the next one after this long.
LEASE = 60.0
TIMEOUT = 15.0
LOOK_EVERY = 0.2


def signature(payload: bytes, secret: str, at: int) -> str:
    """The `Stripe-Signature` header; its time is real, because the receiver's tolerance is."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + payload, hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"


class Senders:
    """Threads that empty the table of deliveries."""

    def __init__(self, world: World, check: Callable[[Object], None] | None = None) -> None:
        self.world = world
        self.check = check
        self.threads = [
            threading.Thread(target=self._run, name=f"sender-{number}", daemon=True)
            for number in range(SENDERS)
        ]

    def start(self) -> None:
        with self.world.store.transaction():
            self.world.store.execute(
                "UPDATE deliveries SET due = first_due WHERE state = 'waiting' AND attempts = 0"
            )
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.world.deliver_soon.set()
        for thread in self.threads:
            thread.join()

    def _run(self) -> None:
        pool = PoolManager(timeout=Timeout(TIMEOUT), retries=False)
        while not self.world.stopping.is_set():
            # A store that others hold for long: what was claimed is claimed anew after its lease.
            with suppress(sqlite3.OperationalError):
                self._send_some(pool)

    def _send_some(self, pool: PoolManager) -> None:
        claimed = self._claim() if self.world.faults.settings.deliver else []
        for delivery in claimed:
            if self.world.stopping.is_set():
                return
            self._settle(delivery, self._send(pool, delivery))
        if not claimed:
            self.world.deliver_soon.wait(LOOK_EVERY)
            self.world.deliver_soon.clear()

    def _claim(self) -> list[Any]:
        now = time.time()
        store = self.world.store
        with store.transaction():
            rows = store.execute(
                "SELECT * FROM deliveries"
                " WHERE state = 'waiting' AND due <= ? ORDER BY due, seq LIMIT ?",
                (now, BATCH),
            )
            for found in rows:
                store.execute(
                    "UPDATE deliveries SET due = ? WHERE seq = ?", (now + LEASE, found["seq"])
                )
        return rows

    def _send(self, pool: PoolManager, delivery: Any) -> str:  # noqa: ANN401 - a row
        """What came of it: the HTTP status, or the name of what went wrong."""
        events = self.world.store.execute(
            f"SELECT {EVENT_COLUMNS} FROM events WHERE id = ?",  # noqa: S608 - our own columns
            (delivery["event"],),
        )
        endpoint = self.world.store.get(delivery["endpoint"])
        if not events or endpoint is None:
            return "gone"
        event = self._body(events[0], endpoint)
        payload = encode(event).encode()
        at = self.world.faults.seconds()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (simulator)",
            "Stripe-Signature": signature(payload, self._secret(endpoint), at),
        }
        try:
            answer = pool.request("POST", endpoint["url"], body=payload, headers=headers)
        except HTTPError as error:
            return type(error).__name__
        return str(answer.status)

    def _body(self, found: Any, endpoint: Object) -> Object:  # noqa: ANN401 - a row
        """The event in the form and the version that the endpoint asked for."""
        if endpoint.get("_payload") == "thin" and self.world.on("thin_events"):
            return thin_body(found)
        event = event_body(found)
        if self.check:
            self.check(event)
        if self.world.on("endpoint_versions"):
            account = self.world.choice("account_api_version") or API_VERSION
            event["api_version"] = endpoint["api_version"] or account
        return event

    def _secret(self, endpoint: Object) -> str:
        if self.world.on("endpoint_secrets"):
            return str(endpoint["_secret"])
        oldest = self.world.store.find("webhook_endpoint", limit=1, oldest_first=True)
        return str(oldest[0]["_secret"])

    def _settle(self, delivery: Any, answer: str) -> None:  # noqa: ANN401 - a row
        now = time.time()
        attempts = delivery["attempts"] + 1
        taken = answer.isdigit() and TAKEN[0] <= int(answer) <= TAKEN[1]
        state = "waiting"
        if taken:
            state = "delivered"
        elif answer == "gone" or now - delivery["first_due"] > GIVE_UP_AFTER:
            state = "given up"
        wait = min(self.world.retry_seconds * 2 ** min(attempts - 1, 10), LONGEST_WAIT)
        self.world.store.execute(
            "UPDATE deliveries SET state = ?, attempts = ?, due = ?, answer = ? WHERE seq = ?",
            (state, attempts, now + wait, answer, delivery["seq"]),
        )
