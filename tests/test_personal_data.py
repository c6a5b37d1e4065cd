"""Personal data: each column is declared, and goes when and where the declaration says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from tests.conftest import ROOT

if TYPE_CHECKING:
    from demo.servers import Postgres, Valkey


_BEFORE = "0030"  # the migration before the one that hashes


def migrate(environment: dict[str, str], *command: str) -> None:
    subprocess.run(
        [Path(sys.executable).with_name("alembic"), *command],
        check=True,
        cwd=ROOT,
        env=os.environ | environment,
    )


def test_addresses_that_stand_in_the_database_are_hashed_or_replaced(
    servers: tuple[Postgres, Valkey], environment: dict[str, str]
) -> None:
    url = servers[0].create_database("before_the_hashes")
    environment = environment | {"DATABASE_URL": url}
    migrate(environment, "upgrade", _BEFORE)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO suppression VALUES"
            " ('olena@example.org', 'bounce', 'smtp; 550 <olena@example.org>: unknown', now()),"
            " ('petro@example.org', 'complaint', NULL, now())"
        )
        connection.execute(
            "INSERT INTO member (language, name, counting, turns, created_at)"
            " VALUES ('en', 'Olena Koval, merged', false, 0, now())"
        )
        migrate(environment, "upgrade", "head")
        rows = connection.execute("SELECT * FROM suppression ORDER BY ground").fetchall()
        names = connection.execute("SELECT name FROM member").fetchall()
        migrate(environment, "downgrade", _BEFORE)
        assert connection.execute("SELECT count(*) FROM suppression").fetchone() == (2,)
    assert [row[1:3] for row in rows] == [
        ("bounce", "smtp; 550 <[address]>: unknown"),
        ("complaint", None),
    ]
    assert len({row[0] for row in rows}) == 2
    assert all(len(row[0]) == 64 for row in rows)
    assert names == [(None,)]
