"""What `make run` starts: the servers, the mailbox, the newspaper, and the launcher of it all."""

import fcntl
import json
import os
import re
import signal
import smtplib
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis
from aiosmtpd.controller import Controller

from demo.mailbox.__main__ import Postman
from demo.mailbox.pages import create_mailbox
from demo.mailbox.store import Store
from demo.newspaper.articles import load_articles
from demo.newspaper.pages import create_newspaper
from demo.processes import DemoError
from demo.servers import Postgres, Valkey, free_port
from demo.settings import PARTS, read_settings
from simulator.core.store import Store as SimulatorStore
from tests.demonstration import Demonstration, gone, remove_elsewhere, seven_free_ports, wait_for

APP_URL = "http://127.0.0.1:8000"

pytestmark = pytest.mark.timeout(300)  # everything is started, and in one of them twice


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A private state folder, as a checkout under /root is; removed with what lies elsewhere."""
    folder = tmp_path_factory.mktemp("demo")
    yield folder
    remove_elsewhere(folder)


def get(port: int, path: str = "/") -> tuple[int, str]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


# The servers


def test_postgres_keeps_its_data_when_it_is_killed_and_something_is_left_running(
    home: Path,
) -> None:
    first = Postgres(home / "alone", free_port(), "secret")
    first.start()
    with psycopg.connect(first.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS value")
    assert first.child
    leftover = psutil.Process(first.child.pid)

    # The first is not told to stop: it is what a killed launcher leaves where nothing ends it.
    with Postgres(home / "alone", free_port(), "secret") as second:
        assert not leftover.is_running() or leftover.status() == psutil.STATUS_ZOMBIE
        with psycopg.connect(second.url) as connection:
            assert connection.execute("SELECT value FROM kept").fetchone() == (42,)
        assert second.child
        second.child.kill()
        second.child.wait()
        second.start()
        with psycopg.connect(second.url) as connection:
            assert connection.execute("SELECT value FROM kept").fetchone() == (42,)
    first.stop()


def test_postgres_asks_for_its_password_and_opens_no_private_folder(home: Path) -> None:
    mode = stat.S_IMODE(home.stat().st_mode)
    with Postgres(home / "alone", free_port(), "secret") as postgres:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(postgres.url.replace("secret", "guessed"))
        assert psutil.Process(postgres.child.pid if postgres.child else 0).uids().real != 0
    assert stat.S_IMODE(home.stat().st_mode) == mode


def test_valkey_keeps_its_data_when_it_is_killed(tmp_path: Path) -> None:
    with Valkey(tmp_path, free_port()) as valkey, redis.Redis.from_url(valkey.url) as client:
        client.set("kept", "42")
        assert valkey.child
        valkey.child.kill()
        valkey.child.wait()
        valkey.start()
        assert client.get("kept") == b"42"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_server_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from demo.servers import Valkey, free_port\n"
        "valkey = Valkey(Path(sys.argv[1]), free_port()); valkey.start()\n"
        "print(valkey.child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.kill()
    if sys.platform == "linux":  # elsewhere the next start ends it
        wait_for(lambda: gone(child))
    with Valkey(tmp_path, free_port()):
        assert gone(child)


# The mailbox


@contextmanager
def post_office(store: Store) -> Iterator[int]:
    smtp = Controller(Postman(store), hostname="127.0.0.1", port=free_port())
    smtp.start()
    try:
        yield smtp.port
    finally:
        smtp.stop()


def test_an_email_sent_by_smtp_can_be_found_and_read(tmp_path: Path) -> None:
    store = Store(tmp_path / "mailbox.sqlite")
    pages = create_mailbox(store).test_client()
    email = EmailMessage()
    email["From"] = "The Northern Ledger <members@northern-ledger.example>"
    email["To"] = "Ann.Reader@example.org"
    email["Subject"] = "Вітаємо, Ann"
    email.set_content("Welcome in plain words.")
    email.add_alternative("<h1>Welcome</h1><script>alert(1)</script>", subtype="html")

    with post_office(store) as port, smtplib.SMTP("127.0.0.1", port) as smtp:
        smtp.send_message(email)

    found = json.loads(pages.get("/letters.json?to=ann.reader@").data)
    assert [(row["to"], row["subject"]) for row in found] == [
        (["ann.reader@example.org"], "Вітаємо, Ann")
    ]
    assert found[0]["text"].strip() == "Welcome in plain words."
    assert json.loads(pages.get("/letters.json?to=somebody.else").data) == []
    assert json.loads(pages.get(f"/letters.json?after={found[0]['id']}").data) == []
    assert "Вітаємо, Ann" in pages.get("/").text
    page = pages.get(f"/letters/{found[0]['id']}")
    assert "Welcome in plain words." in page.text
    assert "sandbox" in page.text
    html = pages.get(f"/letters/{found[0]['id']}/html")
    assert html.headers["Content-Security-Policy"].startswith("sandbox allow-popups")
    assert "allow-scripts" not in html.headers["Content-Security-Policy"]
    assert b"Subject:" in pages.get(f"/letters/{found[0]['id']}/source").data
    assert pages.get("/letters/99").status_code == 404


def test_emails_outlive_the_mailbox(tmp_path: Path) -> None:
    Store(tmp_path / "mailbox.sqlite").keep("a@example.org", ["b@example.org"], b"Subject: hi\n\n")
    assert [row["subject"] for row in Store(tmp_path / "mailbox.sqlite").newest()] == ["hi"]
    with closing(sqlite3.connect(tmp_path / "mailbox.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM letters").fetchone() == (1,)


@pytest.mark.parametrize("make", [Store, SimulatorStore])
def test_only_its_owner_reads_a_store(tmp_path: Path, make: type[Any]) -> None:
    old = os.umask(0o022)
    try:
        for name in ("new", "old"):
            path = tmp_path / f"{name}.sqlite"
            if name == "old":
                path.touch(mode=0o644)
            kept = make(path)
            for file in tmp_path.glob(f"{name}.sqlite*"):
                assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
            del kept
    finally:
        os.umask(old)


# The newspaper


def test_every_article_carries_the_widget_twice_and_works_without_javascript() -> None:
    pages = create_newspaper(APP_URL).test_client()
    front = pages.get("/").text
    assert front.count("<membership-progress") == 1
    for slug in load_articles(datetime.now(UTC)):
        assert f"/articles/{slug}" in front
        page = pages.get(f"/articles/{slug}").text
        assert page.count(f'<script src="{APP_URL}/widget.js" async></script>') == 1
        assert page.count('<membership-progress campaign="25000" variant="compact">') == 1
        assert page.count('<membership-progress campaign="25000" variant="card">') == 1
        assert page.count(f'href="{APP_URL}/campaigns/25000"') == 3
        assert page.count(f'src="{APP_URL}/campaigns/25000/progress.svg') == 2


def test_the_newspaper_allows_nothing_but_its_own_and_the_widgets_origin() -> None:
    answer = create_newspaper(APP_URL).test_client().get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "style=" not in answer.text


def test_a_section_lists_its_articles_and_an_unknown_one_is_not_found() -> None:
    pages = create_newspaper(APP_URL).test_client()
    assert "The tide gauges that nobody read" in pages.get("/sections/investigation").text
    assert pages.get("/sections/astrology").status_code == 404
    assert pages.get("/articles/nothing").status_code == 404


# The launcher


@pytest.fixture
def start(home: Path) -> Iterator[Callable[[], Demonstration]]:
    started: list[Demonstration] = []

    def begin() -> Demonstration:
        started.append(Demonstration(home, seven_free_ports()))
        return started[-1]

    yield begin
    for demonstration in started:
        if demonstration.process.poll() is None:
            demonstration.stop(signal.SIGTERM)


def members(demonstration: Demonstration) -> int:
    status, body = get(demonstration.port, "/campaigns/25000/progress")
    assert status == HTTPStatus.OK
    count = json.loads(body)["members"]
    assert isinstance(count, int)
    return count


def test_every_part_answers_and_nothing_is_left_when_it_is_stopped(
    start: Callable[[], Demonstration],
) -> None:
    demonstration = start()
    demonstration.wait_until_ready()
    for offset in range(4):
        status, _ = get(demonstration.port + offset)
        assert status == HTTPStatus.OK, PARTS[offset]
    assert get(demonstration.port, "/readyz")[0] == HTTPStatus.OK
    assert members(demonstration) == 200
    with smtplib.SMTP("127.0.0.1", demonstration.port + PARTS.index("mail (SMTP)")) as smtp:
        assert smtp.noop()[0] == 250
    assert f"http://127.0.0.1:{demonstration.port + 1}/articles/" in demonstration.terminal
    assert re.search(r"staff sign-in: .*editor@example.org, password \S+", demonstration.terminal)
    assert demonstration.stop(signal.SIGINT) == []


def test_the_next_start_continues_with_the_same_data_even_when_all_was_killed(
    start: Callable[[], Demonstration],
) -> None:
    first = start()
    first.wait_until_ready()
    count = members(first)
    for process in [psutil.Process(first.process.pid), *first.family()]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    first.process.wait()
    second = start()
    second.wait_until_ready()
    assert "Making a newsroom" not in second.terminal
    assert members(second) == count
    assert second.stop(signal.SIGHUP) == []


def test_a_part_that_dies_is_started_again_and_named(start: Callable[[], Demonstration]) -> None:
    demonstration = start()
    demonstration.wait_until_ready()
    killed = demonstration.part("granian")
    workers = killed.children(recursive=True)
    killed.kill()
    wait_for(lambda: "web ended; it starts again" in demonstration.terminal)
    assert str(demonstration.home / "logs" / "web.log") in demonstration.terminal
    wait_for(lambda: answers(demonstration.port, "/readyz"))
    assert all(gone(worker.pid) for worker in workers)
    demonstration.part("postgres").kill()
    wait_for(lambda: "PostgreSQL ended; it starts again" in demonstration.terminal)
    wait_for(lambda: answers(demonstration.port + PARTS.index("PostgreSQL")))
    demonstration.process.kill()
    demonstration.process.wait()
    # Without its launcher nothing goes on for long; a worker may first finish what it has begun.
    wait_for(lambda: not answers(demonstration.port) and not answers(demonstration.port + 4))


def answers(port: int, path: str = "") -> bool:
    """Whether something listens, and says yes to the path where one is given."""
    with suppress(OSError):
        if path:
            return get(port, path)[0] == HTTPStatus.OK
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    return False


def test_a_second_start_with_the_same_data_is_refused(
    start: Callable[[], Demonstration], home: Path
) -> None:
    home.mkdir(exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        demonstration = start()
        assert demonstration.process.wait(30) == 1
    assert "already running" in demonstration.terminal


def test_a_taken_port_is_named_with_what_to_do(tmp_path: Path) -> None:
    first = seven_free_ports()
    with socket.create_server(("127.0.0.1", first + 2)):
        demonstration = Demonstration(tmp_path, first)
        assert demonstration.process.wait(30) == 1
    assert f"Port {first + 2}, meant for the mailbox" in demonstration.terminal
    assert "PORT=9000 make run" in demonstration.terminal
    assert "Traceback" not in demonstration.terminal


@pytest.mark.parametrize("port", ["80", "65535", "eight", "-1", "8000.5"])
def test_a_port_that_cannot_be_used_is_refused_in_a_sentence(port: str) -> None:
    with pytest.raises(DemoError, match="PORT must be a whole number from 1024 to 65529"):
        read_settings({"PORT": port})


def test_the_secrets_are_made_once_and_kept_private(tmp_path: Path) -> None:
    settings = read_settings({"DEMO_HOME": str(tmp_path)})
    made = settings.secrets
    assert read_settings({"DEMO_HOME": str(tmp_path)}).secrets == made
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert len(made["secret_key"]) >= 32
