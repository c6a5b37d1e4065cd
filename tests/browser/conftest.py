"""A browser, the service on a port of its own, and pages of other sites that embed the widget."""

from __future__ import annotations

import re
import shutil
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from sqlalchemy import text
from werkzeug import Request, Response
from werkzeug.serving import make_server

from demo.servers import Postgres, free_port
from demo.settings import DemoSettings
from fundraiser.app import FundraiserApp, create_app
from fundraiser.campaigns.models import Campaign
from fundraiser.widget.progress import ProgressLayer
from tests.browser.live import Live
from tests.demonstration import Demonstration, remove_elsewhere, seven_free_ports
from tests.factories import make_campaign, make_tiers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from wsgiref.types import WSGIApplication

    from playwright.sync_api import ConsoleMessage

    from fundraiser.config import Settings

expect.set_options(timeout=20_000)  # a machine that does much else at the same time is slow

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
QUIET = [  # nothing that a browser does beside showing pages
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-site-isolation-trials",  # nor leaves a new page's process for another one at once
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    # The shell shows the same pages as Chromium does, for a third of the processor's time.
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("Chromium is missing. On Debian and Ubuntu: apt-get install chromium")
    with sync_playwright() as playwright:
        playwright.selectors.set_test_id_attribute("data-test")
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Makes pages, each in a context of its own with these options; any script error fails.

    Nothing moves unless a test asks for it: a colour that is on its way for 120 ms, as after the
    change from light to dark, is none that axe may measure.
    """
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_page(**options: Any) -> Page:
        context = chromium.new_context(**{"locale": "en-GB", "reduced_motion": "reduce", **options})
        context.set_default_timeout(10_000)
        contexts.append(context)
        context.on("weberror", lambda error: errors.append(str(error.error)))
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page(viewport={"width": 1280, "height": 900})


@dataclass
class Service:
    """The service under test, and its campaign 25000 of 16,234 members."""

    url: str
    app: FundraiserApp

    def set_members(self, members: int, *, version: int | None = None) -> None:
        """As if so many people counted; the ledger's version grows by one unless it is told."""
        with self.app.database.transaction() as session:
            session.execute(
                text(
                    "UPDATE ledger_head SET balance = :members, changed_at = now(), "
                    "version = coalesce(:version, version + 1)"
                ),
                {"members": members, "version": version},
            )

    def change(self, **values: Any) -> None:
        """Change the campaign, as staff would."""
        with self.app.database.transaction() as session:
            campaign = session.get_one(Campaign, "25000")
            for name, value in {"revision": campaign.revision + 1, **values}.items():
                setattr(campaign, name, value)


@pytest.fixture
def site(settings: Settings) -> Iterator[Site]:
    """Another site, on an origin of its own, and the service whose widget it embeds."""
    here, there = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    app = create_app(replace(settings, public_url=there))
    site = Site(here, Service(there, app))
    with app.database.transaction() as session:
        make_tiers(session)
        make_campaign(session, sites=[site.url])
    site.service.set_members(16_234)
    with served(site, here), served(ProgressLayer(app, app.database), there):
        yield site
    app.database.dispose()


@pytest.fixture
def service(site: Site) -> Service:
    return site.service


@dataclass
class Site:
    """Serves the pages that a test puts there."""

    url: str
    service: Service
    pages: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        body, headers = self.pages.get(Request(environ).path, ("", {}))
        return Response(body, headers=headers, mimetype="text/html")(environ, start_response)

    def put(
        self,
        body: str,
        *,
        lang: str = "en-GB",
        head: str = "",
        headers: dict[str, str] | None = None,
    ) -> str:
        """A page with the widget's one line of script; returns its address."""
        path = f"/article-{len(self.pages) + 1}"
        page = (
            f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>Article</title>'
            f'<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
            f'<script async src="{self.service.url}/widget.js"></script>{head}</head>'
            f"<body><main><h1>Article</h1>{body}</main></body></html>"
        )
        self.pages[path] = page, headers or {}
        return self.url + path

    def widget(self, variant: str = "card", attributes: str = "", campaign: str = "25000") -> str:
        """The one element, with a link as its child."""
        return (
            f'<membership-progress campaign="{campaign}" variant="{variant}" {attributes}>'
            f'<a href="{self.service.url}/campaigns/{campaign}">Our campaign</a>'
            "</membership-progress>"
        )


@contextmanager
def served(application: WSGIApplication, url: str) -> Iterator[None]:
    """Serve on the port of this address until the block ends."""
    server = make_server("127.0.0.1", int(url.rpartition(":")[2]), application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def live(
    tmp_path_factory: pytest.TempPathFactory, stripe_description: Path | None
) -> Iterator[Live]:
    """The demonstration, started once for the run; its logs may hold no traceback in the end."""
    del stripe_description  # in force before the simulator starts
    home = tmp_path_factory.mktemp("live")
    demonstration = Demonstration(home, seven_free_ports(), JOIN_LIMIT="1000 per minute")
    settings = DemoSettings(home, demonstration.port, members=200)
    try:
        demonstration.wait_until_ready()
        password = re.search(r"password (\S+)\)", demonstration.terminal)
        assert password, demonstration.terminal
        database = Postgres(
            home, settings.port_of("PostgreSQL"), settings.secrets["database_password"]
        ).url
        with psycopg.connect(database) as books:  # tests advance the clock, past December too
            later = "UPDATE campaign SET deadline = deadline + interval '9 years'"
            books.execute(f"{later} WHERE deadline > now()")
        yield Live(
            article=demonstration.address("newspaper article"),
            newspaper=demonstration.address("newspaper").rstrip("/"),
            app=demonstration.address("join page").partition("/join")[0],
            staff=demonstration.address("staff sign-in"),
            password=password[1],
            mailbox=demonstration.address("mailbox").rstrip("/"),
            simulator=demonstration.address("simulator").rstrip("/"),
            database=database,
            store=settings.store,
            clock=settings.clock_file,
        )
    finally:
        left = demonstration.stop(signal.SIGTERM)
        remove_elsewhere(home)
    assert left == []
    for log in (home / "logs").iterdir():
        assert "Traceback" not in log.read_text(), log


@pytest.fixture
def window(open_page: Callable[..., Page]) -> Iterator[Callable[..., Page]]:
    """Makes windows, each a reader's own; an error in a console fails, a refused policy too."""
    errors: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        # An answer with an error's status is what some tests are about.
        if message.type == "error" and "the server responded with a status" not in message.text:
            errors.append(f"{message.page and message.page.url}: {message.text}")

    def window(**options: Any) -> Page:
        page = open_page(**{"viewport": {"width": 1280, "height": 900}, **options})
        page.context.set_default_timeout(30_000)
        page.context.on("console", listen)
        return page

    yield window
    assert errors == []
