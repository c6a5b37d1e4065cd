"""The whole way of a reader, as `make run` offers it: from an article to being counted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.live import (
    ASKS_THE_BANK,
    DEBIT,
    DECLINED,
    card,
    expect_at,
    expect_member,
    expect_number,
    field,
    find_member,
    link_to,
    new_address,
    pay,
    read_email,
    shown,
    sign_in,
    to_checkout,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Route

    from tests.browser.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first starts everything


def test_from_the_article_to_being_counted_thanked_and_known_to_staff(
    window: Callable[..., Page], live: Live
) -> None:
    email = new_address()
    other = window()
    other.goto(live.article)
    before = shown(other)

    page = window()
    page.goto(live.article)
    choice = card(page)
    expect(choice.get_by_role("radio", name=re.compile("^Member £10"))).to_be_checked()
    choice.locator("input[name=interval]").last.check()
    choice.get_by_role("radio", name="EUR").check()
    choice.get_by_role("radio", name=re.compile("^Patron €250")).check()
    choice.locator("a.join").click()

    expect_at(page, f"{live.app}/join?")
    expect(field(page, "tier", "patron")).to_be_checked()
    expect(page.locator("#interval [aria-current]")).to_have_attribute(
        "value", re.compile("interval=year")
    )
    expect(page.locator("#currency [aria-current]")).to_have_text("€")
    expect(page.locator("#pay")).to_contain_text("€250")
    to_checkout(page, live)
    expect(page.locator(".total")).to_contain_text("€250.00")
    pay(page, email)
    number = expect_member(page)
    expect(page.locator(".standfirst")).to_contain_text("€250")
    expect(page.locator(".tally-figure")).to_have_text(str(before + 1))

    link_to(page, "#joined=25000").click()
    expect(page).to_have_url(f"{live.article}#joined=25000")
    expect(card(page).locator(".thanks")).to_be_visible()
    expect_number(page, before + 1)
    expect_number(other, before + 1)

    message = read_email(page, live, email, "welcome")
    expect(message.get_by_role("heading", level=1)).to_contain_text(number)
    expect(message).to_contain_text("€250")

    sign_in(page, live)
    expect(page.get_by_role("row", name="Olena Hrytsenko").first).to_contain_text(number)
    find_member(page, live, email)
    expect(page.get_by_role("heading", level=1)).to_have_text("Olena Hrytsenko")
    expect(page.get_by_test_id("joined")).to_contain_text("+1")
    expect(page.get_by_role("row", name=re.compile("^€250.*Patron"))).to_contain_text(
        urlsplit(live.article).path
    )
    expect(page.locator(".timeline a[href*='/emails/']")).to_have_count(1)


def test_who_closes_the_window_after_paying_is_counted_all_the_same(
    window: Callable[..., Page], live: Live
) -> None:
    email, article, page = new_address(), window(), window()
    article.goto(live.article)
    before = shown(article)

    def close(route: Route) -> None:
        route.fetch(max_redirects=0)
        route.fulfill(body="The window is closed.")

    page.goto(f"{live.app}/join")
    to_checkout(page, live)
    page.route("**/pay/**", close)
    pay(page, email)
    expect(page.get_by_text("The window is closed.")).to_be_visible()
    expect_number(article, before + 1)
    read_email(page, live, email, "welcome")


def test_a_declined_card_takes_nothing_and_another_one_can_be_tried(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    page.goto(f"{live.app}/join?tier=reader")
    to_checkout(page, live)
    pay(page, email, DECLINED)
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Email")).to_have_value(email)
    assert live.at_stripe("customers", email=email) == []
    assert live.changes_of(email) == []
    pay(page, email)
    expect_member(page)
    assert len(live.subscriptions_of(email)) == 1
    assert live.changes_of(email) == [1]


def test_a_bank_that_asks_is_answered(window: Callable[..., Page], live: Live) -> None:
    email, page = new_address(), window()
    page.goto(f"{live.app}/join")
    to_checkout(page, live)
    pay(page, email, ASKS_THE_BANK)
    page.get_by_role("button", name="Refuse").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert live.subscriptions_of(email) == []
    pay(page, email, ASKS_THE_BANK)
    page.get_by_role("button", name="Confirm").click()
    expect_member(page)
    assert live.changes_of(email) == [1]


def test_cancel_leads_back_with_the_choice_kept(window: Callable[..., Page], live: Live) -> None:
    page = window()
    page.goto(live.article)
    choice = card(page)
    choice.get_by_role("radio", name="USD").check()
    choice.locator("a.join").click()
    field(page, "amount").fill("17.50")
    field(page, "cover_fee").check()
    expect(page.locator("#pay")).to_contain_text("$18.34")
    to_checkout(page, live)
    page.get_by_role("link", name="Cancel and go back").click()

    expect(page.get_by_test_id("notice")).to_be_visible()
    expect(field(page, "amount")).to_have_value("17.50")
    expect(field(page, "cover_fee")).to_be_checked()
    expect(page.locator("#pay")).to_contain_text("$18.34")
    to_checkout(page, live)
    pay(page, new_address())
    expect_member(page)
    link_to(page, "#joined=25000").click()
    expect(page).to_have_url(f"{live.article}#joined=25000")


def test_the_browsers_own_back_button_leads_back_to_a_form_that_works(
    window: Callable[..., Page], live: Live
) -> None:
    page = window()
    page.goto(f"{live.app}/join?tier=patron&interval=year&currency=EUR")
    to_checkout(page, live)
    page.go_back()
    expect(page.locator("#pay")).to_contain_text("€250")
    field(page, "tier", "reader").check()
    expect(page.locator("#pay")).to_contain_text("€50")
    to_checkout(page, live)
    expect(page.locator(".total")).to_contain_text("€50.00")


def test_without_javascript_everything_works(window: Callable[..., Page], live: Live) -> None:
    email, page = new_address(), window(java_script_enabled=False)
    page.goto(live.article)
    picture = card(page).get_by_role("img")
    expect(picture).to_be_visible()
    source = page.request.get(picture.get_attribute("src") or "")
    assert f">{live.members():,}<" in source.text()
    card(page).get_by_role("link").click()
    expect(page).to_have_url(f"{live.app}/campaigns/25000")
    expect(page.locator(".tally-figure")).to_have_text(str(live.members()))
    page.locator(".switch a[href*='interval=year']").first.click()
    page.locator(".switch a[href*='currency=USD']").first.click()
    page.locator("[name=tier][value=reader]").check()
    page.locator("form[action^='/join'] button").click()

    expect(field(page, "tier", "reader")).to_be_checked()
    field(page, "amount").fill("62.50")
    field(page, "cover_fee").check()
    page.locator("#pay").click()
    expect(page.locator(".total")).to_contain_text("$64.68")
    pay(page, email)
    number = expect_member(page)
    expect(page.locator(".standfirst")).to_contain_text("$64.68")
    link_to(page, "#joined=25000").click()
    expect(page).to_have_url(f"{live.article}#joined=25000")
    message = read_email(window(), live, email, "welcome")
    expect(message).to_contain_text(number)


@pytest.mark.parametrize(
    ("interval", "amount", "paid"), [("month", "12.30", "€12.75"), ("year", "123", "€125.13")]
)
def test_an_own_amount_with_the_fee_is_what_is_asked_taken_and_said(
    window: Callable[..., Page], live: Live, interval: str, amount: str, paid: str
) -> None:
    page = window()
    page.goto(f"{live.app}/join?currency=EUR&interval={interval}")
    field(page, "amount").fill(amount)
    field(page, "cover_fee").check()
    expect(page.locator("#pay")).to_contain_text(paid)
    to_checkout(page, live)
    expect(page.locator(".total")).to_contain_text(paid)
    pay(page, new_address())
    expect_member(page)
    expect(page.locator(".standfirst")).to_contain_text(paid)
    expect(page.locator(".columns")).to_contain_text(paid)


def test_a_contribution_is_thanked_for_and_shown_to_staff_and_counts_nobody(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    page.goto(f"{live.app}/join")
    page.locator(".switch [value='interval=once']").click()
    field(page, "amount").fill("30")
    expect(page.locator("#pay")).to_contain_text("£30")
    to_checkout(page, live)
    pay(page, email, name="Bohdan Once")
    expect(page.get_by_test_id("outcome-contributed")).to_contain_text("£30")
    read_email(page, live, email, "contribution")
    sign_in(page, live)
    link_to(page, "/staff/contributions").first.click()
    expect(page.get_by_role("row", name="Bohdan Once")).to_contain_text("£30")
    page.get_by_role("link", name="Bohdan Once").click()
    expect(page.get_by_test_id("status-never-counted")).to_be_visible()
    assert live.changes_of(email) == []


def test_a_debit_in_process_counts_and_the_thanks_page_knows_of_it(
    window: Callable[..., Page], live: Live
) -> None:
    email, page = new_address(), window()
    page.goto(f"{live.app}/join?currency=EUR")
    to_checkout(page, live)
    pay(page, email, DEBIT)
    expect_member(page)
    expect(page.get_by_test_id("outcome-in_process")).to_be_visible()
    expect(page.locator(".standfirst")).to_contain_text("€10")
    assert live.changes_of(email) == [1]
    sign_in(page, live)
    find_member(page, live, email)
    expect(page.get_by_test_id("joined")).to_have_count(1)
