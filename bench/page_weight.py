"""What the widget costs an article: bytes, requests, layout shift, blocking time, in Chromium.

The made-up newspaper's article (a banner at the top, a card in the text), on another origin than
the service, once without the widget and once with it, in a phone's window, with a processor slowed
down four times. Bytes and requests are what came over the wire until the number stood there.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright
from werkzeug import Request, Response
from werkzeug.serving import WSGIRequestHandler, make_server

from bench.progress import ADDRESS, fill
from bench.servers import HOST, environment, migrate, procfile_web
from demo.newspaper.pages import create_newspaper
from demo.processes import DemoError
from demo.servers import free_port, throwaway
from fundraiser.config import load_settings
from fundraiser.db import Database
from fundraiser.widget.heights import reserve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from playwright.sync_api import Browser

ROUNDS = 3
WATCHED = 7_000  # milliseconds after the page is loaded, so that some looks at the number count too
LONG_TASK = 50  # milliseconds
WIDGET = re.compile(
    rb"<script src=[^>]*widget\.js[^>]*></script>|<membership-progress.*?</membership-progress>",
    re.DOTALL,
)
OBSERVE = """
  window.shift = 0;
  new PerformanceObserver(list => list.getEntries().forEach(entry => {
    shift += entry.hadRecentInput ? 0 : entry.value;
  })).observe({ type: 'layout-shift', buffered: true });
"""


@dataclass(frozen=True, slots=True)
class Weight:
    """``size`` in bytes over the wire; times in milliseconds.

    ``blocking`` is what tasks take beyond 50 each. Times are the main thread's own, so that
    whatever else the machine does is not in them.
    """

    size: float
    requests: float
    shift: float
    blocking: float
    script: float
    work: float
    looks: float


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise DemoError("Chromium is missing. On Debian and Ubuntu: apt-get install chromium")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        env = environment(*stack.enter_context(throwaway()), free_port())
        migrate(env)
        database = Database(load_settings(env))
        stack.callback(database.engine.dispose)
        fill(database)
        stack.enter_context(procfile_web(env, folder, ADDRESS))
        newspaper = create_newspaper(env["PUBLIC_URL"])
        front = newspaper.test_client().get("/").text
        slug = re.findall(r'href="/articles/([^"]+)"', front)[0]
        pages = {
            "without": stack.enter_context(served(Newspaper(newspaper, has_widget=False))),
            "with it": stack.enter_context(served(Newspaper(newspaper, has_widget=True))),
        }
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        stack.callback(browser.close)
        weights: dict[str, list[Weight]] = {name: [] for name in pages}
        parts: dict[str, int] = {}
        for _ in range(ROUNDS):
            for name, url in pages.items():
                weight, sizes = weigh(browser, f"{url}/articles/{slug}")
                weights[name].append(weight)
                parts |= {
                    address.removeprefix(env["PUBLIC_URL"]): size
                    for address, size in sizes.items()
                    if address.startswith(env["PUBLIC_URL"])
                }
    report(weights, parts)


class Newspaper:
    """The newspaper, as it is before it has the widget, or with the line of CSS of the snippet."""

    def __init__(self, app: WSGIApplication, *, has_widget: bool) -> None:
        self._app = app
        self._has_widget = has_widget

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = Response.from_app(self._app, environ)
        response.direct_passthrough = False
        if not self._has_widget:
            response.data = WIDGET.sub(b"", response.data)
        elif Request(environ).path.endswith("ledger.css"):
            response.data += "".join(_line(variant) for variant in ("card", "compact")).encode()
        return response(environ, start_response)


def _line(variant: str) -> str:
    return re.sub("</?style>", "", reserve(variant)).replace(
        "membership-progress {", f"membership-progress[variant={variant}] {{"
    )


class _Quiet(WSGIRequestHandler):
    def log(self, *_values: object) -> None:
        """Nobody reads who asked for what."""


@contextmanager
def served(application: WSGIApplication) -> Iterator[str]:
    server = make_server(HOST, 0, application, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def weigh(browser: Browser, url: str) -> tuple[Weight, dict[str, int]]:
    """Load the page as a first visit; returns also the bytes of each address."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="en-GB")
    page = context.new_page()
    page.add_init_script(OBSERVE)
    tools = context.new_cdp_session(page)
    asked: dict[str, str] = {}
    sizes: dict[str, int] = {}
    tools.on(
        "Network.requestWillBeSent", lambda e: asked.update({e["requestId"]: e["request"]["url"]})
    )
    tools.on(
        "Network.loadingFinished",
        lambda e: sizes.update({e["requestId"]: int(e["encodedDataLength"])}),
    )
    for command, values in (
        ("Network.enable", {}),
        ("Performance.enable", {"timeDomain": "threadTicks"}),  # what others do does not count
        ("Emulation.setCPUThrottlingRate", {"rate": 4}),
    ):
        tools.send(command, values)
    browser.start_tracing(page=page, categories=["disabled-by-default-devtools.timeline"])
    page.goto(url, wait_until="load")
    page.wait_for_timeout(WATCHED)
    metrics = {m["name"]: m["value"] for m in tools.send("Performance.getMetrics")["metrics"]}
    blocking = _blocking(browser.stop_tracing())
    shift, widgets = page.evaluate(
        "[shift, document.querySelectorAll('membership-progress').length]"
    )
    if widgets:
        assert page.locator("membership-progress .figure").first.inner_text() == "16,234"
    looks = [key for key, address in asked.items() if address.endswith("/progress")][1:]
    context.close()
    counted = [key for key in asked if key not in looks]
    weight = Weight(
        size=sum(sizes.get(key, 0) for key in counted),
        requests=len(counted),
        shift=shift,
        blocking=blocking,
        script=metrics["ScriptDuration"] * 1000,
        work=metrics["TaskDuration"] * 1000,
        looks=sum(sizes.get(key, 0) for key in looks) / max(len(looks), 1),
    )
    return weight, {asked[key]: sizes.get(key, 0) for key in counted}


def _blocking(trace: bytes) -> float:
    """What the tasks of pages' main threads took beyond 50 ms each, by the threads' own clocks."""
    events = json.loads(trace)["traceEvents"]
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks: list[float] = [
        event.get("tdur", 0) / 1000
        for event in events
        if event["name"] == "RunTask" and (event["pid"], event["tid"]) in mains
    ]
    assert any(tasks), "the trace holds no task with its time"
    return sum(max(task - LONG_TASK, 0) for task in tasks)


def report(weights: dict[str, list[Weight]], parts: dict[str, int]) -> None:
    """Medians, and what the widget adds."""
    without, with_it = (
        Weight(*(median(values) for values in zip(*map(astuple, found), strict=True)))
        for found in weights.values()
    )
    print(f"An article without and with the widget, median of {ROUNDS} loads in an empty cache")
    print(f"{'':<32}{'without':>12}{'with it':>12}{'the widget':>12}")
    for name, label, form in (
        ("size", "bytes", ",.0f"),
        ("requests", "requests", ".0f"),
        ("shift", "layout shift (CLS)", ".3f"),
        ("script", "script, ms", ".1f"),
        ("work", "all work of the main thread, ms", ".0f"),
        ("blocking", "blocking time, ms", ".0f"),
    ):
        one, other = getattr(without, name), getattr(with_it, name)
        print(f"{label:<32}{one:>12{form}}{other:>12{form}}{other - one:>12{form}}")
    for address, size in sorted(parts.items()):
        print(f"  {address:<52}{size:>8,} bytes")
    print(f"  {'each later look at the number':<52}{with_it.looks:>8,.0f} bytes")


if __name__ == "__main__":
    main()
