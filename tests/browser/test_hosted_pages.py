"""In a real browser: Stripe's pages on a domain of the account's own, which we did not know of."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import requests
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from tests.browser.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first starts everything


@contextmanager
def own_domain(live: Live) -> Iterator[str]:
    """Stripe's pages are at another host for as long as it lasts."""
    own = live.simulator.replace("127.0.0.1", "localhost")

    def choose(value: str | None) -> None:
        answer = requests.post(
            f"{live.simulator}/_simulator/choices", json={"checkout_domain": value}, timeout=10
        )
        assert answer.ok, answer.text

    choose(own)
    try:
        yield own
    finally:
        choose(None)


def test_readers_get_to_a_checkout_that_has_moved(window: Callable[..., Page], live: Live) -> None:
    page = window()
    page.goto(f"{live.app}/join?campaign=25000")  # by the policy of before
    with own_domain(live) as own:
        page.locator("#pay").click()
        page.wait_for_url(f"{own}/**")
        expect(page.locator(".total")).to_be_visible()
        page.go_back()
        expect(page.locator("#pay")).to_be_visible()
        other = window(java_script_enabled=False)
        other.goto(f"{live.app}/join?campaign=25000")
        other.locator("#pay").click()
        other.wait_for_url(f"{own}/**")
