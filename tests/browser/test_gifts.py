"""A gift from start to end, in browsers: given, told, accepted, run out; and the number."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from demo.servers import free_port
from fundraiser import db
from fundraiser.app import FundraiserApp, create_app
from fundraiser.widget.progress import ProgressLayer
from tests.browser.conftest import served
from tests.browser.live import axe, button_of, expect_at, field, fill_in, link_to
from tests.gifts import CODE, Shop, is_to
from tests.mail import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from fundraiser.config import Settings

pytestmark = pytest.mark.browser
GIVER, RECIPIENT = "giver@example.org", "petro@example.org"


@pytest.fixture
def app(stripe_settings: Settings) -> Iterator[FundraiserApp]:
    """The service on a port of its own, with the simulator behind it and its clock."""
    url = f"http://127.0.0.1:{free_port()}"
    app = create_app(replace(stripe_settings, public_url=url))
    with app.app_context(), served(ProgressLayer(app, app.database), url):
        yield app
    app.database.dispose()
    db.clock.follow(None)


def open_email(page: Page, shop: Shop, email: str, address: str) -> None:
    """Show the newest e-mail with a button to such an address to its reader, and follow it."""
    shop.work()
    found = [
        message
        for message in shop.postbox.emails
        if is_to(message, email) and address in text_of(message, "html")
    ]
    page.goto("about:blank")
    page.set_content(text_of(found[-1], "html"))
    there = page.locator(f"a[href*='{address}']").first.get_attribute("href")
    assert there
    page.goto(there)


def give(page: Page, url: str) -> None:
    """Buy a gift for tomorrow, from the join page to the card; nothing for axe on the way."""
    page.goto(f"{url}/join")
    page.locator("a[href*='/gift?']").click()
    expect(field(page, "day")).to_be_hidden()
    field(page, "tell", "card").check()
    expect(field(page, "recipient_email")).to_be_hidden()
    field(page, "tell", "now").check()
    page.locator("#pay").click()
    expect(link_to(page.get_by_role("alert"), "#recipient_name")).to_be_visible()
    assert axe(page, {}) == []
    field(page, "recipient_name").fill("Petro")
    field(page, "giver_name").fill("Olena")
    field(page, "tell", "day").check()
    field(page, "recipient_email").fill(RECIPIENT)
    tomorrow = field(page, "day").get_attribute("min")
    assert tomorrow
    field(page, "day").fill(tomorrow)
    expect(page.locator("#pay")).to_contain_text("£100")
    page.locator("#pay").dblclick()
    expect(page.locator(".total")).to_have_text("£100.00")
    fill_in(page, GIVER)
    page.locator("#submit").click()
    expect_at(page, f"{url}/gift/thanks?")
    expect(page.get_by_test_id("outcome-gift")).to_contain_text("Petro")
    assert CODE.fullmatch(page.locator(".gift-code").inner_text())
    assert axe(page, {}) == []
    page.locator("main a[href*='/gift/card/']").click()
    expect_at(page, f"{url}/gift/card/")
    assert axe(page, {}) == []


def accept(page: Page, shop: Shop) -> None:
    """Accept the gift on a phone, from the e-mail's button to the account."""
    open_email(page, shop, RECIPIENT, "/gift/redeem")
    expect(button_of(page, "/gift/redeem/e-mailed")).to_be_visible()
    assert axe(page, {}) == []
    button_of(page, "/gift/redeem/e-mailed").dblclick()
    expect(page.get_by_test_id("notice-gift")).to_be_visible()
    expect(page.get_by_test_id("member-number")).to_contain_text(re.compile(r"\b1$"))


def test_a_gift_is_given_for_a_day_told_accepted_and_runs_out(
    open_page: Callable[..., Page],
    shop: Shop,
    app: FundraiserApp,
) -> None:
    url = app.extensions["settings"].public_url
    giver, reader = open_page(), open_page(viewport={"width": 320, "height": 640})
    give(giver, url)
    shop.work()
    assert shop.number() == 0
    assert shop.emails_to(RECIPIENT) == []
    assert len(shop.emails_to(GIVER)) == 1

    shop.stripe.advance(days=1)
    accept(reader, shop)
    assert shop.number() == 1
    shop.work()
    assert len(shop.emails_to(GIVER)) == 2
    giver.reload()
    expect(giver.get_by_test_id("accepted")).to_be_visible()

    shop.stripe.advance(days=352)
    open_email(reader, shop, RECIPIENT, "/join")
    assert shop.number() == 1
    expect(field(reader, "tier", "member")).to_be_checked()
    expect(reader.locator("#pay")).to_contain_text("£100")
    shop.stripe.advance(days=14)
    shop.work()
    assert shop.number() == 0
    reader.goto(f"{url}/account")
    expect(reader).to_have_url(f"{url}/account/sign-in")
