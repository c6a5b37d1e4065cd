"""The doctor names what is wrong with PostgreSQL, Redis and the processes, one line each."""

from __future__ import annotations

import json
import re
import socket
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
import redis
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from fundraiser import jobs
from fundraiser.app import create_app
from fundraiser.cli import main
from fundraiser.config import load_settings
from fundraiser.db import now
from fundraiser.jobs import Heartbeat
from fundraiser.members.ledger import read_balance
from fundraiser.newsroom.models import Role
from tests.conftest import ROOT
from tests.sources import bring_in
from tests.staff import PAGE, hire, sign_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo.servers import Postgres, Valkey
    from fundraiser.db import Database

    Doctor = Callable[..., str]


@pytest.fixture
def doctor(environment: dict[str, str], database_url: str) -> Doctor:
    """What the doctor says of this environment; never a traceback."""

    def run(**values: str) -> str:
        env = environment | {"DATABASE_URL": database_url} | values
        result = CliRunner(env=env).invoke(main, ["doctor"])
        assert isinstance(result.exception, SystemExit), result.exception
        lines = result.output.splitlines()
        assert [line for line in lines if line[:5] not in {"well ", "WRONG"}] == []
        return result.output

    return run


def test_the_doctor_tells_why_the_database_can_not_be_used(
    doctor: Doctor, database_url: str, servers: tuple[Postgres, Valkey]
) -> None:
    parts = urlsplit(database_url)
    place = f"127.0.0.1:{parts.port}{parts.path}"
    name = f"empty_{uuid4().hex}"
    empty = servers[0].create_database(name)
    told = {
        f"postgresql://{parts.username}:wrong@{place}": "refuses the user or the password",
        f"postgresql://nobody:wrong@{place}": "refuses the user or the password",
        database_url.replace(parts.path, "/of-nobody"): "There is no such database",
        f"{database_url}?sslmode=require": "does not offer the TLS",
        f"{database_url}?target_session_attrs=read-only": "read-only here",
        "postgresql://a:b@127.0.0.1:9/c": "The database does not answer",
        "postgresql://a:b@nowhere.invalid/c": "The host in DATABASE_URL is unknown",
        empty: "The database is empty: run fundraiser migrate",
    }
    for url, sentence in told.items():
        assert sentence in doctor(DATABASE_URL=url), url
    with psycopg.connect(empty) as connection:
        connection.execute("CREATE TABLE somebody_elses (id int)")
    assert "belongs to another program" in doctor(DATABASE_URL=empty)
    with psycopg.connect(servers[0].url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_doctor_tells_an_older_and_a_newer_database_and_a_standby(
    doctor: Doctor, database: Database, database_url: str
) -> None:
    for revision, sentence in {"0040": "has old tables", "9999": "of a newer version"}.items():
        with database.transaction() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})
        assert sentence in doctor()
    name = urlsplit(database_url).path[1:]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "PostgreSQL is read-only here" in doctor()


def test_the_doctor_sums_the_connections_and_holds_them_against_postgresql(
    doctor: Doctor, database_url: str
) -> None:
    said = doctor()
    found = re.search(r"well   This configuration opens up to (\d+) connections", said)
    assert found, said
    usual = int(found[1])
    assert 2 * usual < 97, "while a new version replaces the old one both fit beside each other"
    assert f"opens up to {usual + 3 * 10 + 2 * 7} " in doctor(
        WEB_CONCURRENCY="5", WORKER_CONCURRENCY="4"
    )
    assert "WRONG  This configuration opens up to" in doctor(WORKER_CONCURRENCY="20")
    name = urlsplit(database_url).path[1:]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 20")
    said = doctor()
    assert f"opens up to {usual} connections, and our database’s limit allows 20: raise" in said


@pytest.fixture
def memory(servers: tuple[Postgres, Valkey]) -> Iterator[redis.Redis]:
    """Valkey, whose settings are put back."""
    with redis.Redis.from_url(servers[1].url) as client:
        yield client
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "0")


def test_the_doctor_tells_a_redis_that_is_full_or_forgets_or_is_gone(
    doctor: Doctor, memory: redis.Redis
) -> None:
    assert "well   Redis answers" in doctor()
    memory.config_set("maxmemory-policy", "allkeys-lru")
    assert "set its maxmemory-policy to noeviction" in doctor()
    memory.config_set("maxmemory-policy", "noeviction")
    memory.config_set("maxmemory", "1")
    assert "WRONG  Redis is full" in doctor()
    assert "WRONG  Redis does not answer" in doctor(REDIS_URL="redis://127.0.0.1:9/0")


def test_the_doctor_tells_beat_from_the_workers(doctor: Doctor, database: Database) -> None:
    assert "No worker has ever reported" in doctor()
    with database.transaction() as session:
        jobs.beat(session, "beat")
    assert "Beat ticks, and the workers have been silent so far" in doctor()
    with database.transaction() as session:
        session.add(Heartbeat(name="worker", beat_at=now() - timedelta(minutes=5)))
    assert "silent for 5 minutes" in doctor()
    with database.transaction() as session:
        session.execute(text("DELETE FROM heartbeat WHERE name = 'beat'"))
    assert "start the beat process" in doctor()


def test_the_doctor_speaks_to_machines(environment: dict[str, str], database_url: str) -> None:
    env = environment | {"DATABASE_URL": database_url}
    result = CliRunner(env=env).invoke(main, ["doctor", "--json"])
    lines = [json.loads(line) for line in result.output.splitlines()]
    assert {"well": True, "finding": "Redis answers, and keeps what it is given."} in lines
    assert result.exit_code == 1


def test_the_doctor_tells_which_way_is_not_encrypted(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "PostgreSQL is on this machine" in doctor()
    told = doctor(REDIS_URL="rediss://cache.example:6379")
    assert "Redis is reached by TLS, and its certificate is verified" in told
    for address, url, sentence in (
        ("10.1.2.3", "redis://cache.example:6379", "well   Redis is reached without"),
        ("93.184.215.14", "redis://cache.example:6379", "WRONG  Redis is reached in the clear"),
        ("93.184.215.14", "rediss://cache.example:6379?ssl_cert_reqs=none", "well   Redis is"),
    ):
        place = (socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 0))
        monkeypatch.setattr("fundraiser.doctor.database._resolve", lambda _, at=place: [at])
        assert sentence in doctor(REDIS_URL=url), (address, url)


def test_an_account_that_owns_nothing_serves_readers_and_staff(
    doctor: Doctor, database_url: str, environment: dict[str, str]
) -> None:
    """With the rights that docs/deployment.md grants, as they stand there."""
    page = (ROOT / "docs" / "deployment.md").read_text()
    granted = page.split("```sql\n", 1)[1].split("```", 1)[0].replace("…", "only-for-the-tests")
    role = f"app_{uuid4().hex[:12]}"
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(granted.replace("fundraiser_app", role).encode())
    try:
        parts = urlsplit(database_url)
        place = f"127.0.0.1:{parts.port}{parts.path}"
        url = f"postgresql://{role}:only-for-the-tests@{place}"
        told = doctor(DATABASE_URL=url)
        assert "reads and writes rows, and owns no tables" in told
        assert "owns the tables" in doctor()
        app = create_app(load_settings(environment | {"DATABASE_URL": url}))
        email = hire(app.database, Role.MANAGER)
        client = app.test_client()
        assert sign_in(client, email).status_code == 303
        assert client.get("/staff/members", headers=PAGE).status_code == 200
        with app.app_context():
            bring_in(app.database, "steady.csv")
        with app.database.transaction() as session:
            assert read_balance(session).members > 0
            with pytest.raises(ProgrammingError, match="must be owner"):
                session.execute(text("DROP TABLE member"))
            session.rollback()
        app.database.dispose()
    finally:
        with psycopg.connect(database_url, autocommit=True) as owner:
            owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())
