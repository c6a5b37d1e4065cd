"""Members look after themselves: each story from start to end, with the number after each step."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.account import ask, email_of, sign_in
from tests.browser.live import (
    axe,
    button_of,
    field,
    find_member,
    join,
    link_to,
    new_address,
    read_email,
    sign_in as sign_in_as_staff,
    width_of_large_text,
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

    link_to(page, "/price").click()
    field(page, "tier", "patron").and_(page.get_by_role("radio")).check()
    page.locator("form[method=get] button").click()
    expect(page.get_by_test_id("change")).to_contain_text(re.compile(r"£15|£14\.99"))
    page.get_by_test_id("change").get_by_role("button").dblclick()
    expect(page.get_by_test_id("notice-changed")).to_be_visible()
    expect(page.get_by_test_id("state-running")).to_be_visible()
    assert live.changes_of(email) == [1]

    link_to(page, "/cancellation").click()
    link_to(page, "/pause").click()
    button_of(page, "/pause").click()
    expect(page.get_by_test_id("notice-paused")).to_be_visible()
    assert live.changes_of(email) == [1]  # until what was paid for ends
    button_of(page, "/resumption").click()
    expect(page.get_by_test_id("notice-resumed")).to_be_visible()
    assert live.changes_of(email) == [1]

    link_to(page, "/cancellation").click()
    field(page, "reason", "too_expensive").check()
    button_of(page, "/cancellation").dblclick()
    expect(page.get_by_test_id("notice-stopped")).to_be_visible()
    assert live.changes_of(email) == [1]
    (subscription,) = live.subscriptions_of(email)
    assert subscription["cancellation_details"]["feedback"] == "too_expensive"
    charges = live.at_stripe("charges", customer=subscription["customer"])
    assert [charge["amount"] for charge in charges] in ([1500, 1000], [1499, 1000])

    live.advance(days=32)
    page.reload()
    expect(page).to_have_url(f"{live.app}/account/sign-in")
    desk = window()
    sign_in_as_staff(desk, live)
    find_member(desk, live, email)

    def has_left() -> bool:
        desk.reload()
        return desk.get_by_test_id("status-left").count() == 1

    wait_for(has_left)
    assert len(live.at_stripe("charges", customer=subscription["customer"])) == 2


def test_without_javascript_the_code_lets_in_and_an_email_stops(
    window: Callable[..., Page], live: Live
) -> None:
    email, page, reader = new_address(), window(java_script_enabled=False), window()
    join(page, live, email)
    ask(page, live, email)
    link, code = email_of(reader, live, email)
    page.goto(link)
    expect(page.locator("#link-broken")).to_be_visible()
    link_to(page, "/account/sign-in/code").click()
    field(page, "code").fill("12345")
    button_of(page, "/account/sign-in/code").click()
    expect(page.get_by_test_id("error-no-code")).to_be_visible()
    field(page, "code").fill(f"{code[:3]} {code[3:]}")
    button_of(page, "/account/sign-in/code").click()
    expect(page.get_by_test_id("member-number")).to_be_visible()

    message = read_email(reader, live, email, "welcome")
    stop = message.locator("a[href*='/account/letter/']").first
    stranger = window(java_script_enabled=False)
    stranger.goto(stop.get_attribute("href") or "")
    assert not live.subscriptions_of(email)[0]["cancel_at_period_end"]
    field(stranger, "what", "stop").click()
    expect(stranger.get_by_test_id("notice-stopped")).to_be_visible()
    assert live.subscriptions_of(email)[0]["cancel_at_period_end"]
    assert live.changes_of(email) == [1]


def test_on_another_telephone_the_link_asks_for_the_code_as_well(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    join(page, live, email)
    ask(page, live, email)
    telephone = window(viewport={"width": 320, "height": 640})
    link, code = email_of(telephone, live, email)
    telephone.goto(link)
    expect(telephone.get_by_test_id("other-browser")).to_be_visible()
    expect(field(telephone, "code")).to_be_focused()
    telephone.keyboard.type(code)
    telephone.keyboard.press("Enter")
    expect(telephone.get_by_test_id("member-number")).to_be_visible()
    page.goto(f"{live.app}/account")
    expect(page).to_have_url(f"{live.app}/account/sign-in")


def test_an_erased_account_leaves_the_number_and_cannot_be_entered(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    join(page, live, email)
    person = live.member_id(email)
    sign_in(page, live, email)
    link_to(page, "/account/erasure").click()
    button_of(page, "/account/erasure").click()
    expect(page.get_by_test_id("error")).to_be_visible()
    assert live.changes(person) == [1]
    field(page, "sure").check()
    button_of(page, "/account/erasure").click()
    expect(page).to_have_url(f"{live.app}/account/erased")
    assert live.changes(person) == [1, -1]
    assert live.at_stripe("customers", email=email) == []
    page.goto(f"{live.app}/account")
    expect(page).to_have_url(f"{live.app}/account/sign-in")


def test_each_page_of_a_member_is_for_everybody(window: Callable[..., Page], live: Live) -> None:
    """Nothing for axe at 320 and 1280 pixels, in both lights, and nothing wider than a phone."""
    email, page = new_address(), window()
    join(page, live, email)
    found: dict[str, object] = {}

    def look(name: str) -> None:
        page.evaluate("document.fonts.ready")
        for width, light in ((320, "light"), (1280, "dark")):
            page.set_viewport_size({"width": width, "height": 700})
            page.emulate_media(
                color_scheme="dark" if light == "dark" else "light", reduced_motion="reduce"
            )
            if page.evaluate("document.documentElement.scrollWidth") > width:
                found[f"{name} {width}"] = "too wide"
            if width_of_large_text(page) > width:
                found[f"{name} {width}"] = "too wide with large text"
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
    link_to(page, "/price").click()
    field(page, "tier", "patron").and_(page.get_by_role("radio")).check()
    page.locator("form[method=get] button").click()
    page.wait_for_url("**/price?**")
    look("price")
    page.goto(home)
    link_to(page, "/cancellation").click()
    page.wait_for_url("**/cancellation")
    look("stop")
    link_to(page, "/pause").click()
    page.wait_for_url("**/pause")
    look("pause")
    page.goto(home)
    page.locator("table a").click()
    page.wait_for_url("**/payments/*")
    look("receipt")
    page.goto(f"{live.app}/account/invitation")
    button_of(page, "/account/invitation").click()
    look("invitation")
    for path in ("details", "email", "erasure", "erased"):
        page.goto(f"{live.app}/account/{path}")
        look(path)
    page.goto(f"{live.app}/terms")
    look("terms")
    assert found == {}
