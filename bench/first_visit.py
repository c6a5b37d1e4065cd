"""A reader's first visit on slow 4G, in Chromium: seconds from tap to page, and pages' bytes.

The network of Lighthouse's "slow 4G" (150 ms, 1.6 Mbit/s down, 0.75 up), a phone's window, an empty
cache; the yardstick is the same way without this network. Bytes are those over the wire, fonts too.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from bench.freshness import demonstration
from demo.processes import DemoError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, CDPSession, Page

ROUNDS = 5
SLOW_4G = {
    "offline": False,
    "latency": 150,  # milliseconds
    "downloadThroughput": 1.6e6 / 8,  # bytes a second
    "uploadThroughput": 0.75e6 / 8,
}
PAGES = {
    "article": "",
    "membership": "/",
    "campaign": "/campaigns/25000",
    "join": "/join",
    "gift": "/gift",
    "how we count": "/how-we-count",
}


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise DemoError("Chromium is missing. On Debian and Ubuntu: apt-get install chromium")
    with demonstration() as demo, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        article = demo.address("newspaper article")
        app = demo.address("join page").partition("/join")[0]
        print(f"A reader's first visit, median of {ROUNDS}, seconds{'slow 4G':>14}{'no limit':>12}")
        slow, quick = (
            [join(browser, article, is_slow=is_slow) for _ in range(ROUNDS)]
            for is_slow in (True, False)
        )
        for number, step in enumerate(("the widget's button to the join page", "to Checkout")):
            one, other = (median(way[number] for way in ways) for ways in (slow, quick))
            print(f"  {step:<52}{one:>9.2f}{other:>12.2f}")
        print("A page's bytes in an empty cache, fonts among them")
        for name, path in PAGES.items():
            whole, fonts = weigh(browser, app + path if path else article)
            print(f"  {name:<52}{whole:>9,}{fonts:>12,}")
        browser.close()


@contextmanager
def phone(browser: Browser) -> Iterator[tuple[Page, CDPSession]]:
    with browser.new_context(viewport={"width": 390, "height": 844}, locale="en-GB") as context:
        page = context.new_page()
        tools = context.new_cdp_session(page)
        tools.send("Network.enable")
        yield page, tools


def join(browser: Browser, article: str, *, is_slow: bool) -> tuple[float, float]:
    """Seconds from the widget's button to the join page's, and from there to Checkout's fields."""
    with phone(browser) as (page, tools):
        if is_slow:
            tools.send("Network.emulateNetworkConditions", SLOW_4G)
        page.goto(article)
        button = page.locator("membership-progress[variant=card] a.join")
        button.scroll_into_view_if_needed()
        begun = monotonic()
        button.click(no_wait_after=True)
        pay = page.locator("#pay")
        pay.wait_for()
        there = monotonic()
        page.wait_for_load_state("load")
        paid = monotonic()
        pay.click(no_wait_after=True)
        page.locator("[name=cardNumber]").wait_for()
        return there - begun, monotonic() - paid


def weigh(browser: Browser, url: str) -> tuple[int, int]:
    """Bytes of a page over the wire until it is quiet, and those of its fonts."""
    with phone(browser) as (page, tools):
        fonts, sizes = set[str](), dict[str, int]()
        tools.on(
            "Network.responseReceived",
            lambda event: fonts.update({event["requestId"]} if event["type"] == "Font" else ()),
        )
        tools.on(
            "Network.loadingFinished",
            lambda event: sizes.update({event["requestId"]: int(event["encodedDataLength"])}),
        )
        page.goto(url)
        page.evaluate("document.fonts.ready")
        page.wait_for_timeout(1_000)  # the widget's requests
        return sum(sizes.values()), sum(sizes.get(font, 0) for font in fonts)


if __name__ == "__main__":
    main()
