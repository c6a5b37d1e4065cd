"""An upgrade without a gap: the version before goes on with today's tables (docs/upgrading.md)."""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import requests
from bs4 import BeautifulSoup

from demo.servers import free_port
from fundraiser.app import create_app
from fundraiser.config import load_settings
from fundraiser.dashboard.overview.daily import refresh_if_due
from fundraiser.db import newest_migration
from fundraiser.newsroom.models import Role
from simulator.core.webhooks import signature
from tests.conftest import WEBHOOK_SECRET
from tests.deployment import (
    ROOT,
    lay_out_version_before,
    python,
    running,
)
from tests.factories import GRACE, Stripe
from tests.joining import form_of, thanks_of
from tests.simulator_parts import wait_until as happens
from tests.staff import LONDON, PASSWORD, hire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.mail import Postbox

pytestmark = pytest.mark.timeout(300)
PAGES = (
    *("/", "/join", "/gift", "/campaigns/25000", "/campaigns/25000/embed", "/how-we-count"),
    *("/campaigns/25000/progress", "/campaigns/25000/appearance", "/account/sign-in", "/readyz"),
)
STAFF_PAGES = ("/staff", "/staff/members", "/staff/emails", "/staff/money", "/staff/sources")


class Version:
    """A version's web and worker processes, as a reader and Stripe meet them."""

    def __init__(self, url: str, database_url: str, stripe: Stripe) -> None:
        self.url, self.database_url, self.stripe = url, database_url, stripe
        self.reader = requests.Session()
        self.reader.headers.update({"Origin": url, "Referer": f"{url}/", "Accept": "text/html"})

    def read(self, path: str) -> BeautifulSoup:
        answer = self.reader.get(f"{self.url}{path}", timeout=30)
        assert answer.status_code == 200, (path, answer.text)
        return BeautifulSoup(answer.text, "html.parser")

    def post(self, path: str, form: dict[str, str], **more: str) -> requests.Response:
        url = f"{self.url}{path}"
        return self.reader.post(url, data=form | more, allow_redirects=False, timeout=30)

    def members(self) -> int:
        url = f"{self.url}/campaigns/25000/progress"
        return int(requests.get(url, timeout=10).json()["members"])

    def tell(self, kind: str, **about: Any) -> int:
        """Deliver a webhook."""
        body = {"id": f"evt_{kind}", "type": kind, "created": int(time.time()), "livemode": False}
        raw = json.dumps(body | {"data": {"object": about}}).encode()
        header = {"Stripe-Signature": signature(raw, WEBHOOK_SECRET, int(time.time()))}
        url = f"{self.url}/webhooks/stripe"
        return requests.post(url, data=raw, headers=header, timeout=10).status_code

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query.encode()).fetchall()


@pytest.fixture
def before(
    database_url: str,
    environment: dict[str, str],
    stripe_url: str,
    postbox: Postbox,
    tmp_path: Path,
) -> Iterator[Version]:
    """The version before, started from its own files; today's code filled the tables."""
    tree, port = tmp_path / "before", free_port()
    lay_out_version_before(tree)
    with ExitStack() as stack:
        env = environment | {
            "DATABASE_URL": database_url,
            # Others of this run leave tasks in theirs that the version before doesn't know.
            "REDIS_URL": environment["REDIS_URL"].removesuffix("/0") + "/7",
            "STRIPE_API_BASE": stripe_url,
            "CLOCK_OFFSET_FILE": os.environ["SIMULATOR_CLOCK"],
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "SMTP_URL": postbox.url,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "WEB_CONCURRENCY": "1",
        }
        app = create_app(load_settings(env))
        stack.callback(app.database.dispose)
        stripe = Stripe(stripe_url, app)
        with app.app_context():
            stripe.open_shop()
        with app.database.transaction() as session:
            refresh_if_due(session, LONDON, GRACE)
        assert subprocess.run(
            python("-c", "import fundraiser, workers; print(fundraiser.__file__)"),
            cwd=tree,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.startswith(str(tree))
        worker = ("-m", "celery", "-A", "workers.app", "worker", "--concurrency", "1")
        stack.enter_context(
            running(
                python("-m", "fundraiser.granian"),
                python(*worker, "--without-gossip", "--without-mingle"),
                log=tmp_path / "log",
                ready=f"{env['PUBLIC_URL']}/readyz",
                cwd=tree,
                env=os.environ | env,
            )
        )
        yield Version(env["PUBLIC_URL"], database_url, stripe)
        log = (tmp_path / "log").read_text()
        assert "Traceback" not in log, log
        assert '"event": "unforeseen"' not in log, log


def test_the_version_before_goes_on_with_todays_tables(before: Version, postbox: Postbox) -> None:
    """Everything a reader, a member, Stripe and staff do while processes restart one by one."""
    for path in PAGES:
        before.read(path)
    page = before.post("/join", form_of(before.read("/join"))).headers["Location"]
    paid = before.stripe.pay(page, "olena@example.org")
    assert paid.headers["Location"].startswith(f"{before.url}/join/thanks")
    before.read(thanks_of(page))
    happens(lambda: before.members() == 1)
    happens(lambda: len(postbox.emails) == 1, 60)
    ((customer, reference),) = before.rows("SELECT customer_id, reference FROM membership")
    before.stripe.call("DELETE", f"subscriptions/{reference}")
    told = {"id": reference, "object": "subscription", "customer": customer}
    assert before.tell("customer.subscription.deleted", **told) == 204
    happens(lambda: before.members() == 0, 60)
    assert before.rows("SELECT id FROM sync_request WHERE due_at IS NULL") == []
    email = hire(before.stripe.app.database, Role.ADMIN)
    form = form_of(before.read("/staff/sign-in")) | {"email": email, "password": PASSWORD}
    assert before.post("/staff/sign-in", form).status_code == 303
    for path in STAFF_PAGES:
        before.read(path)


def test_todays_workers_do_nothing_while_the_tables_are_too_old(
    environment: dict[str, str], database_url: str
) -> None:
    """Called as the worker calls it, without Redis."""
    script = "from workers.tasks import beat; beat()"

    def heartbeats(tables: str) -> int:
        with psycopg.connect(database_url) as connection:
            connection.execute("UPDATE alembic_version SET version_num = %s", [tables])
        env = os.environ | environment | {"DATABASE_URL": database_url}
        subprocess.run(python("-c", script), cwd=ROOT, env=env, check=True)
        with psycopg.connect(database_url) as connection:
            found = connection.execute("SELECT count(*) FROM heartbeat WHERE name = 'worker'")
            return int(found.fetchall()[0][0])

    assert heartbeats(f"{int(newest_migration()) - 1:04}") == 0
    assert heartbeats(newest_migration()) == 1
