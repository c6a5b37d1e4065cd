"""Staff set up a shop and a campaign in a browser: by keyboard, without scripts, on a telephone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from demo.servers import free_port
from fundraiser.app import create_app
from fundraiser.campaigns.models import Campaign
from tests.browser.conftest import served
from tests.staff import PASSWORD, hire

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from fundraiser.config import Settings
    from fundraiser.db import Database
    from tests.browser.conftest import Service, Site

pytestmark = pytest.mark.browser

PAGES = (
    *("campaigns", "campaigns/new", "campaigns/25000", "campaigns/25000/edit"),
    *("tiers", "tiers/new", "tiers/member", "tiers/contribution"),
    *("campaigns/25000/milestones", "emails", "account", "rates", "resting"),
)


def sign_in(page: Page, url: str, database: Database) -> None:
    page.goto(f"{url}/staff/sign-in?next=/staff/campaigns")
    page.locator("#email").fill(hire(database))
    page.locator("#password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{url}/staff/campaigns")


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until this has the focus; nothing else moves the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"Tab does not lead to {selector}")


def test_a_campaign_is_changed_raised_and_ended_by_keyboard_alone(
    page: Page, open_page: Callable[..., Page], service: Service, site: Site
) -> None:
    reader = open_page()
    reader.goto(site.put(site.widget()))
    expect(reader.locator("membership-progress .figure")).to_have_text("16,234")
    sign_in(page, service.url, service.app.database)
    tab_to(page, "main a[href$='/staff/campaigns/25000']")
    page.keyboard.press("Enter")
    expect(page.locator("membership-progress[lang=uk] .figure")).to_have_text(re.compile("16"))
    tab_to(page, "a[href$='/edit']")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/edit$"))
    tab_to(page, "[name=headlines-en]")
    page.keyboard.press("Control+a")
    page.keyboard.type("Keep the lights on")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("notice-campaign-changed")).to_be_visible()
    expect(reader.locator("membership-progress .headline")).to_have_text("Keep the lights on")
    tab_to(page, "[name=goal]")
    page.keyboard.type("30 000")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("notice-goal")).to_be_visible()
    expect(reader.locator("membership-progress")).to_contain_text("30,000")
    tab_to(page, "details:has([action$='/end']) > summary")
    page.keyboard.press("Enter")
    tab_to(page, "form[action$='/end'] button")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("notice-campaign-ended")).to_be_visible()
    expect(reader.locator("membership-progress .box.ended")).to_be_visible()


def test_what_is_wrong_has_the_focus_and_leads_to_its_field(page: Page, service: Service) -> None:
    sign_in(page, service.url, service.app.database)
    page.goto(f"{service.url}/staff/campaigns/25000/edit")
    page.locator("[name=headlines-en]").fill("")
    page.locator("[name=deadline]").fill("2020-01-01T10:00")
    page.locator(".long-form button").last.click()
    expect(page.locator("#errors")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("[name=headlines-en]")).to_be_focused()
    page.keyboard.type("Again")
    expect(page.locator("[name=headlines-en]")).to_have_value("Again")
    assert axe(page) == []


def test_an_empty_deployment_is_set_up_without_scripts_on_a_telephone(
    open_page: Callable[..., Page], settings: Settings
) -> None:
    """Stripe is away meanwhile, which is said and loses nothing."""
    app, url = create_app(settings), f"http://127.0.0.1:{free_port()}"
    page = open_page(java_script_enabled=False, viewport={"width": 320, "height": 640})
    with served(app, url):
        page.goto(url)
        expect(page.get_by_test_id("not-open")).to_be_visible()
        sign_in(page, url, app.database)
        page.locator("main a[href='/staff/tiers/new']").click()
        page.locator("[name=names-en]").fill("Friend")
        page.locator("[name=prices-month-GBP]").fill("8")
        page.locator(".long-form button").last.click()
        expect(page.get_by_test_id("notice-stripe-away")).to_be_visible()
        page.locator("nav a[href='/staff/campaigns']").click()
        page.locator("main a[href='/staff/campaigns/new']").click()
        page.locator("[name=headlines-en]").fill("Keep the lights on")
        page.locator("[name=messages-en]").fill("Help us through the winter")
        page.locator("[name=slug]").fill("winter")
        page.locator("[name=goal]").fill("500")
        page.locator("[name=deadline]").fill("2060-01-31T23:59")
        page.locator(".long-form button").last.click()
        expect(page.get_by_test_id("notice-campaign-made")).to_be_visible()
        page.goto(url)
        expect(page.get_by_role("heading", level=1)).to_have_text("Keep the lights on")
        expect(page.locator(".tally-of")).to_contain_text("500")
    app.database.dispose()


@pytest.mark.parametrize("paths", [PAGES[:5], PAGES[5:]])
def test_the_pages_are_for_everybody(
    open_page: Callable[..., Page], service: Service, paths: tuple[str, ...]
) -> None:
    """In both languages no wider than a small phone; on it and in the dark nothing for axe."""
    first = open_page()
    sign_in(first, service.url, service.app.database)
    state = first.context.storage_state()
    for locale in ("uk-UA", "en-GB"):
        page = open_page(locale=locale, storage_state=state)
        for path in paths:
            page.set_viewport_size({"width": 320, "height": 640})
            page.emulate_media(color_scheme="light", reduced_motion="reduce")
            page.goto(f"{service.url}/staff/{path}")
            page.evaluate("document.fonts.ready")
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, (path, locale)
            if locale == "en-GB":
                assert axe(page) == [], path
                page.set_viewport_size({"width": 1280, "height": 900})
                page.emulate_media(color_scheme="dark", reduced_motion="reduce")
                assert axe(page) == [], path


def test_who_was_slower_sees_both_and_keeps_what_was_typed(page: Page, service: Service) -> None:
    sign_in(page, service.url, service.app.database)
    page.goto(f"{service.url}/staff/campaigns/25000/edit")
    page.locator("[name=headlines-en]").fill("Mine")
    with service.app.database.transaction() as session:
        session.get_one(Campaign, "25000").headlines = {"en": "Theirs", "uk": "Їхнє"}
    page.locator(".long-form button").last.click()
    expect(page.locator("#conflict")).to_contain_text("Theirs")
    expect(page.locator("#conflict")).to_be_focused()
    expect(page.locator("[name=headlines-en]")).to_have_value("Mine")
    assert axe(page) == []
    page.locator(".long-form button").last.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Mine")


def axe(page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds wrong: each rule with the places where it is broken."""
    found = Axe().run(page).response["violations"]
    return [(rule["help"], [node["html"] for node in rule["nodes"]]) for rule in found]
