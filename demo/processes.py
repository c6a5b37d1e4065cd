"""Child processes that leave nothing behind."""

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path

import psutil

CHILD = Path(__file__).with_name("child.py")


class DemoError(Exception):
    """A sentence for the person who started the demonstration."""


def spawn(
    command: list[str],
    *,
    log: Path | None,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    user: pwd.struct_passwd | None = None,
    end_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, its output appended to ``log`` if there is one.

    It gets ``end_signal`` when this process dies, however that happens (Linux). Call it from a
    thread that lives as long as the process: the kernel watches the thread.
    """
    uid, gid = (user.pw_uid, user.pw_gid) if user else (-1, -1)
    wrapper = [sys.executable, "-I", "-S", str(CHILD)]
    identity = [str(number) for number in (int(end_signal), os.getpid(), uid, gid)]
    with log.open("ab") if log else nullcontext() as output:
        return subprocess.Popen(
            [*wrapper, *identity, *command],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end(
    children: Iterable[subprocess.Popen[bytes]],
    end_signal: signal.Signals = signal.SIGTERM,
    patience: float = 10,
) -> None:
    """End children with all their descendants: politely at first, by force after ``patience`` s."""
    children = list(children)
    # The number of a child that ended may be another process's by now.
    families = [family(child.pid) if child.poll() is None else [] for child in children]
    for child in children:
        if child.poll() is None:
            child.send_signal(end_signal)
    deadline = time.monotonic() + patience
    for child in children:
        with suppress(subprocess.TimeoutExpired):
            child.wait(max(0, deadline - time.monotonic()))
    for child, relatives in zip(children, families, strict=True):
        # The group outlives its leader for as long as one member lives.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        kill(relatives)
        child.wait()


def family(pid: int) -> list[psutil.Process]:
    """List all descendants of a running process."""
    with suppress(psutil.NoSuchProcess):
        return list(psutil.Process(pid).children(recursive=True))
    return []


def kill(processes: Iterable[psutil.Process]) -> None:
    processes = list(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=5)


def leftovers(is_ours: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """Find processes of an earlier start, whose launcher was killed."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and is_ours(process):
                found.append(process)
    return found


def wait_until(
    answers: Callable[[], bool],
    child: subprocess.Popen[bytes],
    *,
    name: str,
    log: Path,
    patience: float,
) -> None:
    """Wait until a child answers, for at most ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while not answers():
        if child.poll() is not None:
            raise DemoError(f"{name} ended while it was starting. Its log says why: {log}")
        if time.monotonic() > deadline:
            raise DemoError(f"{name} did not answer within {patience:.0f} seconds. Its log: {log}")
        time.sleep(0.05)
