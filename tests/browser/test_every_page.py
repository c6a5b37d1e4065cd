"""Each page can be read by everybody: by axe in both lights, at 320 pixels, in both languages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.live import (
    axe,
    find_member,
    join,
    new_address,
    pay,
    read_email,
    sign_in,
    to_checkout,
    width_of_large_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from tests.browser.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first starts everything

PAGES = {
    "front page": "{newspaper}/",
    "article": "{article}",
    "section": "{newspaper}/sections/politics",
    "missing article": "{newspaper}/articles/nothing",
    "membership": "{app}/",
    "campaign": "{app}/campaigns/25000?interval=year",
    "how we count": "{app}/how-we-count",
    "who is with us": "{app}/campaigns/25000/members",
    "frame": "{app}/campaigns/25000/embed",
    "join": "{app}/join?tier=patron&currency=EUR",
    "give once": "{app}/join?interval=once",
    "gift": "{app}/gift?years=2",
    "accept a gift": "{app}/gift/redeem",
    "wrong choice": "{app}/join?tier=baron&currency=XAU",
    "refused": "{app}/join?return=https://evil.example/",
    "not found": "{app}/nowhere",
    "came back": "{came_back}",
    "joined": "{joined}",
    "contributed": "{contributed}",
    "sign-in": "{app}/staff/sign-in",
    "staff": "{app}/staff",
    "staff members": "{app}/staff/members?q=a",
    "staff nobody": "{app}/staff/members?q=nobody-at-all",
    "staff member": "{member}",
    "staff labels": "{app}/staff/labels",
    "staff changes": "{app}/staff/changes",
    "staff overdue": "{app}/staff/overdue",
    "staff retention": "{app}/staff/retention",
    "staff income": "{app}/staff/income",
    "staff contributions": "{app}/staff/contributions",
    "staff money": "{app}/staff/money",
    "staff month": "{month}",
    "staff payout": "{payout}",
    "staff security": "{app}/staff/security",
    "staff service": "{app}/staff/service",
    "staff events": "{app}/staff/service/events",
    "withdrawal": "{app}/account/withdrawal",
    "staff statement": "{statement}",
    "mailbox": "{mailbox}/",
    "letter": "{letter}",
    "simulator": "{simulator}/",
    "checkout": "{checkout}",
    "paid checkout": "{paid}",
}


# In these nothing scrolls sideways at twice the size of text either.
READERS = {
    *("membership", "campaign", "how we count", "who is with us", "join", "give once", "gift"),
    *("accept a gift", "wrong choice", "refused", "not found", "came back", "joined"),
    "contributed",
}


@dataclass(frozen=True)
class Visited:
    """Addresses that are there only after somebody has been there, and the staff's cookies."""

    addresses: dict[str, str]
    cookies: Path


@pytest.fixture(scope="module")
def visited(
    chromium: Browser, live: Live, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Visited]:
    """A member, a contribution and a payment broken off; staff signed in."""
    context = chromium.new_context(locale="en-GB")
    context.set_default_timeout(30_000)
    page, email = context.new_page(), new_address()
    addresses = {name: getattr(live, name) for name in ("app", "article", "newspaper")}
    addresses |= {name: getattr(live, name) for name in ("mailbox", "simulator")}
    join(page, live, email)
    addresses["joined"] = page.url
    page.goto(f"{live.app}/join?interval=once&amount=12")
    to_checkout(page, live)
    addresses["paid"] = page.url
    pay(page, new_address())
    page.wait_for_url("**/join/thanks?**")
    addresses["contributed"] = page.url
    page.goto(f"{live.app}/join")
    to_checkout(page, live)
    addresses["checkout"] = page.url
    page.get_by_role("link", name="Cancel and go back").click()
    page.wait_for_url("**/join?canceled=**")
    addresses["came_back"] = page.url
    read_email(page, live, email, "welcome")
    addresses["letter"] = page.url
    sign_in(page, live)
    find_member(page, live, email)
    addresses["member"] = page.url
    page.locator("a[href*='/statements/']").first.click()
    addresses["statement"] = page.url
    for name, rows in (("month", "/staff/money"), ("payout", "/staff/payouts")):
        page.goto(f"{live.app}{rows}")
        page.locator("tbody a").first.click()
        addresses[name] = page.url
    cookies = tmp_path_factory.mktemp("staff") / "cookies.json"
    context.storage_state(path=cookies)
    yield Visited(addresses, cookies)
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_everybody(window: Callable[..., Page], visited: Visited, name: str) -> None:
    """In both languages no wider than a small phone; on it and in the dark nothing for axe."""
    address = PAGES[name].format(**visited.addresses)
    who = {"storage_state": visited.cookies} if name.startswith("staff") else {}
    for locale in ("uk-UA", "en-GB"):
        page = window(viewport={"width": 320, "height": 640}, locale=locale, **who)
        page.goto(address)
        for widget in page.locator("membership-progress").all():
            expect(widget.locator(".figure")).to_be_visible()
        page.evaluate("document.fonts.ready")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, locale
        if name in READERS:
            page.set_viewport_size({"width": 390, "height": 844})
            assert width_of_large_text(page) <= 390, locale
            page.set_viewport_size({"width": 320, "height": 640})
    # A frame's headings belong to the page around it.
    rules = {"page-has-heading-one": {"enabled": name != "frame"}}
    assert axe(page, rules) == []
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size({"width": 1280, "height": 900})
    assert axe(page, rules) == []


@pytest.mark.parametrize(("width", "height"), [(320, 568), (390, 844), (1280, 720)])
def test_the_button_to_pay_is_in_sight_and_covers_nothing_in_use(
    window: Callable[..., Page], live: Live, width: int, height: int
) -> None:
    page = window(viewport={"width": width, "height": height})
    page.goto(f"{live.app}/join")
    for seen in ("#pay", "#terms"):
        expect(page.locator(seen)).to_be_in_viewport(ratio=1)
    page.locator("main").focus()
    last = page.locator("main a").last
    while not last.evaluate("link => link === document.activeElement"):
        page.keyboard.press("Tab")
        assert page.evaluate(
            """() => {
              const { activeElement: used } = document;
              const { x, y, width, height } = used.getClientRects()[0];
              return used.contains(document.elementFromPoint(x + width / 2, y + height / 2));
            }"""
        ), page.evaluate("document.activeElement.outerHTML")


def test_a_page_loads_no_font_for_the_name_of_another_language(
    window: Callable[..., Page], live: Live
) -> None:
    page, fonts = window(), list[str]()
    page.on("request", lambda request: fonts.append(request.url.rpartition("/fonts/")[2]))
    page.goto(f"{live.app}/join")
    page.evaluate("document.fonts.ready")
    assert [font for font in fonts if "latin-wght" in font]
    assert [font for font in fonts if "cyrillic" in font] == []
