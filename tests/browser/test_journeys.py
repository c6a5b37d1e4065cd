"""The whole way of a reader, as `make run` offers it: from an article to being counted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

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
    find_member,
    happened,
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
    expect(choice.get_by_role("radio", name="Member £10 a month")).to_be_checked()
    choice.get_by_role("radio", name="Once a year").check()
    choice.get_by_role("radio", name="EUR").check()
    choice.get_by_role("radio", name="Patron €250 a year").check()
    choice.get_by_role("link", name="Become a member").click()

    expect_at(page, f"{live.app}/join?")
    expect(page.get_by_role("radio", name=re.compile("Patron"))).to_be_checked()
    expect(page.locator("#interval [aria-current]")).to_have_text("Once a year")
    expect(page.locator("#currency [aria-current]")).to_have_text("€")
    expect(page.locator("#pay")).to_have_text("Pay €250 a year")
    to_checkout(page, live)
    expect(page.locator(".total")).to_have_text("€250.00 per year")
    pay(page, email)
    number = expect_member(page)
    expect(page.locator(".standfirst")).to_contain_text("Your €250 has gone through")
    expect(page.locator(".tally-figure")).to_have_text(str(before + 1))

    page.get_by_role("link", name="Go back to the article").click()
    expect(page).to_have_url(f"{live.article}#joined=25000")
    expect(card(page).locator(".thanks")).to_have_text("Thank you. You are one of our members now.")
    expect_number(page, before + 1)
    expect_number(other, before + 1)

    message = read_email(page, live, email, f"You are member {number} of The Northern Ledger")
    expect(message.get_by_role("heading", level=1)).to_have_text(f"You are member {number}")
    expect(message).to_contain_text("€250 a year")

    sign_in(page, live)
    expect(page.get_by_role("row", name="Olena Hrytsenko").first).to_contain_text(number)
    find_member(page, live, email)
    expect(page.get_by_role("heading", level=1)).to_have_text("Olena Hrytsenko")
    expect(happened(page, re.compile("Joined.*first payment"))).to_contain_text("+1")
    expect(page.get_by_role("row", name=re.compile("^€250 a year, Patron"))).to_contain_text(
        live.article.removeprefix("http://")
    )
    expect(happened(page, "Letter “Welcome”. Sent")).to_be_visible()


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
    read_email(page, live, email, re.compile("^You are member"))


def test_a_declined_card_takes_nothing_and_another_one_can_be_tried(
    window: Callable[..., Page], live: Live
) -> None:
    email, page, before = new_address(), window(), live.members()
    page.goto(f"{live.app}/join?tier=reader")
    to_checkout(page, live)
    pay(page, email, DECLINED)
    expect(page.get_by_role("alert")).to_have_text("Your card was declined.")
    expect(page.get_by_label("Email")).to_have_value(email)
    assert live.at_stripe("customers", email=email) == []
    assert live.members() == before
    pay(page, email)
    expect_member(page)
    assert len(live.subscriptions_of(email)) == 1
    assert live.members() == before + 1


def test_a_bank_that_asks_is_answered(window: Callable[..., Page], live: Live) -> None:
    email, page, before = new_address(), window(), live.members()
    page.goto(f"{live.app}/join")
    to_checkout(page, live)
    pay(page, email, ASKS_THE_BANK)
    expect(page.get_by_role("heading", level=1)).to_have_text("Your bank asks: is this you?")
    page.get_by_role("button", name="Refuse").click()
    expect(page.get_by_role("alert")).to_contain_text("unable to authenticate")
    assert live.subscriptions_of(email) == []
    pay(page, email, ASKS_THE_BANK)
    page.get_by_role("button", name="Confirm").click()
    expect_member(page)
    assert live.members() == before + 1


def test_cancel_leads_back_with_the_choice_kept(window: Callable[..., Page], live: Live) -> None:
    page = window()
    page.goto(live.article)
    choice = card(page)
    choice.get_by_role("radio", name="USD").check()
    choice.get_by_role("link", name="Become a member").click()
    page.get_by_label("Or another amount each month").fill("17.50")
    page.get_by_label("Cover the card fee as well").check()
    expect(page.locator("#pay")).to_have_text("Pay $18.34 a month")
    to_checkout(page, live)
    page.get_by_role("link", name="Cancel and go back").click()

    expect(page.get_by_role("status")).to_have_text(
        "You came back without paying, so you haven’t been charged."
    )
    expect(page.get_by_label("Or another amount each month")).to_have_value("17.50")
    expect(page.get_by_label("Cover the card fee as well")).to_be_checked()
    expect(page.locator("#pay")).to_have_text("Pay $18.34 a month")
    to_checkout(page, live)
    pay(page, new_address())
    expect_member(page)
    page.get_by_role("link", name="Go back to the article").click()
    expect(page).to_have_url(f"{live.article}#joined=25000")


def test_the_browsers_own_back_button_leads_back_to_a_form_that_works(
    window: Callable[..., Page], live: Live
) -> None:
    page = window()
    page.goto(f"{live.app}/join?tier=patron&interval=year&currency=EUR")
    to_checkout(page, live)
    page.go_back()
    expect(page.locator("#pay")).to_have_text("Pay €250 a year")
    page.get_by_role("radio", name=re.compile("Reader")).check()
    expect(page.locator("#pay")).to_have_text("Pay €50 a year")
    to_checkout(page, live)
    expect(page.locator(".total")).to_have_text("€50.00 per year")


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
    page.get_by_role("link", name="Once a year").click()
    page.get_by_role("link", name="US Dollar").click()
    page.get_by_role("link", name="Choose $50 a year").click()

    expect(page.get_by_role("radio", name=re.compile("Reader"))).to_be_checked()
    page.get_by_label("Or another amount each year").fill("62.50")
    page.get_by_label("Cover the card fee as well").check()
    page.get_by_role("button", name="Pay every year").click()
    expect(page.locator(".total")).to_have_text("US$64.68 per year")
    pay(page, email)
    number = expect_member(page)
    expect(page.locator(".standfirst")).to_contain_text("Your $64.68 has gone through")
    page.get_by_role("link", name="Go back to the article").click()
    expect(page).to_have_url(f"{live.article}#joined=25000")
    reader = window()
    read_email(reader, live, email, f"You are member {number} of The Northern Ledger")


@pytest.mark.parametrize(
    ("interval", "amount", "paid"), [("month", "12.30", "€12.75"), ("year", "123", "€125.13")]
)
def test_an_own_amount_with_the_fee_is_what_is_asked_taken_and_said(
    window: Callable[..., Page], live: Live, interval: str, amount: str, paid: str
) -> None:
    page = window()
    page.goto(f"{live.app}/join?currency=EUR&interval={interval}")
    page.get_by_label(re.compile("Or another amount")).fill(amount)
    page.get_by_label("Cover the card fee as well").check()
    expect(page.locator("#pay")).to_have_text(f"Pay {paid} a {interval}")
    to_checkout(page, live)
    expect(page.locator(".total")).to_have_text(f"{paid} per {interval}")
    pay(page, new_address())
    expect_member(page)
    expect(page.locator(".standfirst")).to_contain_text(f"Your {paid} has gone through")
    expect(
        page.get_by_text(f"You’ll be charged {paid}, and each {interval} after that.")
    ).to_be_visible()


def test_a_contribution_is_thanked_for_and_shown_to_staff_and_counts_nobody(
    window: Callable[..., Page], live: Live
) -> None:
    email, page, before = new_address(), window(), live.members()
    page.goto(f"{live.app}/join")
    page.get_by_role("link", name="One time").click()
    page.get_by_label("Amount").fill("30")
    expect(page.locator("#pay")).to_have_text("Give £30 once")
    to_checkout(page, live)
    pay(page, email, name="Bohdan Once")
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you for £30")
    expect(page.locator(".standfirst")).to_contain_text("doesn’t make you a member")
    read_email(page, live, email, "Thank you for £30")
    sign_in(page, live)
    page.get_by_role("link", name="Contributions", exact=True).click()
    expect(page.get_by_role("row", name="Bohdan Once")).to_contain_text("£30")
    page.get_by_role("link", name="Bohdan Once").click()
    expect(page.get_by_text("Has never counted")).to_be_visible()
    assert live.members() == before


def test_a_debit_in_process_counts_and_says_that_it_is_on_its_way(
    window: Callable[..., Page], live: Live
) -> None:
    email, page, before = new_address(), window(), live.members()
    page.goto(f"{live.app}/join?currency=EUR")
    to_checkout(page, live)
    pay(page, email, DEBIT)
    expect_member(page)
    expect(page.locator(".standfirst")).to_contain_text(
        "Your bank is processing the payment of €10."
    )
    assert live.members() == before + 1
    sign_in(page, live)
    find_member(page, live, email)
    expect(happened(page, "Joined")).to_contain_text("on its way")
