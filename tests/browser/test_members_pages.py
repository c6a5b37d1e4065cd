"""Staff find a member and change something, by keyboard alone, with scripts and without."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from sqlalchemy import update

from fundraiser.db import now
from fundraiser.members.models import Member, Membership, Note
from fundraiser.outbox import Email, EmailState, enqueue
from fundraiser.payments.intents import Intent
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus
from tests.factories import make_member, make_membership
from tests.staff import PASSWORD, count, hire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser.conftest import Service

pytestmark = pytest.mark.browser


@pytest.fixture
def hanna(service: Service) -> Member:
    """One of sixty, who pays and counts."""
    with service.app.database.transaction() as session:
        for number in range(59):
            make_member(session, name=f"Taras Melnyk {number}", country="UA")
        member = make_member(session, name="Hanna Shevchuk", country="IE")
        end = now() + timedelta(days=9)
        session.add(make_membership(member, tier="patron", customer_id="cus_1", period_end=end))
        count(session, member)
    return member


def sign_in(page: Page, service: Service, path: str) -> None:
    page.goto(f"{service.url}/staff/sign-in?next={path}")
    page.locator("#email").fill(hire(service.app.database))
    page.locator("#password").fill(PASSWORD)
    page.locator("form[action='/staff/sign-in'] button").click()
    expect(page).to_have_url(f"{service.url}{path}")


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until this has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} can't be reached")


def expect_nothing_for_axe(page: Page) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        results = Axe().run(page)
        assert results.violations_count == 0, results.response["violations"]


@pytest.mark.usefixtures("hanna")
def test_the_list_follows_what_is_typed_and_chosen_and_so_does_the_address(
    page: Page, service: Service
) -> None:
    sign_in(page, service, "/staff/members")
    expect(page.locator("#found")).to_contain_text("50")
    page.get_by_role("searchbox").press_sequentially("hann")
    expect(page.locator("#results tbody th")).to_have_text(["Hanna Shevchuk"])
    assert page.url == f"{service.url}/staff/members?q=hann&sort=newest"
    page.locator("#country").select_option("UA")
    expect(page.locator("#results tbody th")).to_have_count(0)
    page.get_by_role("searchbox").fill("")
    expect(page.locator("#results tbody th")).to_have_count(50)
    page.locator("a[rel=next]").click()
    expect(page.locator("#results tbody th")).to_have_count(9)
    expect(page.locator("#country")).to_have_value("UA")
    expect_nothing_for_axe(page)


def test_a_member_is_found_and_ended_by_keyboard_alone(
    page: Page, service: Service, hanna: Member
) -> None:
    """As far as the page that says what would happen: there is no Stripe here."""
    sign_in(page, service, "/staff/members")
    tab_to(page, "#q")
    page.keyboard.type("hanna")
    expect(page.locator("#results tbody th")).to_have_count(1)
    tab_to(page, "#results tbody a")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Hanna Shevchuk")
    tab_to(page, "a[href$='/end']")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/end$"))
    expect_nothing_for_axe(page)
    tab_to(page, "[name=when]")
    page.keyboard.press("ArrowDown")
    expect(page.locator("[name=when]").last).to_be_checked()
    tab_to(page, "#note")
    page.keyboard.type("She called")
    tab_to(page, "form.act button")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id(re.compile("^error-"))).to_be_visible()
    expect(page.locator("#note")).to_have_value("She called")
    expect(page.locator("[name=when]").last).to_be_checked()
    expect_nothing_for_axe(page)
    with service.app.database.transaction() as session:
        assert session.query(Membership).one().ended_at is None
        assert session.query(Intent).one().is_open, "noted, and tried again"
        assert session.query(Note).one().text == "She called"
    assert hanna.counting


def test_a_note_and_a_gift_are_given_without_scripts(
    open_page: Callable[..., Page], service: Service, hanna: Member
) -> None:
    page = open_page(java_script_enabled=False, viewport={"width": 320, "height": 640})
    sign_in(page, service, f"/staff/members/{hanna.id}")
    page.locator("a[href$='/note']").click()
    page.locator("form.act button").click()
    expect(page.locator("#note-error")).to_be_visible()
    page.locator("#note").fill("Prefers letters on paper.")
    page.locator("form.act button").click()
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.locator(".timeline li").first).to_contain_text("Prefers letters on paper.")
    page.locator("a[href$='/complimentary']").click()
    page.locator("#until").fill("2020-01-01")
    page.locator("form.act button").click()
    expect(page.locator("#until-error")).to_be_visible()
    expect(page.locator("#until")).to_have_value("2020-01-01")
    page.locator("#until").fill((now() + timedelta(days=40)).date().isoformat())
    page.locator("form.act button").click()
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.get_by_test_id("status-counted")).to_be_visible()


@pytest.mark.usefixtures("hanna")
def test_who_is_filtered_is_taken_away_as_a_file(
    page: Page, service: Service, tmp_path: Path
) -> None:
    sign_in(page, service, "/staff/members?country=IE")
    with page.expect_download() as download:
        page.locator("button[formaction$='/export']").click()
    assert re.fullmatch(r"members-[\d-]+\.csv", download.value.suggested_filename)
    file = tmp_path / "members.csv"
    download.value.save_as(file)
    rows = file.read_text(encoding="utf-8-sig").splitlines()
    assert len(rows) == 2
    assert "Hanna Shevchuk" in rows[1]
    assert "csrf_token" not in page.url


def test_each_page_is_for_everybody(
    open_page: Callable[..., Page], service: Service, hanna: Member
) -> None:
    """In both languages no wider than a small phone; in both lights nothing for axe."""
    with service.app.database.transaction() as session:
        membership = session.query(Membership).one()
        payment = Payment(
            charge_id="ch_1",
            member_id=hanna.id,
            customer_id="cus_1",
            kind=CheckoutKind.MEMBERSHIP,
            subscription_id=membership.reference,
            status=PaymentStatus.SUCCEEDED,
            amount=1000,
            currency="GBP",
            paid_at=now(),
        )
        session.add(payment)
        enqueue(session, "welcome", to=hanna.id, key="1")
        session.execute(update(Email).values(state=EmailState.UNKNOWN, error="Nobody knows."))
        email = session.query(Email.id).scalar()
        session.get_one(Member, hanna.id).supporter_since = now()
    person = f"/staff/members/{hanna.id}"
    paths = [
        *("/staff/members?state=counting", "/staff/members?tier=baron&joined_from=yesterday"),
        *(person, f"{person}/note", f"{person}/email", f"{person}/complimentary"),
        f"{person}/memberships/{membership.id}/end",
        f"{person}/payments/{payment.id}/refund",
        f"{person}/emails/{email}/again",
        f"{person}/name/hide",
    ]
    for locale in ("uk-UA", "en-GB"):
        page = open_page(viewport={"width": 320, "height": 640}, locale=locale)
        page.goto(f"{service.url}/staff/sign-in")
        page.locator("[name=email]").fill(hire(service.app.database))
        page.locator("[name=password]").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{service.url}/staff")
        for path in paths:
            page.goto(f"{service.url}{path}")
            page.evaluate("document.fonts.ready")
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, (locale, path)
            if locale == "en-GB":
                expect_nothing_for_axe(page)
