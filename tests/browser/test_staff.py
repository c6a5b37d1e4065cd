"""The overview lives, and the staff look after themselves: by e-mail, by keyboard, on a phone."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pyotp
import pytest
from playwright.sync_api import expect

from fundraiser.db import now
from tests.browser.live import (
    axe,
    button_of,
    expect_at,
    field,
    join,
    link_to,
    new_address,
    read_email,
    sign_in,
)

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
        page.emulate_media(
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",  # no colour halfway
        )
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


def test_a_page_that_is_left_open_shows_nothing_once_its_session_has_ended(
    window: Callable[..., Page], live: Live
) -> None:
    desk = window()
    sign_in(desk, live)
    other = desk.context.new_page()
    other.goto(f"{live.app}/staff/members")
    button_of(desk, "/staff/sign-out").click()
    expect(other).to_have_url(re.compile("/staff/sign-in"))
    # And where it ends by itself, or by somebody else's hand, when the page is looked at again.
    sign_in(desk, live)
    desk.goto(f"{live.app}/staff/members")
    with psycopg.connect(live.database) as books:
        books.execute("DELETE FROM staff_session")
    desk.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(desk).to_have_url(re.compile("/staff/sign-in"))


def test_the_overview_is_for_everybody_without_scripts_as_well(
    window: Callable[..., Page], live: Live
) -> None:
    page = window(java_script_enabled=False)
    sign_in(page, live)
    forecast = page.get_by_test_id(re.compile("^(forecast|too-young)$"))
    expect(forecast.first).to_be_visible()
    page.locator(".chart-table summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".chart-table[open] tbody tr").first).to_be_visible()
    for heading in page.locator("h2#income, h2[id^=by-]").all():
        expect(heading).to_be_visible()


def test_a_charts_cursor_follows_keys_and_pointers_and_its_labels_fit_a_phone(
    window: Callable[..., Page], live: Live
) -> None:
    page = window()
    sign_in(page, live)
    page.goto(f"{live.app}/staff?range=28")
    curve, bars = page.get_by_role("slider").all()
    newest = curve.get_attribute("aria-valuetext")
    assert newest
    curve.focus()
    page.keyboard.press("ArrowLeft")
    expect(curve).not_to_have_attribute("aria-valuetext", newest)
    page.keyboard.press("End")
    expect(curve).to_have_attribute("aria-valuetext", newest)
    page.keyboard.press("Home")
    first = curve.get_attribute("aria-valuetext")
    plots, said = page.locator(".chart-plot"), page.locator(".chart-said")
    expect(plots.first.locator(".cursor")).to_have_attribute("x1", "0%")
    # A pointer, and a finger.
    plots.last.hover(position={"x": 4, "y": 50})
    oldest = said.last.inner_text()
    expect(bars).to_have_attribute("aria-valuetext", oldest)
    box = plots.last.bounding_box()
    assert box
    plots.last.dispatch_event("pointerdown", {"clientX": box["x"] + box["width"] - 4})
    expect(said.last).not_to_have_text(oldest)
    assert said.first.inner_text() == first
    is_for_everybody(page)
    page.goto(f"{live.app}/staff")
    for width in (320, 390):
        page.set_viewport_size({"width": width, "height": 900})
        expect(page.locator(".chart-ends-below").first).to_be_visible()


def test_a_rate_is_entered_by_keyboard_and_a_wrong_one_is_said_beside_its_field(
    window: Callable[..., Page], live: Live
) -> None:
    page = window()
    sign_in(page, live)
    link_to(page, "/staff/rates").first.focus()
    page.keyboard.press("Enter")
    field(page, "currency").focus()
    page.keyboard.type("USD")
    page.keyboard.press("Tab")
    page.keyboard.type("much")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.locator("#rate-error")).to_be_visible()
    is_for_everybody(page)
    page.get_by_role("alert").get_by_role("link").focus()
    page.keyboard.press("Enter")
    expect(field(page, "rate")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("0.75")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_be_visible()
    is_for_everybody(page)


def test_somebody_is_invited_and_comes_in_with_a_second_factor(
    window: Callable[..., Page], live: Live
) -> None:
    boss, guest, email = window(), window(), new_address()
    sign_in(boss, live)
    link_to(boss, "/staff/team").click()
    invite_by_keyboard(boss, email)
    is_for_everybody(boss)
    take_up_invitation(guest, live, email)
    enter(guest, email)
    expect(guest).to_have_url(f"{live.app}/staff")
    expect(link_to(guest, "/staff/team")).to_have_count(0)

    codes = set_up_codes(guest)
    button_of(guest, "/staff/sign-out").first.click()
    enter(guest, email)
    expect(guest).to_have_url(f"{live.app}/staff/sign-in/code")
    is_for_everybody(guest)
    field(guest, "code").fill(codes.at(now() + HALF_A_MINUTE))  # none counts twice
    guest.keyboard.press("Enter")
    expect(guest).to_have_url(f"{live.app}/staff")

    row = boss.get_by_role("row", name="Taras Melnyk")
    row.locator("details:has(form[action$='/closing']) > summary").click()
    row.locator("form[action$='/closing'] button").click()
    expect(row.locator("form[action$='/opening']")).to_be_visible()
    guest.reload()
    expect_at(guest, f"{live.app}/staff/sign-in")
    link_to(boss, "/staff/audit-log").click()
    expect(boss.get_by_role("row", name="Taras Melnyk").first).to_be_visible()
    is_for_everybody(boss)


def invite_by_keyboard(page: Page, email: str) -> None:
    page.locator("#email").focus()
    page.keyboard.type(email)
    page.keyboard.press("Tab")
    page.keyboard.type("Taras Melnyk")
    page.keyboard.press("Tab")
    page.keyboard.type("Fin")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("notice-invited")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text=email)).to_be_visible()


def take_up_invitation(page: Page, live: Live, email: str) -> None:
    message = read_email(page, live, email, "to_staff")
    address = message.locator("a[href*='/staff/new-password']").get_attribute("href")
    assert address
    assert "/staff/new-password#" in address
    page.goto(address)
    expect(field(page, "token")).not_to_have_value("")
    assert "#" not in page.url
    is_for_everybody(page)
    field(page, "password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect_at(page, f"{live.app}/staff/sign-in")


def set_up_codes(page: Page) -> pyotp.TOTP:
    """Turn the second factor on; returns what the telephone's program knows then."""
    link_to(page, "/staff/account").first.click()
    button_of(page, "/staff/account/second-factor").click()
    picture = page.locator(".qr")
    expect(picture).to_have_js_property("complete", value=True)
    assert picture.evaluate("picture => picture.naturalWidth") > 100
    is_for_everybody(page)
    codes = pyotp.TOTP(page.locator("code").inner_text())
    field(page, "code").fill("000000")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    field(page, "code").fill(codes.at(now()))
    page.keyboard.press("Enter")
    expect(button_of(page, "/second-factor/off")).to_be_visible()
    return codes


def test_a_forgotten_password_without_scripts(window: Callable[..., Page], live: Live) -> None:
    page = window(java_script_enabled=False)
    page.goto(live.staff)
    link_to(page, "/staff/forgotten").click()
    page.locator("#email").fill("nobody@example.org")
    button_of(page, "/staff/forgotten").click()
    expect(page.get_by_role("status")).to_contain_text("nobody@example.org")
    page.goto(f"{live.app}/staff/new-password#some-key")
    field(page, "token").fill("some-key")
    field(page, "password").fill(PASSWORD)
    button_of(page, "/staff/new-password").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(field(page, "token")).to_have_value("some-key")


@pytest.mark.parametrize("path", ["/staff/forgotten", "/staff/new-password"])
def test_what_nobody_has_to_sign_in_for_is_for_everybody(
    window: Callable[..., Page], live: Live, path: str
) -> None:
    page = window()
    page.goto(f"{live.app}{path}")
    is_for_everybody(page)


def enter(page: Page, email: str) -> None:
    page.goto(re.sub("/staff/.*", "/staff/sign-in", page.url))
    page.locator("#email").fill(email)
    page.locator("#password").fill(PASSWORD)
    page.locator("form[action='/staff/sign-in'] button").click()
