"""A worker ends in its time after SIGTERM, whatever has become of PostgreSQL and Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest
from celery import Celery

from demo.servers import throwaway
from tests.conftest import ROOT
from tests.demonstration import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from demo.servers import Postgres, Valkey

# The Procfile's worker, with less patience.
WORKER = """
from workers import app
app.LONGEST_END = 8.0
app.app.start(["worker", "--concurrency", "2", "--without-gossip", "--without-mingle",
               "--loglevel", "INFO"])
"""


@pytest.fixture
def own_servers() -> Iterator[tuple[Postgres, Valkey, list[psutil.Process]]]:
    """A PostgreSQL and a Valkey of the test's own, and their processes, which go on afterwards."""
    here = psutil.Process()
    before = set(here.children(recursive=True))
    with throwaway() as (postgres, valkey):
        processes = list(set(here.children(recursive=True)) - before)
        try:
            yield postgres, valkey, processes
        finally:
            for process in processes:
                with suppress(psutil.Error):
                    process.resume()


def freeze(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.suspend()


@pytest.mark.timeout(180)
def test_sigterm_ends_a_worker_whose_servers_are_frozen(
    environment: dict[str, str],
    own_servers: tuple[Postgres, Valkey, list[psutil.Process]],
    tmp_path: Path,
) -> None:
    postgres, valkey, processes = own_servers
    env = os.environ | environment
    env |= {"DATABASE_URL": postgres.create_database("worker"), "REDIS_URL": valkey.url}
    subprocess.run([sys.executable, "-m", "fundraiser", "migrate"], cwd=ROOT, env=env, check=True)
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER], cwd=ROOT, env=env, stdout=output, stderr=output
        )
    children: list[psutil.Process] = []
    try:
        wait_for(lambda: " ready." in log.read_text(), patience=90)
        children = psutil.Process(worker.pid).children(recursive=True)
        # PostgreSQL has a process for each connection too.
        processes += {one for found in processes for one in found.children(recursive=True)}
        freeze(one for one in processes if "postgres" in one.name())
        with Celery(broker=valkey.url, set_as_current=False) as sender:
            sender.send_task("retain", queue="clock", ignore_result=True)
        wait_for(lambda: "Task retain" in log.read_text(), patience=30)
        freeze(processes)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 1
        assert "worker_end_forced" in log.read_text()
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive
    finally:
        worker.kill()
        worker.wait()
        for child in children:
            with suppress(psutil.Error):
                child.kill()
