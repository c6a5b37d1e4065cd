"""Redis is gone: what is due still runs, in the beat process, until the workers are back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from demo.servers import free_port
from fundraiser.campaigns.models import Campaign
from fundraiser.jobs import Heartbeat, beat
from tests.deployment import python, running
from tests.factories import make_campaign, make_tiers
from tests.simulator_parts import wait_until

if TYPE_CHECKING:
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


@pytest.fixture
def env(environment: dict[str, str], database_url: str) -> dict[str, str]:
    """Nobody listens where Redis should be."""
    gone = f"redis://127.0.0.1:{free_port()}/0"
    return os.environ | environment | {"DATABASE_URL": database_url, "REDIS_URL": gone}


def test_without_redis_beat_does_what_is_due(
    database: Database, env: dict[str, str], tmp_path: Path
) -> None:
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
