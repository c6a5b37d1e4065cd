"""Staff choose how the widget looks, in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from fundraiser.campaigns.theme import contrast_of_words
from tests.staff import PASSWORD, hire

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser.conftest import Service, Site

pytestmark = pytest.mark.browser


def open_as_staff(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/staff/sign-in?next=/staff/campaigns/25000/widget")
    page.locator("#email").fill(hire(service.app.database))
    page.locator("#password").fill(PASSWORD)
    page.locator("form[action='/staff/sign-in'] button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Widget")


def test_staff_see_the_choice_live_and_copy_its_code(page: Page, service: Service) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_as_staff(page, service)
    widget = page.locator("#preview membership-progress")
    expect(widget.locator(".figure")).to_have_text("16,234")
    page.get_by_label("Shape").select_option("bar")
    page.locator("#tier").select_option("patron")
    expect(widget).to_have_attribute("variant", "bar")
    expect(widget).to_have_attribute("tier", "patron")
    expect(widget.locator(".figure")).to_have_text("16,234")
    code = page.locator("#code-html")
    expect(code).to_contain_text('variant="bar" tier="patron"')
    button = page.get_by_role("button", name="Copy Any site")
    button.click()
    expect(page.locator("[data-copy=code-html]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == code.text_content()
    results = Axe().run(page)
    assert results.violations_count == 0, results.response["violations"]


def test_a_look_is_kept_without_scripts(
    open_page: Callable[..., Page], service: Service, site: Site
) -> None:
    reader = open_page()
    reader.goto(site.put(site.widget("bar")))
    expect(reader.locator("membership-progress .figure")).to_have_text("16,234")
    page = open_page(java_script_enabled=False)
    open_as_staff(page, service)
    expect(page.get_by_role("button", name="Copy Any site")).to_be_hidden()
    page.get_by_label("Colours").select_option("dark")
    page.get_by_role("button", name="Save colours for the campaign").click()
    expect(page.get_by_role("status")).to_contain_text("Saved. Open pages will show the new look")
    expect(page.get_by_label("Colours")).to_have_value("dark")
    assert "csrf_token" not in page.url
    expect(reader.locator("membership-progress .box.dark")).to_be_visible()


@pytest.mark.parametrize(
    "accent", ["#ffe500", "#052962", "#c70000", "#777777", "#767676", "#a500ff"]
)
def test_the_contrast_is_of_the_colours_that_the_browser_paints(
    page: Page, site: Site, accent: str
) -> None:
    page.goto(site.put(site.widget(attributes=f'accent="{accent}"')))
    link = page.locator("membership-progress a.join")
    expect(link).to_be_visible()
    painted = link.evaluate(
        """node => {
          const canvas = document.createElement('canvas').getContext('2d');
          const light = colour => {
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
            const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(
              part => part > 10 ? ((part / 255 + .055) / 1.055) ** 2.4 : part / 255 / 12.92);
            return .2126 * r + .7152 * g + .0722 * b + .05;
          };
          const { color, backgroundColor } = getComputedStyle(node);
          const [a, b] = [light(color), light(backgroundColor)];
          return Math.max(a, b) / Math.min(a, b);
        }"""
    )
    assert contrast_of_words(accent) == pytest.approx(painted, rel=0.03)
