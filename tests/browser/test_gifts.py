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
from tests.browser.live import axe, expect_at, fill_in
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
    app.database.engine.dispose()
    db.clock.follow(None)


def open_email(page: Page, shop: Shop, email: str, subject: str, button: str) -> None:
    """Show the newest e-mail of this subject to its reader, and follow its button."""
    shop.work()
    found = [
        message
        for message in shop.postbox.emails
        if is_to(message, email) and subject in str(message["Subject"])
    ]
    page.goto("about:blank")
    page.set_content(text_of(found[-1], "html"))
    address = page.get_by_role("link", name=button).get_attribute("href")
    assert address
    page.goto(address)


def give(page: Page, url: str) -> None:
    """Buy a gift for tomorrow, from the join page to the card; nothing for axe on the way."""
    page.goto(f"{url}/join")
    page.get_by_role("link", name="Give somebody a membership").click()
    page.locator("#pay").click()
    expect(page.get_by_role("alert")).to_contain_text("Enter the name of the person")
    assert axe(page, {}) == []
    page.get_by_label("Name of who gets it").fill("Petro")
    page.get_by_label("Your name").fill("Olena")
    page.get_by_label("By letter, on a day of your choice").check()
    page.get_by_label("Their e-mail address").fill(RECIPIENT)
    tomorrow = page.get_by_label("The day").get_attribute("min")
    assert tomorrow
    page.get_by_label("The day").fill(tomorrow)
    expect(page.locator("#pay")).to_have_text("Pay £100 for the gift")
    page.locator("#pay").dblclick()
    expect(page.locator(".total")).to_have_text("£100.00")
    fill_in(page, GIVER)
    page.locator("#submit").click()
    expect_at(page, f"{url}/gift/thanks?")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your gift for Petro is paid")
    assert CODE.fullmatch(page.locator(".gift-code").inner_text())
    assert axe(page, {}) == []
    page.get_by_role("link", name="Print the card").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("A gift for Petro")
    assert axe(page, {}) == []


def accept(page: Page, shop: Shop) -> None:
    """Accept the gift on a phone, from the e-mail's button to the account."""
    open_email(page, shop, RECIPIENT, "Olena gives you a membership", "Accept the gift")
    expect(page.get_by_label("The code")).to_have_value(CODE)
    page.get_by_role("button", name="Look at the gift").click()
    page.get_by_label("Your e-mail address").fill(RECIPIENT)
    assert axe(page, {}) == []
    page.get_by_role("button", name="Send me the letter").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Enter the six digits")
    shop.work()
    page.get_by_label("The six digits").fill(shop.digits_to(RECIPIENT))
    page.get_by_role("button", name="Accept the gift").dblclick()
    expect(page.get_by_role("status")).to_contain_text("The gift is yours")
    expect(page.get_by_role("heading", level=1)).to_have_text("You are member 1")


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
    assert shop.emails_to(GIVER) == ["Your gift for Petro: the code and the card"]

    shop.stripe.advance(days=1)
    accept(reader, shop)
    assert shop.number() == 1
    shop.work()
    assert shop.emails_to(GIVER)[-1] == "Petro has accepted your gift"
    giver.reload()
    expect(giver.get_by_role("status")).to_contain_text("This gift was accepted on")

    shop.stripe.advance(days=352)
    open_email(reader, shop, RECIPIENT, "Your gift from Olena ends on", "Stay a member")
    assert shop.number() == 1
    expect(reader.get_by_role("radio", name=re.compile("^Member"))).to_be_checked()
    expect(reader.locator("#pay")).to_have_text("Pay £100 a year")
    shop.stripe.advance(days=14)
    shop.work()
    assert shop.number() == 0
    reader.goto(f"{url}/account")
    expect(reader.get_by_role("button", name="Send me the letter")).to_be_visible()
