"""The real parts that the tests share: PostgreSQL, Valkey and the Stripe simulator."""

from __future__ import annotations

import contextvars
import gc
import os
import sqlite3
import subprocess
import sys
import uuid
from collections import Counter
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest
from argon2 import PasswordHasher
from flask.testing import FlaskClient
from jinja2 import BytecodeCache, FileSystemBytecodeCache
from werkzeug.routing import Rule
from xdist.scheduler import LoadFileScheduling

from demo.servers import free_port, throwaway
from fundraiser import db
from fundraiser.app import FundraiserApp, create_app
from fundraiser.config import Settings, load_settings
from fundraiser.newsroom import passwords
from fundraiser.payments import queue
from fundraiser.security import limiter
from tests.deployment import has_version_before
from tests.factories import Stripe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session
    from werkzeug.test import TestResponse

    from demo.servers import Postgres, Valkey
    from fundraiser.db import Database

# Fixtures that several files share; a module stands behind those that it imports.
pytest_plugins = (
    "tests.clock",
    "tests.receiver",
    "tests.mail",
    "tests.gifts",
    "tests.staff",
    "tests.members",
    "tests.member_pages",
    "tests.simulator_parts",
    "tests.stripe_description",
    "tests.held_connections",
)
ROOT = Path(__file__).parent.parent
# A clone without history has no version before this one to start.
collect_ignore = [] if has_version_before() else ["test_upgrade.py"]
WEBHOOK_SECRET = "whsec_tests"


def pytest_report_header() -> list[str]:
    return [f"left out: {name}, as git's history is missing" for name in collect_ignore]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that ask for most time: begun last, one would go on alone."""
    asked: Counter[Path] = Counter()
    for item in items:
        mark = item.get_closest_marker("timeout")
        asked[item.path] += mark.args[0] if mark else 0
    items.sort(key=lambda item: -asked[item.path])


def pytest_collection_finish() -> None:
    """Spare the garbage collector what lives until the end: it took a quarter of the run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


class OneDemonstration(LoadFileScheduling):  # type: ignore[misc]  # xdist is untyped
    """Each file goes to one process, and all that happen in the demonstration to the same one.

    Others would start one of their own: a dozen programs that are busy even while nobody asks.
    """

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "live" if _happens_live(file) else file


@cache
def _happens_live(file: str) -> bool:
    return "live: Live" in (ROOT / file).read_text()


@pytest.hookimpl(optionalhook=True)  # so that pytest also runs with -p no:xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneDemonstration | None:
    return OneDemonstration(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[Postgres, Valkey]]:
    """A PostgreSQL and a Valkey for the whole run."""
    with throwaway() as started:
        yield started


@contextmanager
def _simulator_in(folder: Path) -> Iterator[str]:
    """A simulator that delivers no webhooks by itself, with its store and its clock's file here."""
    port = free_port()
    command = [sys.executable, "-m", "simulator", "--port", str(port)]
    command += ["--store", str(folder / "store.sqlite"), "--clock-file", str(folder / "clock")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        Stripe.wait_until_it_answers(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def stripe_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A simulator for the whole run."""
    folder = tmp_path_factory.mktemp("simulator")
    with _simulator_in(folder) as url:
        os.environ["SIMULATOR_CLOCK"] = str(folder / "clock")
        yield url


@pytest.fixture(scope="session")
def second_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("second-simulator")
    with _simulator_in(folder) as url:
        yield url, folder


@pytest.fixture
def empty_stripe_url(second_simulator: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> str:
    """A simulator that has nothing yet: for tests of all that Stripe lists."""
    url, folder = second_simulator
    monkeypatch.setenv("SIMULATOR_CLOCK", str(folder / "clock"))
    with closing(sqlite3.connect(folder / "store.sqlite", timeout=10)) as store, store:
        for table in ("objects", "events", "deliveries", "idempotency"):
            store.execute(f"DELETE FROM {table}")  # noqa: S608 - the four above
    return url


@pytest.fixture(scope="session")
def environment(servers: tuple[Postgres, Valkey]) -> dict[str, str]:
    """The environment of the service under test, but for its database."""
    postgres, valkey = servers
    return {
        "DATABASE_URL": postgres.url,
        "REDIS_URL": valkey.url,
        "STRIPE_API_KEY": "sk_test_simulator",
        "STRIPE_API_BASE": "http://127.0.0.1:9",
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "STRIPE_CALLS_PER_SECOND": "0",
        "SMTP_URL": "smtp://127.0.0.1:9",
        "SECRET_KEY": "only-for-the-tests-0123456789-abcdefgh",
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "NEWSROOM_TIMEZONE": "Europe/London",
        "NEWSROOM_URL": "http://127.0.0.1:8001",
        "JOIN_LIMIT": "1000 per minute",
    }


@pytest.fixture(scope="session")
def template(servers: tuple[Postgres, Valkey], environment: dict[str, str]) -> str:
    """A migrated database that each test gets a copy of."""
    url = servers[0].create_database("template")
    subprocess.run(
        [Path(sys.executable).with_name("alembic"), "upgrade", "head"],
        check=True,
        cwd=ROOT,
        env=os.environ | environment | {"DATABASE_URL": url},
    )
    return "template"


@pytest.fixture
def database_url(servers: tuple[Postgres, Valkey], template: str) -> Iterator[str]:
    """A database of the test's own."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(servers[0].url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        yield servers[0].url_of(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(environment: dict[str, str], database_url: str) -> Settings:
    """The service's settings; Stripe is not there unless the test asks for ``stripe``."""
    return load_settings(environment | _of_one_test(database_url))


@pytest.fixture
def stripe_settings(environment: dict[str, str], database_url: str, stripe_url: str) -> Settings:
    """The service's settings with the simulator as Stripe, and its clock."""
    return load_settings(
        environment
        | _of_one_test(database_url)
        | {"STRIPE_API_BASE": stripe_url, "CLOCK_OFFSET_FILE": os.environ["SIMULATOR_CLOCK"]}
    )


def _of_one_test(database_url: str) -> dict[str, str]:
    """A database and a secret: attempts are counted in Redis under hashes keyed with the secret,
    so no test uses up what another is allowed."""
    return {"DATABASE_URL": database_url, "SECRET_KEY": f"only-for-{urlsplit(database_url).path}"}


@pytest.fixture(autouse=True)
def limits_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known devices are counted by a row's number, which all tests' databases share."""
    monkeypatch.setattr(limiter, "_key_prefix", uuid.uuid4().hex)


class Browser(FlaskClient):
    """A client whose requests know nothing of the app context that the test holds open.

    Flask would share its ``g`` with them, and with it who is signed in.
    """

    def open(self, *args: Any, **values: Any) -> TestResponse:
        return contextvars.Context().run(super().open, *args, **values)


@pytest.fixture(autouse=True)
def events_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event's customer is due at once, in this process: few tests have another to wait for."""
    monkeypatch.setattr(queue, "MERGE", timedelta())


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Hashes of one MiB instead of 64: hundreds of tests sign somebody in."""
    with pytest.MonkeyPatch.context() as patch:
        quick = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
        patch.setattr(passwords, "_hasher", quick)
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_routes() -> Iterator[None]:
    """An address is compiled once for the run: for each test's app it took half of its making."""
    compile_builder = Rule._compile_builder  # noqa: SLF001 - nothing public is so far inside
    kept: dict[tuple[object, ...], Any] = {}

    def compile_once(self: Rule, append_unknown: bool = True) -> Any:  # noqa: FBT001, FBT002 - Werkzeug's
        key = (self.rule, str(self.defaults), self.subdomain, append_unknown)
        if key not in kept:
            kept[key] = compile_builder(self, append_unknown)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", compile_once)
        yield


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> BytecodeCache:
    """Templates are compiled once for the run, not once for each test's app."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def app(request: pytest.FixtureRequest, compiled: BytecodeCache) -> Iterator[FundraiserApp]:
    """The app; with the simulator behind it where the test also asks for ``stripe``."""
    wants_stripe = "stripe" in request.fixturenames
    app = create_app(request.getfixturevalue("stripe_settings" if wants_stripe else "settings"))
    app.jinja_env.bytecode_cache = compiled
    app.test_client_class = Browser
    with app.app_context():
        yield app
    app.database.dispose()
    db.clock.follow(None)


@pytest.fixture
def client(app: FundraiserApp) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def database(app: FundraiserApp) -> Database:
    return app.database


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """One transaction for the whole test, as in a request or a task; committed at its end."""
    with database.transaction() as session:
        yield session


@pytest.fixture
def stripe(stripe_url: str, app: FundraiserApp) -> Stripe:
    """Stripe as seen from the other side: readers who pay, and events that arrive."""
    return Stripe(stripe_url, app)


@pytest.fixture
def open_shop(stripe: Stripe) -> None:
    """The tiers are at Stripe, and the campaign is open."""
    stripe.open_shop()
