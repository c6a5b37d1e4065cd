"""A member in the browser: signing in by e-mail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.live import button_of, field, read_email

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.live import Live


def ask(page: Page, live: Live, email: str) -> None:
    """Ask for the e-mail of sign-in."""
    page.goto(f"{live.app}/account")
    field(page, "email").fill(email)
    button_of(page, "/account/sign-in").click()
    expect(page).to_have_url(f"{live.app}/account/sign-in/code")


def email_of(reader: Page, live: Live, email: str, nth: int = 1) -> tuple[str, str]:
    """The link and the code of the nth e-mail."""
    message = read_email(reader, live, email, "sign_in", nth)
    link = message.locator("a[href*='/account/sign-in/link']").get_attribute("href")
    assert link
    return link, message.get_by_role("heading", level=1).inner_text()


def sign_in(page: Page, live: Live, email: str) -> None:
    """Sign in by the link of the e-mail, in the browser that asked."""
    ask(page, live, email)
    reader = page.context.new_page()
    link, _code = email_of(reader, live, email)
    reader.close()
    page.goto(link)
    expect(page.get_by_test_id("member-number")).to_be_visible()
