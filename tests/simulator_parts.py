"""A running simulator, and a reader's and an application's ways to it."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

from simulator import API_VERSION

ROOT = Path(__file__).resolve().parent.parent
SECRET = "whsec_of_the_tests"
DAY = 86400
SUCCEEDS, DECLINED, CHARGES_FAIL = "4242424242424242", "4000000000000002", "4000000000000341"
ASKS_ONCE, ASKS_THEN_DECLINES = "4000002500003155", "4000008400001629"
IBAN_SUCCEEDS, IBAN_FAILS = "DE89370400440532013000", "DE62370400440532013001"


def wait_until(true: Callable[[], Any], seconds: float = 10) -> Any:
    """The first true answer; fails after so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = true()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("It did not happen in time.")


@dataclass
class Receiver:
    """An endpoint of webhooks; `answers` are given first, then 200."""

    answers: list[int] = field(default_factory=list)
    got: list[tuple[bytes, str]] = field(default_factory=list)

    def events(self, kind: str, identity: str | None) -> list[Any]:
        """What came of that type about that object."""
        bodies = [json.loads(body) for body, _ in list(self.got)]
        about = [body for body in bodies if body["data"]["object"].get("id") == identity]
        return [body for body in about if body["type"] == kind]


@dataclass
class Simulator:
    """A running simulator, and a reader's and an application's ways to it."""

    url: str
    client: stripe.StripeClient
    receiver: Receiver
    process: subprocess.Popen[str]

    def checkout(self, **params: Any) -> Any:
        whole = {"success_url": "http://news.example/thanks?session={CHECKOUT_SESSION_ID}"}
        whole["cancel_url"] = "http://news.example/join"
        everything: Any = {**whole, **params}
        return self.client.v1.checkout.sessions.create(params=everything)

    def subscribe(self, card: str = SUCCEEDS, **typed: str) -> Any:
        """A subscription of 5 euros a month, through the hosted page; returns the session."""
        session = self.checkout(mode="subscription", line_items=[{"price": self.price()}])
        self.pay(session.url, card, **typed)
        return self.client.v1.checkout.sessions.retrieve(session.id)

    def price(self) -> str:
        found = self.client.v1.prices.list(params={"lookup_keys": ["reader-month-eur"]}).data
        if found:
            return found[0].id
        product = self.client.v1.products.create(params={"name": "Reader"})
        return self.client.v1.prices.create(
            params={
                "product": product.id,
                "currency": "eur",
                "unit_amount": 500,
                "recurring": {"interval": "month"},
                "lookup_key": "reader-month-eur",
            }
        ).id

    def pay(self, page: str, card: str = SUCCEEDS, **typed: str) -> requests.Response:
        form = {
            "email": "reader@example.org",
            "billingName": "A Reader",
            "billingCountry": "DE",
            "method": "card",
            "cardNumber": card,
            "cardExpiry": "12 / 60",
            "cardCvc": "123",
        }
        return requests.post(page, data={**form, **typed}, allow_redirects=False, timeout=10)

    def portal(self, session: Any, **more: Any) -> str:
        """The address of the billing portal for the session's customer; its settings are saved."""
        self.control("portal-settings")
        usual = {"customer": session.customer, "return_url": "http://news.example/account"}
        params: Any = {**usual, **more}
        return self.client.v1.billing_portal.sessions.create(params=params).url

    def change_card(self, session: Any, card: str) -> None:
        """The reader changes the card in the portal."""
        changed = self.pay(f"{self.portal(session)}/payment-method", card)
        assert changed.status_code == 303, changed.text

    def replace_card(self, session: Any, card: str) -> None:
        """Have the subscription charged on another card: the customer's default, and no other."""
        self.change_card(session, card)
        params: Any = {"default_payment_method": ""}
        self.client.v1.subscriptions.update(str(session.subscription), params=params)

    def control(self, what: str, **given: Any) -> Any:
        answer = requests.post(f"{self.url}/_simulator/{what}", json=given, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    @contextmanager
    def without(self, *names: str) -> Iterator[None]:
        """For as long as it lasts, Stripe does not do this (see simulator/README.md)."""
        self.control("behaviours", **dict.fromkeys(names, False))
        try:
            yield
        finally:
            self.control("behaviours", **dict.fromkeys(names, True))

    @contextmanager
    def choosing(self, **choices: str) -> Iterator[None]:
        """For as long as it lasts, the account has chosen this."""
        self.control("choices", **choices)
        try:
            yield
        finally:
            self.control("choices", **dict.fromkeys(choices, None))

    def advance(self, days: float) -> None:
        self.control("clock", advance_seconds=int(days * DAY))

    def subscription(self, session: Any) -> Any:
        return self.client.v1.subscriptions.retrieve(session.subscription)

    def charges(self, session: Any) -> Any:
        params: Any = {"customer": session.customer, "expand": ["data.refunds"]}
        return self.client.v1.charges.list(params=params).data

    def types(self) -> list[str]:
        """The types of all events, oldest first."""
        params: Any = {"limit": 100}
        return [str(event.type) for event in self.client.v1.events.list(params=params).data][::-1]


def launch(store: Path, *more: str) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "simulator", "--port", "0", "--store", str(store), *more]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, process.stdout.readline().split()[-1]


def client_of(url: str, key: str = "sk_test_simulator") -> stripe.StripeClient:
    return stripe.StripeClient(
        key,
        stripe_version=API_VERSION,
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=20),
        base_addresses={"api": url},
    )


@pytest.fixture(scope="module")
def simulator_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, stripe_description: Path | None
) -> Iterator[Simulator]:
    """One simulator for the file; each test makes its own customers."""
    del stripe_description  # in force before the simulator starts
    receiver = Receiver()

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = receiver.answers.pop(0) if receiver.answers else 200
            if answer == 200:
                receiver.got.append((body, self.headers["Stripe-Signature"]))
            self.send_response(answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = tmp_path_factory.mktemp("simulator-of-its-own")
    process, url = launch(
        folder / "store.sqlite",
        *("--webhook-url", f"http://127.0.0.1:{server.server_port}/webhooks"),
        *("--webhook-secret", SECRET, "--webhook-retry", "0.1"),
        *("--clock-file", str(folder / "clock")),
    )
    yield Simulator(url, client_of(url), receiver, process)
    process.terminate()
    assert process.wait(10) == 0
    assert process.stdout
    process.stdout.close()
    server.shutdown()
    server.server_close()


@pytest.fixture
def simulator(simulator_of_the_file: Simulator) -> Simulator:
    simulator_of_the_file.receiver.answers.clear()
    simulator_of_the_file.receiver.got.clear()
    return simulator_of_the_file
