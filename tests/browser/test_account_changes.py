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
from tests.browser.live import expect_at, expect_member, join, new_address, pay, read_email

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first starts everything

STOPPED = "You have cancelled your membership"


def at_simulator(live: Live, what: str, **values: Any) -> None:
    """What only the simulator can do: faults, and a clock that goes by minutes."""
    answer = requests.post(f"{live.simulator}/_simulator/{what}", json=values, timeout=60)
    assert answer.ok, answer.text


def stop(page: Page) -> None:
    """Stop on the page of that question."""
    page.get_by_role("link", name="Cancel your membership", exact=True).click()
    page.get_by_role("button", name="Cancel your membership").click()


def test_name_language_roster_address_and_card_are_changed_and_all_of_it_is_taken_along(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    join(page, live, email)
    number, name = live.members(), f"Solomiia {email.partition('@')[0]}"
    sign_in(page, live, email)
    page_of_progress = window()

    page.get_by_role("link", name="Change your name, language and letters").click()
    for tick in page.get_by_role("checkbox").all():
        expect(tick).not_to_be_checked()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("My name may stand on the public page").check()
    page.get_by_role("button", name="Save this").click()
    expect(page.get_by_role("status")).to_have_text("We have saved this.")
    page_of_progress.goto(f"{live.app}/campaigns/25000/members")
    expect(page_of_progress.locator(".names li").first).to_have_text(name)
    assert live.at_stripe("customers", email=email)[0]["name"] == name

    other, reader = new_address(), window()
    page.get_by_role("link", name="Change your e-mail address").click()
    page.get_by_label("New e-mail address").fill(other)
    page.get_by_role("button", name="Send both codes").click()
    codes = [
        read_email(reader, live, to, re.compile("^Your code to change"))
        .get_by_role("heading")
        .inner_text()
        for to in (email, other)
    ]
    page.get_by_label(email).fill(codes[1])
    page.get_by_label(other).fill(codes[1])
    page.get_by_role("button", name="Change your e-mail address").click()
    expect(page.get_by_role("alert")).to_contain_text("That didn’t work")
    page.get_by_label(email).fill(codes[0])
    page.get_by_label(other).fill(codes[1])
    page.get_by_role("button", name="Change your e-mail address").click()
    expect(page.get_by_role("status")).to_have_text("Your e-mail address has been changed.")
    assert live.at_stripe("customers", email=email) == []
    assert live.members() == number

    page.get_by_role("button", name="Change how you pay").click()
    expect_at(page, f"{live.simulator}/portal/")
    page.get_by_label("Card number").fill("5555555555554444")
    page.get_by_label("Expiry").fill("12 / 60")
    page.get_by_label("CVC").fill("123")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Your new card is saved.")

    with page.expect_download() as download:
        page.get_by_role("link", name="Download all that we keep about you").click()
    kept = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert kept["member"]["email"] == other
    assert kept["membership"][0]["card_last4"] == "4444"
    assert [consent["text"] for consent in kept["consent"]] == [
        "My name may stand on the public page of the campaign."
    ]

    page.get_by_role("link", name="Change your name, language and letters").click()
    page.get_by_label("My name may stand on the public page").uncheck()
    page.get_by_role("button", name="Save this").click()
    expect(page.get_by_role("status")).to_have_text("We have saved this.")
    page_of_progress.reload()
    expect(page_of_progress.get_by_text(name)).to_have_count(0)
    assert live.members() == number


def test_an_email_takes_a_stopped_membership_up_again_and_the_account_a_paused_one(
    window: Callable[..., Page], live: Live
) -> None:
    stopped, paused = new_address(), new_address()
    page, other = window(), window()
    join(page, live, stopped)
    join(other, live, paused)
    number = live.members()

    sign_in(page, live, stopped)
    stop(page)
    expect(page.get_by_role("status")).to_contain_text(STOPPED)
    assert live.members() == number
    reader = window(java_script_enabled=False)
    email = read_email(reader, live, stopped, re.compile("^You are member"))
    again = email.get_by_role("link", name="Cancel your membership", exact=True)
    reader.goto(again.get_attribute("href") or "")
    assert live.subscriptions_of(stopped)[0]["cancel_at_period_end"]
    expect(
        reader.get_by_text(re.compile("You’ll be charged £10 on .* until you cancel"))
    ).to_be_visible()
    reader.get_by_role("button", name="Go on paying £10 a month").dblclick()
    expect(reader.get_by_role("status")).to_have_text("Your membership goes on.")
    assert not live.subscriptions_of(stopped)[0]["cancel_at_period_end"]

    sign_in(other, live, paused)
    other.get_by_role("link", name="Cancel your membership", exact=True).click()
    other.get_by_role("link", name="pause for a while").click()
    other.get_by_role("button", name="Pause your membership").click()
    expect(other.get_by_role("status")).to_contain_text("Your membership is paused.")
    assert live.members() == number  # until what was paid for ends

    other.get_by_role("button", name="Go on paying £10 a month").click()
    expect(other.get_by_role("status")).to_have_text("Your membership goes on.")
    assert live.members() == number
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
    expect(page.get_by_text("the letter’s program has cut the link")).to_be_visible()
    page.goto("about:blank")
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^You are member"))

    at_simulator(live, "clock", advance_seconds=30)
    stranger = window()
    for _ in range(2):
        stranger.goto("about:blank")
        stranger.goto(link)
        stranger.get_by_role("button", name="Sign in").click()
        expect(stranger.get_by_role("alert")).to_contain_text("too old, was used, or is not whole")
    ask(stranger, live, email)
    stranger.get_by_label("The six digits").fill(code)
    stranger.get_by_role("button", name="Sign in").click()
    expect(stranger.get_by_role("alert")).to_contain_text("not the code of the newest letter")
    subject = re.compile(rf"^Your code for .*: (?!{code}$)\d{{6}}$")
    newest = read_email(reader, live, email, subject).get_by_role("heading", level=1).inner_text()
    at_simulator(live, "clock", advance_seconds=601)
    stranger.get_by_label("The six digits").fill(newest)
    stranger.get_by_role("button", name="Sign in").click()
    expect(stranger.get_by_role("alert")).to_contain_text("The ten minutes are over")
    stranger.goto(f"{live.app}/account")
    expect(stranger.get_by_role("button", name="Send me the letter")).to_be_visible()


def test_while_stripe_is_away_nothing_is_half_done_and_of_two_tabs_the_first_wins(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    join(page, live, email)
    number = live.members()
    sign_in(page, live, email)
    home = page.url
    at_simulator(live, "faults", api_500=1.0)
    try:
        page.get_by_role("button", name="Change how you pay").click()
        expect(page.get_by_text("Stripe, our payment service, isn’t answering")).to_be_visible()
        page.goto(home)
        stop(page)
        expect(page.get_by_role("status")).to_contain_text("we don’t know yet whether it was done")
        page.get_by_role("link", name="Erase your account").click()
        page.get_by_label("I want my account to be erased for good.").check()
        page.get_by_role("button", name="Erase your account").click()
        expect(page.get_by_text("Stripe, our payment service, isn’t answering")).to_be_visible()
    finally:
        at_simulator(live, "faults", api_500=0.0)
    (subscription,) = live.subscriptions_of(email)
    assert not subscription["cancel_at_period_end"]
    page.goto(home)
    expect(page.get_by_text("The next £10 will be charged on")).to_be_visible()

    upgrade = page.context.new_page()
    upgrade.goto(home)
    upgrade.get_by_role("link", name="Change what you pay").click()
    upgrade.get_by_label("Patron, £25").check()
    upgrade.get_by_role("button", name="See what changes").click()
    expect(upgrade.get_by_text(re.compile("You’ll be charged £1(5|4.99) now."))).to_be_visible()
    page.get_by_role("link", name="Cancel your membership", exact=True).click()
    page.get_by_role("button", name="Cancel your membership").evaluate("button => button.click()")
    upgrade.get_by_role("button", name=re.compile("^Pay £1(5|4.99) now")).click()
    for tab in (page, upgrade):
        expect_at(tab, home)
    (subscription,) = live.subscriptions_of(email)
    charges = live.at_stripe("charges", customer=subscription["customer"])
    if subscription["cancel_at_period_end"]:
        assert [charge["amount"] for charge in charges] == [1000]
        expect(page.get_by_text("You have cancelled it.")).to_be_visible()
    else:
        assert [charge["amount"] for charge in charges] in ([1500, 1000], [1499, 1000])
    page.goto(home)
    ends = page.get_by_role("button", name="Go on paying £10 a month")
    expect(ends).to_have_count(1 if subscription["cancel_at_period_end"] else 0)
    assert live.members() == number


def test_a_friend_joins_by_an_invitation_and_is_counted_and_no_name_is_read_unasked(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    join(page, live, email)
    number = live.members()
    sign_in(page, live, email)
    page.get_by_role("link", name="Invite others").click()
    expect(page.get_by_role("checkbox")).not_to_be_checked()
    page.get_by_role("button", name="Make my link").click()
    link = page.get_by_label("Your link").input_value()

    friend = window(java_script_enabled=False)
    friend.goto(link)
    expect(friend.get_by_text("A member invites you")).to_be_visible()
    page.get_by_label("Who opens my link may read my name there.").check()
    page.get_by_role("button", name="Save this").click()
    friend.reload()
    expect(friend.get_by_text("Olena Hrytsenko invites you")).to_be_visible()
    friend.get_by_role("link", name="Once a year").click()
    friend.get_by_role("link", name="Choose £100 a year").click()
    expect(friend.get_by_text("they see that one more person did, and not who")).to_be_visible()
    friend.get_by_role("button", name="Pay every year").click()
    friend.get_by_role("link", name="Cancel and go back").click()
    friend.get_by_role("button", name="Pay every year").click()
    pay(friend, new_address(), name="Petro Melnyk")
    expect_member(friend)
    assert live.members() == number + 1
    page.reload()
    expect(page.get_by_text("1 person has joined by your link.")).to_be_visible()
    expect(page.get_by_text("Petro")).to_have_count(0)
    page.get_by_role("button", name="Switch the link off").click()
    expect(page.get_by_role("button", name="Make my link")).to_be_visible()
    friend.goto(link)
    expect(friend.get_by_text("invites you")).to_have_count(0)
