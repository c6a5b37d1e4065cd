"""`make run` without make: a process, its state folder and what it prints."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

import psutil

from demo.processes import DemoError
from demo.settings import CHECKOUT, DemoSettings, check_ports

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable


class Demonstration:
    """A started demonstration of 200 members; ``environ`` is added to its environment."""

    def __init__(self, home: Path, port: int, **environ: str) -> None:
        self.port = port
        self.log = home / "terminal"
        self.home = home
        whole = os.environ | {"DEMO_HOME": str(home), "PORT": str(port), "DEMO_MEMBERS": "200"}
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "demo"],
                cwd=CHECKOUT,
                env=whole | environ,
                stdout=output,
                stderr=output,
            )

    @property
    def terminal(self) -> str:
        return self.log.read_text()

    def wait_until_ready(self) -> None:
        wait_for(lambda: "logs:" in self.terminal or self.process.poll() is not None, 120)
        assert self.process.poll() is None, self.terminal

    def address(self, label: str) -> str:
        """What the terminal says beside a label."""
        found = re.search(rf"^{re.escape(label)}: +(\S+)", self.terminal, re.MULTILINE)
        assert found, self.terminal
        return found[1]

    def family(self) -> list[psutil.Process]:
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def part(self, words: str) -> psutil.Process:
        """Find a part by the beginning of its program's arguments."""
        return next(
            process
            for process in psutil.Process(self.process.pid).children()
            if words in " ".join(process.cmdline())
        )

    def stop(self, number: signal.Signals) -> list[psutil.Process]:
        """Send a signal and return what still runs when the launcher has ended."""
        if self.process.poll() is not None:
            return []
        family = self.family()
        self.process.send_signal(number)
        self.process.wait(30)
        return [process for process in family if not gone(process.pid)]


def wait_for(condition: Callable[[], bool], patience: float = 30) -> None:
    deadline = monotonic() + patience
    while not condition():
        assert monotonic() < deadline, "waited in vain"
        sleep(0.05)


def remove_elsewhere(home: Path) -> None:
    """Remove what a demonstration started by root keeps outside of its private state folder."""
    for elsewhere in home.glob("*/elsewhere"):
        shutil.rmtree(elsewhere.readlink())


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def seven_free_ports() -> int:
    """Find the first of seven ports in a row that nobody has.

    They lie below those that systems hand out to whoever asks for any (32768 and above), because
    one of the seven would be somebody's before its part starts.
    """
    while True:
        first = 20_000 + secrets.randbelow(12_000)
        try:
            check_ports(DemoSettings(Path(), first, 0))
        except DemoError:
            continue
        return first
