"""PostgreSQL through PgBouncer, and after a failover."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from werkzeug.test import Client

from demo.processes import end, spawn, wait_until
from demo.servers import free_port
from fundraiser import db
from fundraiser.app import create_app
from fundraiser.cli import main
from fundraiser.config import load_settings
from fundraiser.db import Database, Pool, make_engine, worker_pool
from fundraiser.jobs import Heartbeat
from fundraiser.members.ledger import read_balance
from fundraiser.widget.progress import ProgressLayer
from tests.factories import make_campaign, make_tiers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask import Response
    from flask.testing import FlaskClient
    from sqlalchemy import Connection

    from fundraiser.config import Settings

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "timezone")


@pytest.fixture(params=["", "options"])
def pooled_url(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[str]:
    """The database through PgBouncer, which refuses our options at the start, or ignores them."""
    if PROGRAM is None:
        pytest.skip("PgBouncer is not installed")
    parts, port = urlsplit(database_url), free_port()
    tmp_path.chmod(0o755)
    (tmp_path / "users").write_text(f'"{parts.username}" "{parts.password}"\n')
    ignored = f"ignore_startup_parameters = {request.param}\n" if request.param else ""
    (tmp_path / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={parts.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {tmp_path}/users\npool_mode = transaction\n"
        f"default_pool_size = 3\nmax_client_conn = 200\n{ignored}"
    )
    log = tmp_path / "log"
    as_nobody = ["-u", "nobody"] if os.geteuid() == 0 else []
    command = [PROGRAM, *as_nobody, str(tmp_path / "pgbouncer.ini")]
    child = spawn(command, log=log, cwd=tmp_path)
    url = f"postgresql://{parts.username}:{parts.password}@127.0.0.1:{port}{parts.path}"

    def answers() -> bool:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        wait_until(answers, child, name="PgBouncer", log=log, patience=20)
        yield url
    finally:
        end([child])


def test_time_outs_hold_through_pgbouncer(pooled_url: str, database_url: str) -> None:
    def shown(url: str) -> list[str]:
        engine = make_engine(url)
        with engine.connect() as connection:
            found = [str(connection.scalar(text(f"SHOW {name}"))) for name in TIMEOUTS]
        engine.dispose()
        return found

    assert shown(pooled_url) == shown(database_url) == ["30s", "15s", "1min", "UTC"]


def test_a_statement_ends_in_its_time_through_pgbouncer(pooled_url: str) -> None:
    engine = make_engine(pooled_url)
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL statement_timeout = '100ms'"))
        with pytest.raises(OperationalError, match="statement timeout"):
            connection.execute(text("SELECT pg_sleep(10)"))
    with engine.connect() as connection:  # and the next has its own
        assert connection.scalar(text("SHOW statement_timeout")) == "30s"
    engine.dispose()


def test_a_server_that_hangs_is_given_up(database_url: str) -> None:
    """Its own time-outs hang too, and TCP finds it alive."""
    engine = make_engine(database_url, Pool(longest=0.5))
    with engine.connect() as connection:
        server = connection.scalar(text("SELECT pg_backend_pid()"))
        os.kill(server, signal.SIGSTOP)
        try:
            with pytest.raises(OperationalError, match="hangs"):
                connection.execute(text("SELECT 1"))
        finally:
            os.kill(server, signal.SIGCONT)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT pg_backend_pid()")) != server
    engine.dispose()


def test_the_service_answers_through_pgbouncer(
    pooled_url: str, environment: dict[str, str]
) -> None:
    """More of the same statements than psycopg would begin to prepare, on shared connections."""
    app = create_app(load_settings(environment | {"DATABASE_URL": pooled_url}))
    with app.database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
    client = app.test_client()
    for _ in range(12):
        for path in ("/join", "/campaigns/25000", "/account/sign-in", "/how-we-count"):
            assert client.get(path, headers={"Accept": "text/html"}).status_code == 200
    app.database.dispose()


def test_the_doctor_tells_that_a_pooler_is_between(
    pooled_url: str, environment: dict[str, str]
) -> None:
    env = environment | {"DATABASE_URL": pooled_url}
    said = CliRunner(env=env).invoke(main, ["doctor"]).output
    assert "connections to PgBouncer: its max_client_conn" in said


def test_a_process_opens_as_many_connections_as_its_pool_says(settings: Settings) -> None:
    """All threads of a worker write at the same time, and its limits are asked meanwhile."""
    pool = worker_pool(settings)
    database = Database(settings, pool=pool)

    def write(*, beside: bool) -> None:
        with database.transaction(beside=beside) as session:
            session.execute(text("SELECT pg_sleep(0.1)"))

    with ThreadPoolExecutor(3 * settings.settle_threads) as threads:
        for written in [
            threads.submit(write, beside=beside)
            for beside in (False, True)
            for _ in range(settings.settle_threads)
        ]:
            written.result()
    with database.transaction() as session:
        opened = session.scalar(
            text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        )
    database.dispose()
    assert opened == pool.in_all < settings.settle_threads


def test_a_full_pool_is_no_database_that_is_away(settings: Settings) -> None:
    """All connections of the process are in use: pages wait for a moment, then say so."""
    app = create_app(settings, Pool(connections=1, patience=0.2))
    with app.database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
    client = app.test_client()
    with app.database.engine.connect():
        for ask, path, said in (
            (client.get, "/join", "We’re very busy right now. Try again in a minute."),
            (client.post, "/account/sign-in", "so we don’t know whether this was done"),
        ):
            answer = ask(
                path,
                data={"email": "olena@example.org"},
                headers={"Accept": "text/html", "Origin": "http://127.0.0.1:8000"},
            )
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
            assert said in answer.text
        assert client.get("/readyz").get_json() == {"status": "ok"}
        number = Client(ProgressLayer(app, app.database)).get("/campaigns/25000/progress")
        assert number.get_json()["members"] == 0
    assert client.get("/join").status_code == 200
    app.extensions["incidents"].write()
    assert 'security_events{kind="busy"} 2.0' in client.get("/metrics").text
    for thread in threading.enumerate():
        if thread.name == "progress":
            thread.join(10)
    app.database.dispose()


def test_a_commit_that_fails_is_an_answer_too(settings: Settings) -> None:
    """Another request takes the last connection between the page and its commit."""
    app = create_app(settings, Pool(connections=1, patience=0.2))
    taken: list[Connection] = []

    @app.after_request
    def lose_the_last_one(response: Response) -> Response:
        db.session().add(Heartbeat(name="late", beat_at=db.now()))
        if not taken:
            taken.append(app.database.engine.connect())
        return response

    answer = app.test_client().get("/healthz", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    taken[0].close()
    with app.database.transaction() as session:
        assert session.get(Heartbeat, "late") is None
    app.database.dispose()


def test_after_a_failover_the_connection_is_left_and_the_next_request_works(
    database: Database, client: FlaskClient
) -> None:
    """As if the server of the connections that are open had become a standby."""
    raw = [database.engine.raw_connection() for _ in range(3)]
    for connection in raw:
        connection.cursor().execute("SET SESSION default_transaction_read_only = on")
        connection.commit()
        connection.close()

    def ask() -> int:
        form = {"email": "olena@example.org"}
        origin = {"Origin": "http://127.0.0.1:8000"}
        return client.post("/account/sign-in", data=form, headers=origin).status_code

    assert ask() == 503
    assert ask() == 303
    with database.transaction() as session:
        assert read_balance(session).members == 0
