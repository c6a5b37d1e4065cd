"""The page that asks a reader's browser for a proof, with JavaScript and without."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from playwright.sync_api import expect

from fundraiser.payments.proofs import WAIT
from tests.browser.live import axe, expect_at, to_checkout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from tests.browser.live import Live


pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first starts everything


@contextmanager
def guard_on(live: Live) -> Iterator[None]:
    """Every browser is checked meanwhile."""
    with psycopg.connect(live.database, autocommit=True) as books:
        books.execute("UPDATE card_guard SET mode = 'on'")
        try:
            yield
        finally:
            books.execute("UPDATE card_guard SET mode = 'automatic'")


def test_a_browser_proves_by_itself_and_the_reader_clicks_as_often_as_ever(
    window: Callable[..., Page], live: Live
) -> None:
    page = window()
    with guard_on(live):
        page.goto(f"{live.app}/join?tier=patron")
        to_checkout(page, live)
    expect(page.get_by_text("Patron").first).to_be_visible()


def test_the_page_can_be_read_by_everybody(window: Callable[..., Page], live: Live) -> None:
    page = window(viewport={"width": 320, "height": 700})
    page.route("**/proof.js", lambda route: route.fulfill(body=""))
    with guard_on(live):
        page.goto(f"{live.app}/join")
        page.locator("#pay").click()
        expect(page.locator("#proof")).to_be_visible()
        assert axe(page, {}) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_javascript_the_reader_waits_and_continues(
    window: Callable[..., Page], live: Live
) -> None:
    page = window(java_script_enabled=False)
    with guard_on(live):
        page.goto(f"{live.app}/join?tier=patron")
        page.locator("#pay").click()
        proof = page.locator("#proof")
        expect(proof).to_be_visible()
        proof.get_by_role("button").click()
        expect(proof).to_be_visible()  # too early
        time.sleep(WAIT)
        proof.get_by_role("button").click()
        expect_at(page, f"{live.simulator}/pay/")
