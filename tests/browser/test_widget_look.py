"""How the widget looks on the pages of other sites, whatever they and their readers prefer."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from fundraiser.widget.heights import frame_height, frame_style, reserve
from fundraiser.widget.script import current_script
from tests.browser.widget import BOTH_SCHEMES, part

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Page

    from tests.browser.conftest import Service, Site

pytestmark = pytest.mark.browser


def test_hostile_styles_of_the_page_do_not_reach_it(page: Page, site: Site) -> None:
    hostile = """<style>* { letter-spacing: 9px; text-transform: uppercase; line-height: 3 }
      a { display: none } p { font-size: 60px; margin: 90px; float: right } b { visibility: hidden }
      label, input { opacity: 0; position: absolute } section { display: none }
      body { text-indent: 80px; white-space: nowrap; word-spacing: 2em; cursor: none }</style>"""
    page.goto(site.put(site.widget()))
    expect(part(page, "join")).to_be_visible()
    plain = page.locator("membership-progress").bounding_box()
    page.goto(site.put(site.widget(), head=hostile))
    expect(part(page, "join")).to_be_visible()
    assert part(page, "headline").evaluate("node => getComputedStyle(node).textTransform") == "none"
    assert part(page, "join").evaluate("node => getComputedStyle(node).letterSpacing") == "normal"
    hurt = page.locator("membership-progress").bounding_box()
    assert plain is not None
    assert hurt is not None
    assert hurt["height"] == pytest.approx(plain["height"], abs=2)


def test_right_to_left_the_bar_fills_from_the_right(page: Page, site: Site) -> None:
    head = "<script>document.documentElement.dir = 'rtl'</script>"
    page.goto(site.put(site.widget(), lang="ar", head=head))
    expect(part(page, "figure")).to_be_visible()
    bar, fill = part(page, "track").bounding_box(), part(page, "fill").bounding_box()
    assert bar is not None
    assert fill is not None
    assert fill["x"] + fill["width"] == pytest.approx(bar["x"] + bar["width"], abs=1)


@pytest.mark.parametrize("ink", ["light", "dark", "dark without saying so"])
def test_axe_finds_nothing_in_any_variant(
    open_page: Callable[..., Page], site: Site, ink: str
) -> None:
    schemes = {
        "light": "",
        "dark": "<style>:root { color-scheme: dark }</style>",
        "dark without saying so": "<style>body { color: #eee; background: #111 }</style>",
    }
    variants = [site.widget(variant) for variant in ("card", "bar", "compact", "counter")]
    themed = [site.widget("bar", f'theme="{theme}"') for theme in ("light", "dark")]
    page = open_page(reduced_motion="reduce")
    page.goto(site.put("<hr>".join(variants + themed), head=schemes[ink]))
    expect(part(page, "figure").last).to_have_text("16,234")
    results = Axe().run(page)
    assert results.violations_count == 0, results.response["violations"]


@pytest.mark.parametrize("preferred", ["light", "dark"])
def test_a_theme_holds_whatever_the_page_and_its_reader_prefer(
    open_page: Callable[..., Page], site: Site, preferred: str
) -> None:
    page = open_page(color_scheme=preferred)
    themes = ("light", "dark")
    widgets = "".join(site.widget("bar", f'theme="{theme}"') for theme in themes)
    page.goto(site.put(widgets, head=BOTH_SCHEMES))
    expect(part(page, "figure").last).to_have_text("16,234")
    paper = "node => getComputedStyle(node).backgroundColor"
    papers = [page.locator(f"membership-progress .{theme}").evaluate(paper) for theme in themes]
    assert papers == ["rgb(255, 255, 255)", "rgb(18, 18, 18)"]


@pytest.mark.parametrize("accent", ["#ffe500", "#052962", "#c70000", "#777777"])
def test_words_on_any_accent_can_be_read(page: Page, site: Site, accent: str) -> None:
    page.goto(site.put(site.widget(attributes=f'accent="{accent}"')))
    expect(part(page, "join")).to_be_visible()
    results = Axe().run(page, options={"runOnly": ["color-contrast"]})
    assert results.violations_count == 0, results.response["violations"]


def test_a_live_change_moves_the_bar_and_the_digits_once(
    open_page: Callable[..., Page], service: Service, site: Site
) -> None:
    running = "document.querySelector('membership-progress').shadowRoot.getAnimations().length"
    address = site.put(site.widget(), head=BOTH_SCHEMES)
    for motion, expected in (("no-preference", True), ("reduce", False)):
        page = open_page(reduced_motion=motion, color_scheme="dark")
        service.set_members(10_000)
        page.goto(address)
        expect(part(page, "figure")).to_have_text("10,000")
        assert page.evaluate(running) == 0
        page.evaluate(
            "() => document.addEventListener('membership-progress:change', () => "
            f"requestAnimationFrame(() => {{ window.moved = {running} }}))"
        )
        service.set_members(20_000)
        page.wait_for_function("() => window.moved !== undefined")
        assert (page.evaluate("moved") > 0) is expected


def test_forced_colours_leave_the_bar_and_the_choice_visible(
    open_page: Callable[..., Page], site: Site
) -> None:
    page = open_page(forced_colors="active")
    page.goto(site.put(site.widget()))
    expect(part(page, "figure")).to_have_text("16,234")
    colour = "node => getComputedStyle(node).backgroundColor"
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    colours = {part(page, name).evaluate(colour) for name in ("fill", "track", "tick")}
    assert len(colours | {paper}) == 4
    edge = "node => getComputedStyle(node).borderTopColor"
    assert part(page, "join").evaluate(edge) != paper
    expect(page.get_by_role("radio", name="Member")).to_be_checked()


@pytest.mark.parametrize("size", ["100%", "200%"])
def test_it_fits_a_small_phone_and_large_letters(
    open_page: Callable[..., Page], site: Site, size: str
) -> None:
    page = open_page(viewport={"width": 320, "height": 640})
    head = f"<style>html {{ font-size: {size} }} body {{ margin: 16px }}</style>"
    widgets = [site.widget(variant) for variant in ("card", "bar", "compact")]
    page.goto(site.put("<hr>".join(widgets), lang="uk", head=head))
    expect(part(page, "figure").last).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    for target in page.get_by_role("link").all() + page.locator("membership-progress label").all():
        box = target.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 24


@pytest.mark.parametrize("family", ["sans-serif", "monospace"])
@pytest.mark.parametrize("window", [360, 390, 460, 1280])
def test_a_reserved_place_does_not_shift_the_page(
    open_page: Callable[..., Page], site: Site, window: int, family: str
) -> None:
    page = open_page(viewport={"width": window, "height": 2000})
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach("
        "entry => { shift += entry.value })).observe({ type: 'layout-shift', buffered: true })"
    )
    style = f"<style>main {{ font: 16px/1.5 {family}; max-width: 640px; margin: 0 8px }}</style>"
    for variant in ("card", "bar", "compact"):
        body = site.widget(variant) + "<p>The article goes on.</p>"
        page.goto(site.put(body, head=style + reserve(variant)))
        expect(part(page, "figure")).to_have_text("16,234")
        page.evaluate("() => new Promise(requestAnimationFrame)")
        assert page.evaluate("shift") == 0, variant


@pytest.mark.parametrize("lang", ["en", "uk"])
def test_a_frame_is_as_tall_as_what_it_shows_at_each_width(
    open_page: Callable[..., Page], site: Site, lang: str
) -> None:
    page = open_page()
    inside = "() => [document.body.offsetHeight, innerHeight]"
    for variant in ("card", "bar", "compact", "counter"):
        url = f"{site.service.url}/campaigns/25000/embed?variant={variant}&lang={lang}"
        style = frame_style(variant)
        frame = f'<iframe src="{url}" title="Progress" style="{style}; width: 100%"></iframe>'
        page.goto(site.put(frame, head="<style>body { margin: 0 16px }</style>"))
        expect(page.frame_locator("iframe").locator(".figure")).to_contain_text("16")
        for window in (320, 360, 390, 430, 480, 600, 700, 1000):
            page.set_viewport_size({"width": window, "height": 800})
            tall, room = page.frames[1].evaluate(inside)
            assert tall <= room, (variant, window)
            assert room == frame_height(variant, window - 40) or window == 1000, (variant, window)


def test_long_texts_in_large_type_stay_within_their_column(
    open_page: Callable[..., Page], site: Site
) -> None:
    page = open_page(viewport={"width": 320, "height": 640})
    texts = (
        'headline="Donaudampfschifffahrtsgesellschaftskapitän" '
        'button="Werden Sie jetzt Mitglied unserer Gemeinschaft und helfen Sie"'
    )
    widgets = [site.widget(variant, texts) for variant in ("card", "bar", "compact")]
    head = "<style>membership-progress { font-size: 64px } body { margin: 0 }</style>"
    page.goto(site.put("".join(widgets), head=head))
    expect(part(page, "figure").last).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


# What the oldest browsers that docs/embedding.md promises lack: names to rename in the script, and
# what to take away from the window.
OLDEST = {
    "Chrome 103": (("color-mix", ":has(", "@starting-style", "text-wrap"), ""),
    "Firefox 101": (
        ("color-mix", ":has(", "@starting-style", "text-wrap"),
        """for (const name of Object.keys(Element.prototype))
             if (/^aria|^role$/.test(name)) delete Element.prototype[name]""",
    ),
    "Safari 15.4": (
        ("color-mix", "@starting-style", "text-wrap"),
        """window.CSSStyleSheet = function () { throw new TypeError('Illegal constructor') };
           delete AbortSignal.timeout""",
    ),
}


@pytest.mark.parametrize("browser", OLDEST)
def test_in_the_oldest_browsers_the_widget_can_be_read_and_used(
    open_page: Callable[..., Page], site: Site, browser: str
) -> None:
    names, taken = OLDEST[browser]
    script = current_script().body.decode()
    for name in names:
        assert name in script
        script = script.replace(name, name.replace(name.strip(":@(")[:3], "old"))
    page = open_page(color_scheme="dark")
    page.add_init_script(taken)
    page.route(
        "**/widget.js", lambda route: route.fulfill(content_type="text/javascript", body=script)
    )
    page.goto(site.put(site.widget(attributes='accent="#052962"'), head=BOTH_SCHEMES))
    expect(part(page, "count")).to_have_text("16,234 of 25,000 members")
    page.get_by_role("radio", name="Patron").check()
    expect(part(page, "join")).to_have_attribute("href", re.compile("tier=patron"))
    results = Axe().run(page, options={"runOnly": ["color-contrast"]})
    assert results.violations_count == 0, results.response["violations"]
    fill = part(page, "fill").evaluate("node => getComputedStyle(node).backgroundColor")
    assert min(int(shade) for shade in re.findall(r"\d+", fill)[:3]) > 100
    site.service.change(deadline=datetime.now(UTC) - timedelta(hours=1))
    page.reload()
    expect(part(page, "state")).to_contain_text("ended")
    expect(page.get_by_role("radio")).to_have_count(0)


def test_a_browser_that_cannot_read_the_script_leaves_the_link(
    chromium: Browser, site: Site
) -> None:
    page = chromium.new_page()
    page.route(
        "**/widget.js",
        lambda route: route.fulfill(
            content_type="text/javascript",
            body=current_script().body.decode().replace("class", "unknown-class"),
        ),
    )
    with page.expect_event("pageerror"):
        page.goto(site.put(site.widget()))
    expect(page.get_by_role("link", name="Our campaign")).to_be_visible()
    page.close()
