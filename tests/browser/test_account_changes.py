"""What members change themselves, as stories: the number and what Stripe has after each step."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from playwright.sync_api import expect

from tests.browser.account import ask, email_of, sign_in
from tests.browser.live import (
    button_of,
    expect_at,
    expect_member,
    field,
    join,
    link_to,
    new_address,
    pay,
    read_email,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first starts everything


def at_simulator(live: Live, what: str, **values: Any) -> None:
    """What only the simulator can do: faults, and a clock that goes by minutes."""
    answer = requests.post(f"{live.simulator}/_simulator/{what}", json=values, timeout=60)
    assert answer.ok, answer.text


def stop(page: Page) -> None:
    """Stop on the page of that question."""
    link_to(page, "/cancellation").click()
    button_of(page, "/cancellation").click()


def test_name_language_roster_address_and_card_are_changed_and_all_of_it_is_taken_along(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    join(page, live, email)
    name = f"Solomiia {email.partition('@')[0]}"
    sign_in(page, live, email)
    page_of_progress = window()

    link_to(page, "/account/details").click()
    for tick in page.get_by_role("checkbox").all():
        expect(tick).not_to_be_checked()
    field(page, "name").fill(name)
    field(page, "roster").check()
    page.locator("main form button").first.click()
    expect(page.get_by_test_id("notice-saved")).to_be_visible()
    page_of_progress.goto(f"{live.app}/campaigns/25000/members")
    expect(page_of_progress.locator(".names li").first).to_have_text(name)
    assert live.at_stripe("customers", email=email)[0]["name"] == name

    other, reader = new_address(), window()
    link_to(page, "/account/email").click()
    field(page, "email").fill(other)
    button_of(page, "/account/email").click()
    codes = [
        read_email(reader, live, to, "change_of_address").get_by_role("heading").inner_text()
        for to in (email, other)
    ]
    field(page, "old").fill(codes[1])
    field(page, "new").fill(codes[1])
    button_of(page, "/account/email/codes").click()
    expect(page.get_by_test_id("error")).to_be_visible()
    field(page, "old").fill(codes[0])
    field(page, "new").fill(codes[1])
    button_of(page, "/account/email/codes").click()
    expect(page.get_by_test_id("notice-email")).to_be_visible()
    assert live.at_stripe("customers", email=email) == []
    assert live.changes_of(other) == [1]

    button_of(page, "/card").click()
    expect_at(page, f"{live.simulator}/portal/")
    page.get_by_label("Card number").fill("5555555555554444")
    page.get_by_label("Expiry").fill("12 / 60")
    page.get_by_label("CVC").fill("123")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_test_id(re.compile("^notice-method"))).to_be_visible()

    with page.expect_download() as download:
        link_to(page, "/account/download").click()
    kept = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert kept["member"]["email"] == other
    assert kept["membership"][0]["card_last4"] == "4444"
    assert [consent["given"] for consent in kept["consent"]] == [True]

    link_to(page, "/account/details").click()
    field(page, "roster").uncheck()
    page.locator("main form button").first.click()
    expect(page.get_by_test_id("notice-saved")).to_be_visible()
    page_of_progress.reload()
    expect(page_of_progress.get_by_text(name)).to_have_count(0)
    assert live.changes_of(other) == [1]


def test_an_email_takes_a_stopped_membership_up_again_and_the_account_a_paused_one(
    window: Callable[..., Page], live: Live
) -> None:
    stopped, paused = new_address(), new_address()
    page, other = window(), window()
    join(page, live, stopped)
    join(other, live, paused)

    sign_in(page, live, stopped)
    stop(page)
    expect(page.get_by_test_id("notice-stopped")).to_be_visible()
    assert live.changes_of(stopped) == [1]
    reader = window(java_script_enabled=False)
    email = read_email(reader, live, stopped, "welcome")
    again = email.locator("a[href*='/account/letter/']").first
    reader.goto(again.get_attribute("href") or "")
    assert live.subscriptions_of(stopped)[0]["cancel_at_period_end"]
    expect(reader.locator("form .terms").last).to_contain_text("£10")
    field(reader, "what", "resume").dblclick()
    expect(reader.get_by_test_id("notice-resumed")).to_be_visible()
    assert not live.subscriptions_of(stopped)[0]["cancel_at_period_end"]

    sign_in(other, live, paused)
    link_to(other, "/cancellation").click()
    link_to(other, "/pause").click()
    button_of(other, "/pause").click()
    expect(other.get_by_test_id("notice-paused")).to_be_visible()
    assert live.changes_of(paused) == [1]  # until what was paid for ends

    button_of(other, "/resumption").click()
    expect(other.get_by_test_id("notice-resumed")).to_be_visible()
    assert live.changes_of(paused) == [1]
    for address in (stopped, paused):
        (subscription,) = live.subscriptions_of(address)
        assert (subscription["status"], subscription["pause_collection"]) == ("active", None)
        charges = live.at_stripe("charges", customer=subscription["customer"])
        assert [charge["amount"] for charge in charges] == [1000]


def test_a_link_that_is_cut_used_or_late_says_so_and_lets_nobody_in(
    window: Callable[..., Page], live: Live
) -> None:
    email, page, reader = new_address(), window(), window()
    join(page, live, email)
    ask(page, live, email)
    link, code = email_of(reader, live, email)
    page.goto(link[:-20])
    expect(page.get_by_test_id("error-link").or_(page.locator("#link-broken"))).to_be_visible()
    page.goto("about:blank")
    page.goto(link)
    expect(page.get_by_test_id("member-number")).to_be_visible()

    at_simulator(live, "clock", advance_seconds=30)
    stranger = window()
    for _ in range(2):
        stranger.goto("about:blank")
        stranger.goto(link)
        field(stranger, "code").fill(code)
        button_of(stranger, "/account/sign-in/code").click()
        expect(stranger.get_by_test_id("error-over")).to_be_visible()
    ask(stranger, live, email)
    field(stranger, "code").fill(code)
    button_of(stranger, "/account/sign-in/code").click()
    expect(stranger.get_by_test_id("error-wrong-code")).to_be_visible()
    _link, newest = email_of(reader, live, email, nth=2)
    at_simulator(live, "clock", advance_seconds=601)
    field(stranger, "code").fill(newest)
    button_of(stranger, "/account/sign-in/code").click()
    expect(stranger.get_by_test_id("error-over")).to_be_visible()
    stranger.goto(f"{live.app}/account")
    expect(stranger).to_have_url(f"{live.app}/account/sign-in")


def test_while_stripe_is_away_nothing_is_half_done_and_the_page_says_what_is_noted(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    join(page, live, email)
    sign_in(page, live, email)
    home = page.url
    at_simulator(live, "faults", api_500=1.0)
    try:
        button_of(page, "/card").click()
        expect(page.get_by_test_id("error-503")).to_be_visible()
        page.goto(home)
        stop(page)
        expect(page.get_by_test_id("notice-unknown")).to_be_visible()
        expect(page.get_by_test_id("waits-cancel")).to_be_visible()
        expect(page.get_by_test_id("state-running")).to_be_visible()
    finally:
        at_simulator(live, "faults", api_500=0.0)


def test_of_two_tabs_the_first_wins(window: Callable[..., Page], live: Live) -> None:
    email, page = new_address(), window()
    join(page, live, email)
    sign_in(page, live, email)
    home = page.url
    upgrade = page.context.new_page()
    upgrade.goto(home)
    link_to(upgrade, "/price").click()
    field(upgrade, "tier", "patron").and_(upgrade.get_by_role("radio")).check()
    upgrade.locator("form[method=get] button").click()
    expect(upgrade.get_by_test_id("change")).to_contain_text(re.compile(r"£15|£14\.99"))
    link_to(page, "/cancellation").click()
    button_of(page, "/cancellation").evaluate("button => button.click()")
    upgrade.get_by_test_id("change").get_by_role("button").click()
    for tab in (page, upgrade):
        expect_at(tab, home)
    (subscription,) = live.subscriptions_of(email)
    charges = live.at_stripe("charges", customer=subscription["customer"])
    if subscription["cancel_at_period_end"]:
        assert [charge["amount"] for charge in charges] == [1000]
        expect(page.get_by_test_id("state-ending")).to_be_visible()
    else:
        assert [charge["amount"] for charge in charges] in ([1500, 1000], [1499, 1000])
    page.goto(home)
    ends = button_of(page, "/resumption")
    expect(ends).to_have_count(1 if subscription["cancel_at_period_end"] else 0)
    assert live.changes_of(email) == [1]


def test_a_friend_joins_by_an_invitation_and_is_counted_and_no_name_is_read_unasked(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    join(page, live, email)
    sign_in(page, live, email)
    link_to(page, "/account/invitation").first.click()
    expect(page.get_by_role("checkbox")).not_to_be_checked()
    button_of(page, "/account/invitation").click()
    link = page.locator("#link").input_value()

    friend = window(java_script_enabled=False)
    friend.goto(link)
    expect(friend.get_by_test_id("invited")).not_to_contain_text("Olena")
    page.get_by_role("checkbox").check()
    page.locator("main form button").first.click()
    friend.reload()
    expect(friend.get_by_test_id("invited")).to_contain_text("Olena Hrytsenko")
    friend.locator("a[href*='interval=year']").first.click()
    friend.locator("form[action^='/join'] button").click()
    expect(friend.get_by_test_id("invited")).to_be_visible()
    friend.locator("#pay").click()
    friend.get_by_role("link", name="Cancel and go back").click()
    friend.locator("#pay").click()
    friends = new_address()
    pay(friend, friends, name="Petro Melnyk")
    expect_member(friend)
    assert live.changes_of(friends) == [1]
    page.reload()
    expect(page.get_by_test_id("joined")).to_contain_text(re.compile(r"\b1\b"))
    expect(page.get_by_text("Petro")).to_have_count(0)
    button_of(page, "/account/invitation/removal").click()
    expect(page.locator("#link")).to_have_count(0)
    friend.goto(link)
    expect(friend.get_by_test_id("invited")).to_have_count(0)
