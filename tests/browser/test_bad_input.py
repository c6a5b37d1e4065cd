"""What can't be done is said in a sentence on a page, with the right status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first starts everything

NOT_ON_THE_LIST = "not on this campaign’s list"
NOT_FOUND = "If you’ve paid, your payment isn’t lost, and we’ll e-mail you. Don’t pay again"


@pytest.mark.parametrize(
    ("address", "status", "sentence"),
    [
        ("/campaigns/nothing", 404, "There is no campaign at this address."),
        ("/join?campaign=nothing", 404, "There is no campaign at this address."),
        ("/join?tier=baron", 422, "Choose one of the memberships on offer."),
        ("/join?currency=XAU", 422, "Choose a currency that we take: EUR, GBP, USD."),
        ("/join?interval=century", 422, "Choose how often you pay"),
        ("/join?return=https://evil.example/", 400, NOT_ON_THE_LIST),
        ("/join?return=javascript:alert(1)", 400, NOT_ON_THE_LIST),
        ("/join?return=//evil.example/", 400, NOT_ON_THE_LIST),
        ("/join?campaign=25000%00", 400, "This address or form is damaged."),
        ("/join?canceled=nothing", 404, NOT_FOUND),
        ("/join/thanks", 404, NOT_FOUND),
        ("/join/thanks?session_id=cs_test_not_ours", 404, NOT_FOUND),
        ("/nowhere", 404, "Check the address, or begin at the membership page."),
    ],
)
def test_an_address_that_leads_nowhere_says_so(
    window: Callable[..., Page], live: Live, address: str, status: int, sentence: str
) -> None:
    page = window()
    answer = page.goto(f"{live.app}{address}")
    assert answer is not None
    assert answer.status == status
    expect(page.get_by_text(sentence).first).to_be_visible()
    expect(page.get_by_role("link", name="Membership", exact=True)).to_be_visible()
    assert "Traceback" not in page.content()


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("1.99", "The amount must be £2 or more."),
        ("-5", "Enter the amount in figures, like 12 or 12.50."),
        ("ten", "Enter the amount in figures, like 12 or 12.50."),
        ("10.005", "Enter the amount in figures, like 12 or 12.50."),
        ("2000000", "The amount must be £1,000,000 or less."),
    ],
)
@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
def test_an_amount_that_cannot_be_paid_is_said_beside_its_field(
    window: Callable[..., Page], live: Live, typed: str, sentence: str, *, javascript: bool
) -> None:
    page = window(java_script_enabled=javascript)
    page.goto(f"{live.app}/join?tier=patron")
    field = page.get_by_label("Or another amount each month")
    field.fill(typed)
    page.get_by_label("Cover the card fee as well").check()
    with page.expect_response(f"{live.app}/join") as answer:
        page.locator("#pay").click()
    assert answer.value.status == 422
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    expect(page.locator("#amount-error")).to_contain_text(sentence)
    expect(field).to_have_value(typed)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Cover the card fee as well")).to_be_checked()
    page.get_by_role("link", name=sentence).click()
    expect(field).to_be_focused()


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
    expect(page.get_by_text("This form was sent from another site.")).to_be_visible()
