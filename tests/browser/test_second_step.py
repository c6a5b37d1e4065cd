"""Passkeys in Chromium, with its own virtual authenticator: made, used to sign in, to confirm."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from sqlalchemy import update

from demo.servers import free_port
from fundraiser.app import create_app
from fundraiser.newsroom.models import StaffSession
from tests.browser.conftest import served
from tests.staff import PASSWORD, hire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import CDPSession, Page

    from fundraiser.app import FundraiserApp
    from fundraiser.config import Settings

pytestmark = pytest.mark.browser


@pytest.fixture
def desk(settings: Settings) -> Iterator[tuple[str, FundraiserApp]]:
    """The service at an address with a name, which passkeys need."""
    url = f"http://localhost:{free_port()}"
    app = create_app(replace(settings, public_url=url))
    with served(app, url):
        yield url, app
    app.database.dispose()


def give_authenticator(page: Page) -> CDPSession:
    """A device with a fingerprint reader that knows its owner."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("WebAuthn.enable")
    device = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True}
    cdp.send(
        "WebAuthn.addVirtualAuthenticator",
        {"options": device | {"hasUserVerification": True, "isUserVerified": True}},
    )
    return cdp


def enter(page: Page, url: str, email: str) -> None:
    page.goto(f"{url}/staff/sign-in?next=/staff/account")
    page.locator("#email").fill(email)
    page.locator("#password").fill(PASSWORD)
    page.locator("form[action='/staff/sign-in'] button").click()


def check_access(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_passkey_is_made_and_then_signs_in_and_confirms(
    page: Page, desk: tuple[str, FundraiserApp]
) -> None:
    url, app = desk
    email = hire(app.database)
    cdp = give_authenticator(page)
    enter(page, url, email)
    check_access(page)
    page.locator("form[action$='/passkeys/new'] button").click()
    check_access(page)
    page.locator("[data-passkey=create] button").click()
    expect(page.get_by_role("status")).to_have_count(2)
    page.locator("form[action$='/recovery-codes'] button").click()
    codes = page.locator("[data-test=recovery-codes]")
    expect(codes.get_by_role("listitem")).to_have_count(10)
    check_access(page)
    page.locator(".rail-foot button").click()

    enter(page, url, email)
    expect(page).to_have_url(f"{url}/staff/sign-in/code")
    check_access(page)
    page.locator("[data-passkey=get] button").click()
    expect(page).to_have_url(f"{url}/staff/account")

    with app.database.transaction() as session:
        earlier = StaffSession.confirmed_at - timedelta(minutes=10)
        session.execute(update(StaffSession).values(confirmed_at=earlier))
    page.locator("form[action$='/removal'] button").click()
    expect(page.locator("#password_again")).to_be_visible()
    check_access(page)
    page.locator("[data-passkey=get] button").click()
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.locator("form[action$='/removal']")).to_have_count(0)
    cdp.detach()


def test_where_the_device_has_no_passkey_the_page_says_so_and_a_recovery_code_helps(
    page: Page, desk: tuple[str, FundraiserApp]
) -> None:
    url, app = desk
    email = hire(app.database)
    cdp = give_authenticator(page)
    enter(page, url, email)
    page.locator("form[action$='/passkeys/new'] button").click()
    page.locator("[data-passkey=create] button").click()
    page.locator("form[action$='/recovery-codes'] button").click()
    code = page.locator("[data-test=recovery-codes] li").first.inner_text()
    page.locator(".rail-foot button").click()
    cdp.send("WebAuthn.disable")
    cdp.send("WebAuthn.enable")
    give_authenticator(page)  # another device, which has none

    enter(page, url, email)
    page.locator("[data-passkey=get] button").click()
    expect(page.locator("[data-failed]")).to_be_visible()
    page.locator("#code").fill(code.lower())
    page.locator("#code").press("Enter")
    expect(page).to_have_url(f"{url}/staff/account")
    expect(page.get_by_test_id("recovery-codes-left")).to_contain_text("9")
