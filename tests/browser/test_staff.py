"""The overview lives, and the staff look after themselves: by e-mail, by keyboard, on a phone."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pyotp
import pytest
from playwright.sync_api import expect

from fundraiser.db import now
from tests.browser.live import axe, join, new_address, read_email, sign_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first starts everything

HALF_A_MINUTE = timedelta(seconds=30)
PASSWORD = "four old horses battery"


def is_for_everybody(page: Page) -> None:
    """No wider than a phone, and nothing for axe: there in the dark, on a desk in the light."""
    for width, dark in ((320, True), (1280, False)):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if dark else "light")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert axe(page, {}) == []


def test_the_overview_goes_up_while_somebody_looks(window: Callable[..., Page], live: Live) -> None:
    page = window()
    sign_in(page, live)
    figures = page.locator("#figures")
    before = figures.get_attribute("data-version")
    shown = figures.locator("dd").first.inner_text()
    page.evaluate("window.stays = true")
    join(window(), live, new_address())
    expect(figures).not_to_have_attribute("data-version", str(before))
    expect(figures.locator("dd").first).not_to_have_text(shown)
    assert page.evaluate("window.stays")  # nothing was loaded anew


def test_the_overview_is_for_everybody_without_scripts_as_well(
    window: Callable[..., Page], live: Live
) -> None:
    page = window(java_script_enabled=False)
    sign_in(page, live)
    expect(page.locator("#how")).to_contain_text("How this is computed")
    page.get_by_text("Show as a table").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("row", name=re.compile("at this pace"))).to_be_visible()
    for heading in ("Income from memberships", "By country", "By where they came from"):
        expect(page.get_by_role("heading", name=heading)).to_be_visible()


def test_a_rate_is_entered_by_keyboard_and_a_wrong_one_is_said_beside_its_field(
    window: Callable[..., Page], live: Live
) -> None:
    page = window()
    sign_in(page, live)
    page.get_by_role("link", name="Exchange rates").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Currency").focus()
    page.keyboard.type("USD")
    page.keyboard.press("Tab")
    page.keyboard.type("much")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.locator("#rate-error")).to_have_text("Enter the rate in figures, like 0.8564.")
    is_for_everybody(page)
    page.get_by_role("alert").get_by_role("link").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Rate")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("0.75")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("The rate is kept.")
    is_for_everybody(page)


def test_somebody_is_invited_and_comes_in_with_a_second_factor(
    window: Callable[..., Page], live: Live
) -> None:
    boss, guest, email = window(), window(), new_address()
    sign_in(boss, live)
    boss.get_by_role("link", name="Staff", exact=True).click()
    invite_by_keyboard(boss, email)
    is_for_everybody(boss)
    take_up_invitation(guest, live, email)
    enter(guest, email)
    expect(guest.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(guest.get_by_role("link", name="Staff", exact=True)).to_have_count(0)

    codes = set_up_codes(guest)
    guest.get_by_role("button", name="Sign out", exact=True).click()
    enter(guest, email)
    expect(guest.get_by_role("heading", level=1)).to_have_text("Second step")
    is_for_everybody(guest)
    guest.get_by_label("Authenticator or recovery code").fill(
        codes.at(now() + HALF_A_MINUTE)
    )  # none counts twice
    guest.keyboard.press("Enter")
    expect(guest.get_by_role("heading", level=1)).to_have_text("Overview")

    boss.get_by_role("button", name="Close the account Taras Melnyk").click()
    expect(boss.get_by_role("status")).to_contain_text("can’t sign in any more")
    guest.reload()
    expect(guest.get_by_role("heading", level=1)).to_have_text("Staff sign-in")
    boss.get_by_role("link", name="What everybody did").click()
    expect(boss.get_by_role("row", name=re.compile("Turned the second factor on"))).to_be_visible()
    is_for_everybody(boss)


def invite_by_keyboard(page: Page, email: str) -> None:
    page.get_by_label("E-mail address").focus()
    page.keyboard.type(email)
    page.keyboard.press("Tab")
    page.keyboard.type("Taras Melnyk")
    page.keyboard.press("Tab")
    page.keyboard.type("Fin")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text(email)


def take_up_invitation(page: Page, live: Live, email: str) -> None:
    message = read_email(page, live, email, re.compile("You are invited to the dashboard"))
    address = message.get_by_role("link", name="Choose a password").get_attribute("href")
    assert address
    assert "/staff/new-password#" in address
    page.goto(address)
    expect(page.get_by_label("The key in your letter")).not_to_have_value("")
    assert "#" not in page.url
    is_for_everybody(page)
    page.get_by_label("New password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Your password is kept.")


def set_up_codes(page: Page) -> pyotp.TOTP:
    """Turn the second factor on; returns what the telephone's program knows then."""
    page.get_by_role("link", name="Taras Melnyk").click()
    page.get_by_role("button", name="Set up an authenticator app").click()
    expect(page.get_by_role("img", name="The key below")).to_be_visible()
    picture = page.locator(".qr")
    expect(picture).to_have_js_property("complete", value=True)
    assert picture.evaluate("picture => picture.naturalWidth") > 100
    is_for_everybody(page)
    codes = pyotp.TOTP(page.locator("code").inner_text())
    page.get_by_label("The six digits").fill("000000")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not the one of this moment")
    page.get_by_label("The six digits").fill(codes.at(now()))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="asked for a code")).to_be_visible()
    return codes


def test_a_forgotten_password_without_scripts(window: Callable[..., Page], live: Live) -> None:
    page = window(java_script_enabled=False)
    page.goto(live.staff)
    page.get_by_role("link", name="I have forgotten my password").click()
    page.get_by_label("E-mail address").fill("nobody@example.org")
    page.get_by_role("button", name="Send me a letter").click()
    expect(page.get_by_role("status")).to_contain_text("If nobody@example.org is on the staff")
    page.goto(f"{live.app}/staff/new-password#some-key")
    page.get_by_label("The key in your letter").fill("some-key")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_role("button", name="Keep this password").click()
    expect(page.get_by_role("alert")).to_contain_text("This is not a key of ours.")
    expect(page.get_by_label("The key in your letter")).to_have_value("some-key")


@pytest.mark.parametrize("path", ["/staff/forgotten", "/staff/new-password"])
def test_what_nobody_has_to_sign_in_for_is_for_everybody(
    window: Callable[..., Page], live: Live, path: str
) -> None:
    page = window()
    page.goto(f"{live.app}{path}")
    is_for_everybody(page)


def enter(page: Page, email: str) -> None:
    page.goto(re.sub("/staff/.*", "/staff/sign-in", page.url))
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
