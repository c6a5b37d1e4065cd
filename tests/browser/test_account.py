"""Members look after themselves: each story from start to end, with the number after each step."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.account import ask, email_of, sign_in
from tests.browser.live import (
    axe,
    find_member,
    join,
    new_address,
    read_email,
    sign_in as sign_in_as_staff,
)
from tests.demonstration import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first starts everything


def test_a_member_upgrades_pauses_stops_and_leaves_when_what_is_paid_for_ends(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    join(page, live, email)
    sign_in(page, live, email)
    number = live.members()

    page.get_by_role("link", name="Change what you pay").click()
    page.get_by_label("Patron, £25").check()
    page.get_by_role("button", name="See what changes").click()
    expect(page.get_by_text(re.compile("You’ll be charged £1(5|4.99) now."))).to_be_visible()
    page.get_by_role("button", name=re.compile("^Pay £1(5|4.99) now, then £25 a month")).dblclick()
    expect(page.get_by_role("status")).to_have_text("You have changed what you pay.")
    expect(page.get_by_text("The next £25 will be charged on")).to_be_visible()
    assert live.members() == number

    page.get_by_role("link", name="Cancel your membership", exact=True).click()
    page.get_by_role("link", name="pause for a while").click()
    page.get_by_role("button", name="Pause your membership").click()
    expect(page.get_by_role("status")).to_contain_text("Your membership is paused.")
    assert live.members() == number  # until what was paid for ends
    page.get_by_role("button", name="Go on paying £25 a month").click()
    expect(page.get_by_role("status")).to_have_text("Your membership goes on.")
    assert live.members() == number

    page.get_by_role("link", name="Cancel your membership", exact=True).click()
    page.get_by_label("It costs too much").check()
    page.get_by_role("button", name="Cancel your membership").dblclick()
    expect(page.get_by_role("status")).to_contain_text("You have cancelled your membership.")
    assert live.members() == number
    (subscription,) = live.subscriptions_of(email)
    assert subscription["cancellation_details"]["feedback"] == "too_expensive"
    charges = live.at_stripe("charges", customer=subscription["customer"])
    assert [charge["amount"] for charge in charges] in ([1500, 1000], [1499, 1000])

    live.advance(days=32)
    page.reload()
    expect(page.get_by_role("button", name="Send me the letter")).to_be_visible()
    desk = window()
    sign_in_as_staff(desk, live)
    find_member(desk, live, email)

    def has_left() -> bool:
        desk.reload()
        return "Left on" in desk.locator("main").inner_text()

    wait_for(has_left)
    assert len(live.at_stripe("charges", customer=subscription["customer"])) == 2


def test_without_javascript_the_code_lets_in_and_an_email_stops(
    window: Callable[..., Page], live: Live
) -> None:
    email, page, reader = new_address(), window(java_script_enabled=False), window()
    join(page, live, email)
    number = live.members()
    ask(page, live, email)
    link, code = email_of(reader, live, email)
    page.goto(link)
    expect(page.get_by_text("Enter the six digits from the letter instead.")).to_be_visible()
    page.get_by_role("link", name="Enter the code").click()
    page.get_by_label("The six digits").fill("12345")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("Enter the six digits")
    page.get_by_label("The six digits").fill(f"{code[:3]} {code[3:]}")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^You are member"))

    message = read_email(reader, live, email, re.compile("^You are member"))
    stop = message.get_by_role("link", name="Cancel your membership", exact=True)
    stranger = window(java_script_enabled=False)
    stranger.goto(stop.get_attribute("href") or "")
    expect(stranger.get_by_role("heading", level=1)).to_have_text("Cancel your membership?")
    assert not live.subscriptions_of(email)[0]["cancel_at_period_end"]
    stranger.get_by_role("button", name="Cancel your membership").click()
    expect(stranger.get_by_role("status")).to_contain_text("You have cancelled")
    assert live.subscriptions_of(email)[0]["cancel_at_period_end"]
    assert live.members() == number


def test_on_another_telephone_the_link_asks_for_the_code_as_well(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    join(page, live, email)
    ask(page, live, email)
    telephone = window(viewport={"width": 320, "height": 640})
    link, code = email_of(telephone, live, email)
    telephone.goto(link)
    telephone.get_by_role("button", name="Sign in").click()
    expect(telephone.get_by_text("You asked for this letter in another browser.")).to_be_visible()
    telephone.keyboard.type(code)
    telephone.keyboard.press("Enter")
    expect(telephone.get_by_role("heading", level=1)).to_have_text(re.compile("^You are member"))
    page.goto(f"{live.app}/account")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your membership")


def test_an_erased_account_leaves_the_number_and_cannot_be_entered(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    join(page, live, email)
    number = live.members()
    sign_in(page, live, email)
    page.get_by_role("link", name="Erase your account").click()
    page.get_by_role("button", name="Erase your account").click()
    expect(page.get_by_role("alert")).to_contain_text("Tick the box")
    assert live.members() == number
    page.get_by_label("I want my account to be erased for good.").check()
    page.get_by_role("button", name="Erase your account").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your account is erased")
    assert live.members() == number - 1
    assert live.at_stripe("customers", email=email) == []
    page.goto(f"{live.app}/account")
    expect(page.get_by_role("button", name="Send me the letter")).to_be_visible()


def test_each_page_of_a_member_is_for_everybody(window: Callable[..., Page], live: Live) -> None:
    """Nothing for axe at 320 and 1280 pixels, in both lights, and nothing wider than a phone."""
    email, page = new_address(), window()
    join(page, live, email)
    found: dict[str, object] = {}

    def look(name: str) -> None:
        page.evaluate("document.fonts.ready")
        for width, light in ((320, "light"), (1280, "dark")):
            page.set_viewport_size({"width": width, "height": 700})
            page.emulate_media(color_scheme="dark" if light == "dark" else "light")
            if page.evaluate("document.documentElement.scrollWidth") > width:
                found[f"{name} {width}"] = "too wide"
            if wrong := axe(page, {}):
                found[f"{name} {width}"] = wrong

    page.goto(f"{live.app}/account/sign-in")
    look("sign-in")
    ask(page, live, email)
    look("code")
    page.goto(f"{live.app}/account/sign-in/link")
    look("broken link")
    sign_in(page, live, email)
    look("overview")
    home = page.url
    page.get_by_role("link", name="Change what you pay").click()
    page.get_by_label("Patron, £25").check()
    page.get_by_role("button", name="See what changes").click()
    look("price")
    page.goto(home)
    page.get_by_role("link", name="Cancel your membership", exact=True).click()
    look("stop")
    page.get_by_role("link", name="pause for a while").click()
    look("pause")
    page.goto(home)
    page.locator("table a").click()
    look("receipt")
    page.goto(f"{live.app}/account/invitation")
    page.get_by_role("button", name="Make my link").click()
    look("invitation")
    for path in ("details", "email", "erasure", "erased"):
        page.goto(f"{live.app}/account/{path}")
        look(path)
    page.goto(f"{live.app}/terms")
    look("terms")
    assert found == {}
