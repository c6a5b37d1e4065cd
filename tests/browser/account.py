"""A member in the browser: signing in by e-mail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.live import read_email

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.live import Live


CODE = re.compile(r"^Your code for .*: \d{6}$")


def ask(page: Page, live: Live, email: str) -> None:
    """Ask for the e-mail of sign-in."""
    page.goto(f"{live.app}/account")
    page.get_by_label("Your e-mail address").fill(email)
    page.get_by_role("button", name="Send me the letter").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Enter the code")


def email_of(reader: Page, live: Live, email: str) -> tuple[str, str]:
    """The link and the code of the e-mail."""
    message = read_email(reader, live, email, CODE)
    link = message.get_by_role("link", name="Sign in").get_attribute("href")
    assert link
    return link, message.get_by_role("heading", level=1).inner_text()


def sign_in(page: Page, live: Live, email: str) -> None:
    """Sign in by the link of the e-mail, in the browser that asked."""
    ask(page, live, email)
    reader = page.context.new_page()
    link, _code = email_of(reader, live, email)
    reader.close()
    page.goto(link)
    expect(page).to_have_url(f"{live.app}/account/sign-in/link")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^You are member"))
