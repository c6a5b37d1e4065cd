"""What can't be done is said in a sentence on a page, with the right status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.live import field, link_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first starts everything


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/campaigns/nothing", 404),
        ("/join?campaign=nothing", 404),
        ("/join?tier=baron", 422),
        ("/join?currency=XAU", 422),
        ("/join?interval=century", 422),
        ("/join?return=https://evil.example/", 400),
        ("/join?return=javascript:alert(1)", 400),
        ("/join?return=//evil.example/", 400),
        ("/join?campaign=25000%00", 400),
        ("/join?canceled=nothing", 404),
        ("/join/thanks", 404),
        ("/join/thanks?session_id=cs_test_not_ours", 404),
        ("/nowhere", 404),
    ],
)
def test_an_address_that_leads_nowhere_says_so(
    window: Callable[..., Page], live: Live, address: str, status: int
) -> None:
    page = window()
    answer = page.goto(f"{live.app}{address}")
    assert answer is not None
    assert answer.status == status
    refusal = (
        page.get_by_test_id(f"error-{status}")
        .or_(page.get_by_test_id("notice"))
        .or_(page.get_by_role("alert"))
    )
    expect(refusal).to_be_visible()
    expect(page.locator("footer a[href='/']")).to_be_visible()
    assert "Traceback" not in page.content()


@pytest.mark.parametrize("typed", ["1.99", "-5", "ten", "10.005", "2000000"])
@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
def test_an_amount_that_cannot_be_paid_is_said_beside_its_field(
    window: Callable[..., Page], live: Live, typed: str, *, javascript: bool
) -> None:
    page = window(java_script_enabled=javascript)
    page.goto(f"{live.app}/join?tier=patron")
    amount = field(page, "amount")
    amount.fill(typed)
    field(page, "cover_fee").check()
    with page.expect_response(f"{live.app}/join") as answer:
        page.locator("#pay").click()
    assert answer.value.status == 422
    sentence = page.locator("#amount-error").inner_text()
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    expect(amount).to_have_value(typed)
    expect(amount).to_have_attribute("aria-invalid", "true")
    expect(field(page, "cover_fee")).to_be_checked()
    link_to(page.get_by_role("alert"), "#amount").click()
    expect(amount).to_be_focused()


def test_a_form_from_another_site_is_refused(window: Callable[..., Page], live: Live) -> None:
    page = window()
    page.goto(f"{live.app}/join")
    form = page.locator("#join").evaluate("form => form.outerHTML")
    page.route(
        f"{live.simulator}/elsewhere",
        lambda route: route.fulfill(
            body=form.replace('action="/join"', f'action="{live.app}/join"'),
            content_type="text/html",
        ),
    )
    page.goto(f"{live.simulator}/elsewhere")
    with page.expect_response(f"{live.app}/join") as answer:
        page.locator("#pay").click()
    assert answer.value.status == 403
    expect(page.get_by_test_id("error-403")).to_be_visible()
