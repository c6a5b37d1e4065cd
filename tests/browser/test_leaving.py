"""A member stops: until the end of what was paid nothing changes, then the number falls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
import requests
from playwright.sync_api import expect

from tests.browser.live import find_member, shown, sign_in
from tests.demonstration import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first starts everything


def soon_over(live: Live) -> str:
    """The address of a member whose paid period ends next, but not within ten minutes."""
    clock = requests.get(f"{live.simulator}/_simulator/clock", timeout=30).json()
    going_on = live.at_stripe("subscriptions", status="active", **{"expand[]": "data.customer"})
    ends = {
        subscription["items"]["data"][0]["current_period_end"]: subscription["customer"]["email"]
        for subscription in going_on
        if not subscription["cancel_at_period_end"] and not subscription["pause_collection"]
    }
    return str(ends[min(end for end in ends if end > clock["now"] + 600)])


def hold_the_clock_back(live: Live, email: str) -> None:
    """Let nobody recount this person for the time alone: the period's end is known beforehand.

    A tick would otherwise be quicker than Stripe's event, now and then.
    """
    with psycopg.connect(live.database) as books:
        changed = books.execute(
            "UPDATE member SET recount_at = NULL WHERE lower(email) = lower(%s)", (email,)
        )
        assert changed.rowcount == 1


def test_who_cancels_counts_until_the_periods_end_and_the_ledger_says_why_not_after(
    window: Callable[..., Page], live: Live
) -> None:
    email = soon_over(live)
    article, desk, stripe = window(), window(), window()
    article.goto(live.article)
    sign_in(desk, live)

    stripe.goto(live.simulator)
    stripe.get_by_role("button", name="Save the portal’s settings").click()
    expect(stripe.get_by_role("status")).to_be_visible()
    stripe.get_by_role("searchbox").fill(email)
    stripe.get_by_role("button", name="Search").click()
    stripe.get_by_role("button", name="Portal", exact=True).click()
    stripe.get_by_role("button", name="Cancel at the end of the period").click()
    expect(stripe.get_by_role("button", name="Don’t cancel")).to_be_visible()
    find_member(desk, live, email)
    record = desk.url

    def desk_says(name: str) -> bool:
        desk.goto(record)
        return desk.get_by_test_id(name).count() > 0

    wait_for(lambda: desk_says("leaving"))
    assert desk_says("status-counted"), "until that day the person goes on counting"

    hold_the_clock_back(live, email)
    stripe.goto(f"{live.simulator}/?q={email}")
    stripe.get_by_role("button", name="To the end of this period").click()
    expect(stripe.get_by_role("status")).to_contain_text("The clock is at the end of that period")
    wait_for(lambda: desk_says("status-left"))
    row = desk.get_by_test_id("left")
    expect(row).to_contain_text("−1")  # noqa: RUF001 - a minus
    expect(row).to_contain_text("evt_")
    live.wait_until_settled()  # others may have been due in the same moment
    wait_for(lambda: shown(article) == live.members())
