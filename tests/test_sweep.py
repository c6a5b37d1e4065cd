"""Redis is gone, full or frozen: what is due still runs, in the beat process."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import redis
from sqlalchemy import select

from demo.servers import free_port, throwaway
from fundraiser.campaigns.models import Campaign
from fundraiser.jobs import Heartbeat, beat
from tests.deployment import python, running
from tests.factories import make_campaign, make_tiers
from tests.simulator_parts import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from fundraiser.db import Database

pytestmark = pytest.mark.timeout(180)
# The Procfile's beat, with less patience.
BEAT = """
from datetime import timedelta
from workers import sweep
assert "workers.sweep" in sweep.app.conf.include
sweep.Sweep.__init__.__defaults__ = (timedelta(seconds=3), 0.2)
sweep.app.start(["beat", "--scheduler", "celery.beat:Scheduler"])
"""


@contextmanager
def gone() -> Iterator[str]:
    """Nobody listens where Redis should be."""
    yield f"redis://127.0.0.1:{free_port()}/0"


@contextmanager
def frozen() -> Iterator[str]:
    """It accepts connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@contextmanager
def full() -> Iterator[str]:
    """It answers, and has no room for one more task."""
    with throwaway() as (_postgres, valkey), redis.Redis.from_url(valkey.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        yield valkey.url


@pytest.mark.parametrize("broken", [gone, frozen, full])
def test_without_redis_beat_does_what_is_due(
    broken: Callable[[], AbstractContextManager[str]],
    database: Database,
    environment: dict[str, str],
    database_url: str,
    tmp_path: Path,
) -> None:
    with broken() as redis_url:
        env = os.environ | environment | {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        beat_does_what_is_due(database, env, tmp_path)


def beat_does_what_is_due(database: Database, env: dict[str, str], tmp_path: Path) -> None:
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)

    def looked() -> bool:
        with database.transaction() as session:
            return session.scalars(select(Campaign.most_members)).one() is not None

    log = tmp_path / "log"
    with running(python("-c", BEAT), log=log, env=env):
        wait_until(looked, 60)
        assert "sweep_begins" in log.read_text()
        with database.transaction() as session:
            assert session.get(Heartbeat, "worker") is None, "nobody takes it for a worker"

        def workers_are_back() -> bool:
            with database.transaction() as session:
                beat(session, "worker")
            return "sweep_ends" in log.read_text()

        wait_until(workers_are_back, 60)
