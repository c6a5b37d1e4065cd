"""What happens twice counts once: a double click on every button, and two tabs at the same time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from demo.settings import STAFF_EMAIL
from tests.browser.live import (
    button_of,
    card,
    expect_at,
    expect_member,
    field,
    fill_in,
    find_member,
    join,
    new_address,
    read_email,
    sign_in,
    to_checkout,
)
from tests.demonstration import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first starts everything


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
def test_a_double_click_on_every_button_makes_one_customer_and_one_membership(
    window: Callable[..., Page], live: Live, *, javascript: bool
) -> None:
    email, page = new_address(), window(java_script_enabled=javascript)
    page.goto(live.article)
    card(page).locator(".join" if javascript else ".progress-link").dblclick()
    if not javascript:
        expect_at(page, f"{live.app}/campaigns/25000")
        page.locator("form[action^='/join'] button").dblclick()
    expect_at(page, f"{live.app}/join?")
    page.locator("#pay").dblclick()
    expect_at(page, f"{live.simulator}/pay/")
    fill_in(page, email)
    page.locator("#submit").dblclick()
    expect_member(page)
    assert len(live.at_stripe("customers", email=email)) == 1
    assert [one["status"] for one in live.subscriptions_of(email)] == ["active"]
    assert live.changes_of(email) == [1]


def test_a_double_click_signs_staff_in_and_out_once(
    window: Callable[..., Page], live: Live
) -> None:
    page = window()
    page.goto(live.staff)
    field(page, "email").fill(STAFF_EMAIL)
    field(page, "password").fill(live.password)
    button_of(page, "/staff/sign-in").dblclick()
    expect(page).to_have_url(f"{live.app}/staff")
    button_of(page, "/staff/sign-out").dblclick()
    expect_at(page, f"{live.app}/staff/sign-in")
    page.goto(f"{live.app}/staff/members")
    expect_at(page, f"{live.app}/staff/sign-in")


def test_two_tabs_at_once_make_one_member_and_the_other_is_paid_back_and_told(
    window: Callable[..., Page], live: Live
) -> None:
    email = new_address()
    first = window()
    tabs = [first, first.context.new_page()]
    for tab in tabs:
        tab.goto(f"{live.app}/join")
        to_checkout(tab, live)
        fill_in(tab, email)
    for tab in tabs:
        tab.locator("#submit").evaluate("button => setTimeout(() => button.click())")
    for tab in tabs:
        tab.wait_for_url("**/join/thanks?**")

    def outcomes() -> list[str]:
        for tab in tabs:
            tab.reload()
        heading = re.compile("^outcome-")
        return sorted(str(tab.get_by_test_id(heading).get_attribute("data-test")) for tab in tabs)

    # The one settled first may be thanked as a member until the other, which was earlier, is.
    wait_for(lambda: outcomes() == ["outcome-joined", "outcome-second"])
    assert live.changes_of(email) == [1]
    assert sorted(one["status"] for one in live.subscriptions_of(email)) == ["active", "canceled"]
    customers = live.at_stripe("customers", email=email)
    charges = [
        charge
        for customer in customers
        for charge in live.at_stripe("charges", customer=customer["id"])
    ]
    assert sorted(charge["amount_refunded"] for charge in charges) == [0, 1000]
    message = read_email(first, live, email, "second_membership")
    expect(message).to_contain_text("£10")
    sign_in(first, live)
    find_member(first, live, email)
    expect(first.get_by_test_id(re.compile("^(joined|left)$"))).to_have_count(1)
    expect(first.locator("section[aria-labelledby=customers] tbody tr")).to_have_count(2)


def test_a_member_who_joins_again_later_is_not_charged_twice(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    number = join(page, live, email)
    page.goto(f"{live.app}/join?tier=patron")
    to_checkout(page, live)
    fill_in(page, email.upper())
    page.locator("#submit").click()
    expect(page.get_by_test_id("outcome-second")).to_be_visible()
    expect(page.locator(".standfirst")).to_contain_text("£25")
    assert live.changes_of(email) == [1]
    message = read_email(page, live, email, "second_membership")
    expect(message).to_contain_text("£25")
    expect(message).to_contain_text("£10")
    sign_in(page, live)
    find_member(page, live, email)
    expect(page.get_by_test_id("number")).to_contain_text(number)


def test_a_page_that_was_paid_in_another_tab_takes_nothing_more(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    page.goto(f"{live.app}/join")
    to_checkout(page, live)
    other = page.context.new_page()
    other.goto(page.url)
    for tab in (page, other):
        fill_in(tab, email)
    page.locator("#submit").click()
    number = expect_member(page)
    other.locator("#submit").click()
    assert expect_member(other) == number
    other.goto(page.url.replace("thanks?session_id=", "thanks?lang=uk&session_id="))
    expect(other.get_by_role("heading", level=1)).to_have_text(re.compile(number))
    assert len(live.subscriptions_of(email)) == 1
