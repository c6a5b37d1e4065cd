"""Beat as the Procfile starts it, and its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from tests.demonstration import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
BEAT = re.search(r"^beat: celery (.*)$", (ROOT / "Procfile").read_text(), re.MULTILINE)


@pytest.fixture
def valkey(environment: dict[str, str]) -> Iterator[redis.Redis]:
    """The broker, which answers again after the test."""
    with redis.Redis.from_url(environment["REDIS_URL"]) as client:
        client.ping()
        yield client
        client.client_unpause()


@pytest.mark.timeout(180)
def test_sigterm_ends_beat_in_the_middle_of_a_tick_without_a_traceback(
    environment: dict[str, str], database_url: str, valkey: redis.Redis, tmp_path: Path
) -> None:
    """Celery's own handler closes the connection that the tick reads: an error, and no end."""
    assert BEAT
    log = tmp_path / "beat.log"
    command = [
        sys.executable,
        "-m",
        "celery",
        *BEAT[1].replace("${LOG_LEVEL:-INFO}", "INFO").split(),
    ]
    with log.open("wb") as output:
        beat = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | environment | {"DATABASE_URL": database_url},
            stdout=output,
            stderr=output,
        )

    try:
        wait_for(lambda: "Sending due task" in log.read_text(), patience=90)
        valkey.client_pause(30_000, all=False)  # whatever writes waits
        time.sleep(6)  # there is one every five seconds: now one waits for an answer
        beat.send_signal(signal.SIGTERM)
        assert beat.wait(15) == 0
    finally:
        beat.kill()
        beat.wait()
    assert "Traceback" not in log.read_text(), log.read_text()
