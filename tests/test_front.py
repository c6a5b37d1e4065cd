"""The asynchronous front over real sockets: slow senders and idle browsers shut nobody out."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import socket
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest
import requests

from demo.processes import end, spawn, wait_until
from demo.servers import free_port
from fundraiser import bodies
from fundraiser.bodies import Bodies, DisconnectedError, TooSlowError
from fundraiser.config import load_settings
from fundraiser.db import Database
from fundraiser.newsroom.models import Role
from fundraiser.newsroom.passwords import AT_ONCE
from simulator.core.webhooks import signature
from tests.conftest import ROOT, WEBHOOK_SECRET
from tests.factories import make_campaign, make_tiers
from tests.staff import PASSWORD, hire

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator
    from types import ModuleType
    from wsgiref.types import StartResponse

    from demo.servers import Postgres, Valkey

SLOW = 500
IDLE = 10_000
PAGES = ("/", "/join", "/healthz", "/readyz", "/campaigns/25000/progress", "/account/sign-in")


@pytest.fixture(scope="module")
def database_of_the_file(servers: tuple[Postgres, Valkey], template: str) -> Iterator[str]:
    with psycopg.connect(servers[0].url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE front TEMPLATE {template} STRATEGY file_copy")
        yield servers[0].url_of("front")
        connection.execute("DROP DATABASE front WITH (FORCE)")


@pytest.fixture(scope="module")
def web(
    environment: dict[str, str], database_of_the_file: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port of the Procfile's web process, with one worker and a running campaign."""
    port = free_port()
    env = environment | {"DATABASE_URL": database_of_the_file, "HOST": "127.0.0.1"}
    env |= {"PORT": str(port), "WEB_CONCURRENCY": "1", "PUBLIC_URL": f"http://127.0.0.1:{port}"}
    database = Database(load_settings(env))
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
    database.dispose()
    log = tmp_path_factory.mktemp("front") / "web.log"
    command = [sys.executable, "-m", "fundraiser.granian"]
    child = spawn(command, log=log, cwd=ROOT, env=os.environ | env)
    try:
        wait_until(lambda: _answers(port), child, name="web", log=log, patience=60)
        yield port
    finally:
        end([child])
        lines = log.read_text()
        assert "Traceback" not in lines, lines
        # Also the server's own: each line is one object with its time and level.
        for line in map(json.loads, lines.splitlines()):
            assert line.keys() >= {"event", "level", "timestamp"}, line


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).ok
    except requests.ConnectionError:
        return False


def every_page_answers(port: int) -> None:
    for page in PAGES:
        answer = requests.get(f"http://127.0.0.1:{port}{page}", timeout=10)
        assert answer.status_code == 200, (page, answer.text)


def send_head(port: int, path: str, length: int, begin: bytes = b"email=a") -> socket.socket:
    """A form's head and the first bytes of its body."""
    sender = socket.create_connection(("127.0.0.1", port), timeout=30)
    sender.sendall(
        b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\n%s"
        % (path.encode(), length, begin)
    )
    return sender


@pytest.mark.timeout(180)
def test_500_senders_that_fall_silent_shut_nobody_out(web: int, database_of_the_file: str) -> None:
    with ExitStack() as stack:
        began = time.monotonic()
        paths = ("/join", "/account/sign-in", "/webhooks/stripe", "/staff/sign-in")
        slow = [
            stack.enter_context(send_head(web, paths[place % len(paths)], 200))
            for place in range(SLOW)
        ]
        every_page_answers(web)
        assert deliver(web) == 204
        with psycopg.connect(database_of_the_file) as connection:
            assert connection.execute("SELECT id FROM event").fetchall() == [("evt_front",)]
        # Each is told so when its time is over, and that costs nobody a place either.
        answers = []
        for sender in slow:
            sender.settimeout(max(began + bodies.PATIENCE + 40 - time.monotonic(), 1))
            answers.append(sender.recv(4096))
        assert {answer[:12] for answer in answers} == {b"HTTP/1.1 408"}
        every_page_answers(web)


def deliver(port: int) -> int:
    body = json.dumps(
        {
            "id": "evt_front",
            "type": "customer.updated",
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": {"id": "cus_front", "object": "customer"}},
        }
    ).encode()
    header = {"Stripe-Signature": signature(body, WEBHOOK_SECRET, int(time.time()))}
    url = f"http://127.0.0.1:{port}/webhooks/stripe"
    return requests.post(url, data=body, headers=header, timeout=10).status_code


@pytest.mark.timeout(180)
def test_10_000_idle_connections_shut_nobody_out(web: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    idle = min(IDLE, hard - 1_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, idle + 500), hard))
    try:
        with ExitStack() as stack:
            for _ in range(idle):
                stack.enter_context(socket.create_connection(("127.0.0.1", web), timeout=30))
            every_page_answers(web)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_body_above_its_address_s_limit_is_refused_before_it_is_read(web: int) -> None:
    for path, length in (("/join", 1 << 15), ("/account/sign-in", 1 << 40), ("/staff/x", 1 << 21)):
        with send_head(web, path, length) as sender:
            assert sender.recv(4096).startswith(b"HTTP/1.1 413"), path


def test_a_large_file_is_read_of_those_alone_who_may_bring_one_in(
    web: int, environment: dict[str, str], database_of_the_file: str
) -> None:
    """Of anybody else not a byte: thirty-two megabytes from each of a hundred fill a machine."""
    with ExitStack() as stack:
        senders = [
            stack.enter_context(send_head(web, bodies.UPLOADS[0], bodies.LARGEST_UPLOAD - 1))
            for _ in range(40)
        ]
        for sender in senders:
            assert sender.recv(4096).startswith(b"HTTP/1.1 403"), "at once, without a wait"
    database = Database(load_settings(environment | {"DATABASE_URL": database_of_the_file}))
    manager, support = hire(database, Role.MANAGER), hire(database, Role.SUPPORT)
    database.dispose()
    rows = b"Name,E-mail,Paid until\n" + b"Olena,olena@example.org,2030-01-01\n" * 60_000
    assert len(rows) > bodies.LARGEST
    statuses = []
    for email in (support, manager):
        browser = requests.Session()
        fill_in_form(browser, web, "/staff/sign-in", {"email": email, "password": PASSWORD})
        token = form_token(browser, web, "/staff/account")
        answer = browser.post(
            f"http://127.0.0.1:{web}{bodies.UPLOADS[0]}",
            data={"csrf_token": token},
            files={"file": ("friends.csv", rows)},
            headers={"Accept": "text/html"},
            allow_redirects=False,
            timeout=30,
        )
        statuses.append(answer.status_code)
    assert statuses == [403, 303]


@pytest.mark.timeout(180)
def test_32_wrong_passwords_at_once_take_some_memory_and_hold_up_nobody(
    web: int, environment: dict[str, str], database_of_the_file: str
) -> None:
    """They once took 2.1 GiB and half a minute; a hash takes 64 MiB and all of a core."""
    database = Database(load_settings(environment | {"DATABASE_URL": database_of_the_file}))
    email = hire(database, Role.SUPPORT)
    database.dispose()
    browsers = [requests.Session() for _ in range(32)]
    tokens = [form_token(browser, web, "/staff/sign-in") for browser in browsers]
    before = peak_memory(web)
    together = threading.Barrier(32)

    def guess(number: int) -> int:
        form = {"email": email, "password": f"guess {number}", "csrf_token": tokens[number]}
        together.wait(60)
        url = f"http://127.0.0.1:{web}/staff/sign-in"
        return browsers[number].post(url, data=form, timeout=120).status_code

    with ThreadPoolExecutor(32) as guessers:
        guesses = [guessers.submit(guess, number) for number in range(32)]
        every_page_answers(web)
    answers = Counter(one.result() for one in guesses)
    assert answers[422] <= 10, "no more are looked at than are allowed"
    assert answers[422] + answers[429] + answers[503] == 32, answers
    hashes = AT_ONCE + 1  # strangers', and one of somebody known
    assert peak_memory(web) - before < (hashes + 1) * 64 + 64, "MiB"


def peak_memory(port: int) -> int:
    """The most that the web process has ever had, with its workers, in MiB."""
    listening = {
        one.pid
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port
    }
    assert listening
    peaks = [
        re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        for pid in listening
    ]
    return sum(int(peak[1]) for peak in peaks if peak) >> 10


def fill_in_form(browser: requests.Session, port: int, path: str, form: dict[str, str]) -> None:
    token = form_token(browser, port, path)
    answer = browser.post(
        f"http://127.0.0.1:{port}{path}",
        data=form | {"csrf_token": token},
        headers={"Accept": "text/html"},
        allow_redirects=False,
        timeout=30,
    )
    assert answer.status_code == 303, answer.text


def form_token(browser: requests.Session, port: int, path: str) -> str:
    page = browser.get(f"http://127.0.0.1:{port}{path}", timeout=30)
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def test_a_body_in_chunks_is_as_long_as_it_is_and_no_longer_than_others(web: int) -> None:
    url = f"http://127.0.0.1:{web}/account/sign-in"
    origin = {"Origin": f"http://127.0.0.1:{web}"}
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    def post(*pieces: bytes) -> requests.Response:
        return requests.post(url, data=iter(pieces), headers=origin | form, timeout=10)

    assert post(b"email=", b"nobody").status_code == 422
    assert post(*[b"email=" + b"a" * 4_000] * 5).status_code == 413


def test_a_person_whose_form_is_too_large_reads_a_page(web: int) -> None:
    answer = requests.post(
        f"http://127.0.0.1:{web}/join?lang=uk",
        data={"x": "a" * 20_000},
        headers={"Accept": "text/html,*/*;q=0.8"},
        timeout=10,
    )
    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert '<html lang="uk">' in answer.text


def test_a_form_that_breaks_off_is_not_used(web: int) -> None:
    body = b"email=broken-off@example.org&name="
    with send_head(web, "/account/sign-in", len(body) + 9, body) as sender:
        sender.shutdown(socket.SHUT_WR)
        assert not sender.recv(4096).startswith(b"HTTP/1.1 2")


def test_names_with_an_underscore_do_not_pass_for_headers(web: int) -> None:
    with socket.create_connection(("127.0.0.1", web), timeout=10) as reader:
        reader.sendall(
            b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX_Forwarded_For: 10.0.0.1\r\n"
            b"Connection: close\r\n\r\n"
        )
        # As X-Forwarded-For it would have hidden what only this machine may see.
        assert reader.recv(4096).startswith(b"HTTP/1.1 200")


def test_each_answer_is_measured_by_its_route(web: int) -> None:
    def count(method: str, route: str, status: int) -> float:
        page = requests.get(f"http://127.0.0.1:{web}/metrics", timeout=10).text
        labels = f'method="{method}",route="{route}",status="{status}"'
        found = re.findall(
            rf"^fundraiser_request_seconds_count{{{re.escape(labels)}}} (\S+)$", page, re.MULTILINE
        )
        return float(found[0]) if found else 0

    asked = [
        ("GET", "/campaigns/25000/progress", "/campaigns/<slug>/progress", 200),
        ("GET", "/campaigns/25000", "/campaigns/<slug>", 200),
        ("GET", "/somebody@example.org", "-", 404),
        ("PROPFIND", "/join", "-", 405),
    ]

    def counts() -> list[float]:
        return [
            count(method if method == "GET" else "other", route, status)
            for method, _, route, status in asked
        ]

    before = counts()
    for method, path, _, status in asked:
        answer = requests.request(method, f"http://127.0.0.1:{web}{path}", timeout=10)
        assert answer.status_code == status
    hooks = count("POST", "/webhooks/stripe", 204)
    assert deliver(web) == 204
    assert counts() == [one + 1 for one in before]
    assert count("POST", "/webhooks/stripe", 204) == hooks + 1


def test_the_oldest_unfinished_bodies_make_room_for_those_that_come() -> None:
    async def fill_the_memory() -> list[object]:
        shelf = Bodies(memory=3 * bodies.LARGEST)

        async def piece_and_silence() -> dict[str, Any]:
            if not sent.get(asyncio.current_task()):
                sent[asyncio.current_task()] = True
                return piece(b"x" * (bodies.LARGEST - 1), more=True)
            return await asyncio.Event().wait()  # type: ignore[return-value]  # it never ends

        sent: dict[object, bool] = {}
        slow = []
        for _ in range(5):
            slow.append(asyncio.ensure_future(read(shelf, piece_and_silence)))
            await asyncio.sleep(0.01)
        whole = await read(shelf, lambda: done(piece(b"at once", more=False)))
        for one in slow[2:]:
            one.cancel()
        return [whole, *(type(end) for end in await asyncio.gather(*slow, return_exceptions=True))]

    kept = [asyncio.CancelledError] * 3
    assert run(fill_the_memory()) == [b"at once", TooSlowError, TooSlowError, *kept]


def test_a_body_is_read_within_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PATIENCE", 0.2)

    async def drip() -> dict[str, Any]:
        await asyncio.sleep(0.05)  # each piece comes in time, the whole does not
        return piece(b"x", more=True)

    with pytest.raises(TooSlowError):
        run(read(Bodies(), drip))


def test_a_body_whose_sender_has_gone_is_not_taken_for_a_whole_one() -> None:
    messages = iter([piece(b"half", more=True), {"type": "http.disconnect"}])
    with pytest.raises(DisconnectedError):
        run(read(Bodies(), lambda: done(next(messages))))


@pytest.fixture
def asgi(
    environment: dict[str, str], database_of_the_file: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    for name, value in (environment | {"DATABASE_URL": database_of_the_file}).items():
        monkeypatch.setenv(name, value)
    for name in ("fundraiser.wsgi", "fundraiser.asgi"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = import_module("fundraiser.asgi")
    yield module
    for thread in threading.enumerate():
        if thread.name == "progress":
            thread.join(10)
    sys.modules["fundraiser.wsgi"]._app.database.dispose()  # noqa: SLF001 - nobody else needs it


class Endless:
    """A download without an end: so many parts were made, and it was closed."""

    made, closed = 0, False

    def __call__(self, _environ: object, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/csv")])
        return self

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.made += 1
            yield b"x" * 10_000

    def close(self) -> None:
        self.closed = True


def test_a_download_is_made_as_it_is_taken_and_ends_with_its_taker(asgi: ModuleType) -> None:
    download, sent = Endless(), []

    async def take_three_pieces() -> None:
        gone = asyncio.Event()

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)
            if len(sent) == 4:
                assert download.made <= 4 * 7, "no more than what was taken"
                gone.set()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        await asyncio.wait_for(asgi.Front(download, 2)(request("/x"), receive, send), 20)

    run(take_three_pieces())
    assert [len(message.get("body", b"")) for message in sent[:2]] == [0, 70_000]
    assert download.closed


def test_a_third_file_waits_until_one_of_two_is_taken(
    asgi: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "may_upload", lambda _: True)
    monkeypatch.setattr(asgi, "PATIENCE", 0.1)

    async def send_three() -> list[int]:
        front, is_whole = asgi.Front(no_content, 4), asyncio.Event()
        answers: list[list[dict[str, Any]]] = [[], [], []]

        async def receive() -> dict[str, Any]:
            await is_whole.wait()
            return piece(b"x" * 40, more=False)

        async def ask(answer: list[dict[str, Any]]) -> None:
            async def send(message: dict[str, Any]) -> None:
                answer.append(message)

            path = bodies.UPLOADS[0]
            scope = request(path, method="POST", headers=[(b"content-length", b"40")])
            await front(scope, receive, send)

        asked = [asyncio.create_task(ask(answer)) for answer in answers]
        await asked[2]
        assert answers[:2] == [[], []], "they wait for their bodies"
        is_whole.set()
        await asyncio.gather(*asked)
        return [answer[0]["status"] for answer in answers]

    assert run(send_three()) == [204, 204, 503]


def no_content(_environ: object, start_response: StartResponse) -> list[bytes]:
    start_response("204 No Content", [])
    return []


def request(path: str, **more: Any) -> dict[str, Any]:
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode()}
    scope |= {"query_string": b"", "http_version": "1.1", "headers": [], "scheme": "http"}
    return scope | {"server": ("127.0.0.1", "80"), "client": ("127.0.0.1", "9")} | more


def piece(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def done(message: dict[str, Any]) -> dict[str, Any]:
    return message


async def read(shelf: Bodies, receive: Any) -> bytes:
    return await shelf.read(receive, 0, limit=bodies.LARGEST)


def run(coroutine: Coroutine[Any, Any, object]) -> object:
    # In a thread of its own: Playwright leaves a running loop in that of the tests.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
