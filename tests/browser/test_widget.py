"""The widget in a browser, on the pages of other sites."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from fundraiser.widget.script import current_script
from tests.browser.widget import part

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Locator, Page

    from tests.browser.conftest import Service, Site

pytestmark = pytest.mark.browser


def query(link: Locator) -> dict[str, str]:
    href = link.get_attribute("href")
    assert href is not None
    return {name: value for name, (value,) in parse_qs(urlsplit(href).query).items()}


def width(locator: Locator) -> float:
    box = locator.bounding_box()
    assert box is not None
    return box["width"]


HELD_CLOCK = """
  const real = fetch;
  window.asked = 0;
  window.fetch = (...request) => { asked += 1; return (window.answer = real(...request)) };
"""


def hold_clock(page: Page) -> None:
    """Time goes on in the page only where the test says so, and ``asked`` counts its requests."""
    page.clock.install()
    page.add_init_script(HELD_CLOCK)


def live_through(page: Page, *, seconds: int) -> int:
    """Let this time pass in the page, each answer arriving at once; returns how often it asked."""
    page.evaluate("asked = 0")
    for _ in range(seconds):
        page.clock.run_for(1_000)
        page.evaluate("answer.then(() => {}, () => {})")
    return int(page.evaluate("asked"))


def test_a_card_says_number_goal_and_why(page: Page, site: Site) -> None:
    page.goto(site.put(site.widget()))
    expect(part(page, "count")).to_have_text("16,234 of 25,000 members")
    expect(part(page, "headline")).to_have_text(re.compile("Quality journalism takes work"))
    expect(part(page, "message")).to_have_text(re.compile("Help us reach 25,000 members"))
    expect(part(page, "state")).to_have_text(re.compile(r"The campaign ends in [\d,]+ days\."))
    bar = page.get_by_role("progressbar", name="Quality journalism takes work")
    expect(bar).to_have_attribute("aria-valuetext", "16,234 of 25,000 members")
    expect(bar).to_have_attribute("aria-valuenow", "16234")
    expect(bar).to_have_attribute("aria-valuemax", "25000")
    assert width(part(page, "fill")) / width(bar) == pytest.approx(16_234 / 25_000, abs=0.005)
    assert page.locator("membership-progress a", has_text="Our campaign").is_hidden()


def test_the_link_leads_to_joining_with_the_choice_made(
    page: Page, service: Service, site: Site
) -> None:
    address = site.put(site.widget())
    page.goto(f"{address}?utm=letter#comments")
    link = page.get_by_role("link", name="Become a member")
    expect(page.get_by_role("radio", name="Member £10 a month")).to_be_checked()
    page.get_by_role("radio", name="Yearly").check()
    page.get_by_role("radio", name="EUR").check()
    page.get_by_role("radio", name="Patron €250 a year").check()
    assert query(link) == {
        "campaign": "25000",
        "tier": "patron",
        "interval": "year",
        "currency": "EUR",
        "ref": address.removeprefix("http://"),
        "return": f"{address}?utm=letter",
    }
    link.click()
    page.wait_for_url(f"{service.url}/join?**")
    expect(page.get_by_role("radio", name=re.compile("Patron"))).to_be_checked()


def test_the_choice_is_made_by_the_keyboard_alone(page: Page, site: Site) -> None:
    page.goto(site.put(site.widget()))
    expect(part(page, "join")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Patron £25 a month")).to_be_focused()
    outline = "node => getComputedStyle(node).outlineStyle + getComputedStyle(node).outlineWidth"
    assert page.get_by_role("radio", name="Patron").evaluate(outline) == "solid3px"
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(part(page, "join")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/join?*tier=patron*")


def test_attributes_choose_and_replace(page: Page, site: Site) -> None:
    wishes = 'tier="reader" interval="year" currency="USD" headline="Ours" message="" button="In"'
    page.goto(site.put(site.widget(attributes=wishes)))
    expect(page.get_by_role("radio", name="Reader $50 a year")).to_be_checked()
    expect(part(page, "headline")).to_have_text("Ours")
    expect(part(page, "message")).to_have_text("")
    link = page.get_by_role("link", name="In")
    assert {"tier": "reader", "interval": "year", "currency": "USD"}.items() <= query(link).items()
    page.evaluate(
        "() => document.querySelector('membership-progress').setAttribute('tier', 'patron')"
    )
    expect(page.get_by_role("radio", name="Patron $250 a year")).to_be_checked()
    page.evaluate(
        "() => document.querySelector('membership-progress').setAttribute('tier', 'baron')"
    )
    expect(page.get_by_role("radio", name="Member $100 a year")).to_be_checked()


def test_the_number_goes_up_by_itself(page: Page, service: Service, site: Site) -> None:
    page.add_init_script("""window.said = [];
      for (const name of ['loaded', 'change'])
        document.addEventListener('membership-progress:' + name,
                                  event => { said.push([name, event.detail.members]) });""")
    page.goto(site.put(site.widget()))
    expect(part(page, "figure")).to_have_text("16,234")
    service.set_members(16_235)
    expect(part(page, "figure")).to_have_text("16,235", timeout=5_000)
    expect(page.get_by_role("progressbar")).to_have_attribute(
        "aria-valuetext", "16,235 of 25,000 members"
    )
    assert page.evaluate("said") == [["loaded", 16_234], ["change", 16_235]]
    assert (
        page.locator("membership-progress [aria-live], membership-progress [role=status]").count()
        == 0
    )


def test_a_lower_version_never_comes_after_a_higher_one(
    page: Page, service: Service, site: Site
) -> None:
    page.goto(site.put(site.widget()))
    expect(part(page, "figure")).to_have_text("16,234")
    service.set_members(16_000, version=0)
    for _ in range(3):
        with page.expect_response(re.compile("/progress$")) as answer:
            pass
    assert answer.value.json()["members"] == 16_000
    expect(part(page, "figure")).to_have_text("16,234")
    service.set_members(15_999, version=99)
    expect(part(page, "figure")).to_have_text("15,999")


def test_offline_the_last_number_stays_and_later_says_its_time(
    page: Page, service: Service, site: Site
) -> None:
    hold_clock(page)
    page.goto(site.put(site.widget()))
    expect(part(page, "figure")).to_have_text("16,234")
    page.route("**/progress", lambda route: route.abort())
    live_through(page, seconds=90)
    expect(part(page, "state")).not_to_contain_text("This number is from")
    live_through(page, seconds=60)
    expect(part(page, "state")).to_contain_text("This number is from")
    expect(part(page, "figure")).to_have_text("16,234")
    page.context.set_offline(offline=True)
    live_through(page, seconds=5)
    page.unroute("**/progress")
    service.set_members(16_300)
    live_through(page, seconds=120)
    expect(part(page, "figure")).to_have_text("16,234")
    page.context.set_offline(offline=False)
    live_through(page, seconds=5)
    expect(part(page, "figure")).to_have_text("16,300")
    expect(part(page, "state")).not_to_contain_text("This number is from")


def test_it_asks_ever_more_rarely_and_not_where_nobody_looks(
    page: Page, service: Service, site: Site
) -> None:
    hold_clock(page)
    page.goto(site.put(site.widget() + '<p style="block-size: 5000px"></p><p id="end">End</p>'))
    expect(part(page, "figure")).to_have_text("16,234")
    assert 20 <= live_through(page, seconds=60) <= 40
    live_through(page, seconds=480)
    assert live_through(page, seconds=60) <= 15
    page.locator("#end").scroll_into_view_if_needed()
    expect(part(page, "figure")).not_to_be_in_viewport()
    live_through(page, seconds=5)
    assert live_through(page, seconds=60) == 0
    service.set_members(16_400)
    part(page, "figure").scroll_into_view_if_needed()
    live_through(page, seconds=5)
    expect(part(page, "figure")).to_have_text("16,400")
    assert live_through(page, seconds=60) >= 20


def test_a_tab_that_is_hidden_asks_nothing_until_it_is_looked_at(
    page: Page, service: Service, site: Site
) -> None:
    hold_clock(page)
    page.goto(site.put(site.widget()))
    expect(part(page, "figure")).to_have_text("16,234")
    # Chromium without a window never hides a tab by itself.
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    live_through(page, seconds=5)
    assert live_through(page, seconds=60) == 0
    service.set_members(16_400)
    page.evaluate("delete document.hidden")
    live_through(page, seconds=5)
    expect(part(page, "figure")).to_have_text("16,400")


def test_twenty_elements_ask_as_one(page: Page, site: Site) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site.put(site.widget("compact") * 20))
    expect(part(page, "figure").last).to_have_text("16,234")
    assert len([url for url in asked if "/campaigns/" in url]) == 2


@pytest.mark.parametrize(
    ("change", "members", "count", "state"),
    [
        ({}, 0, "0 of 25,000 members", r"The campaign ends in [\d,]+ days\."),
        (
            {"starts_at": datetime(2050, 5, 17, 12, tzinfo=UTC)},
            100,
            "100 of 25,000 members",
            r"The campaign starts on 17 May 2050\.",
        ),
        (
            {"deadline": datetime.now(UTC) + timedelta(hours=5)},
            24_000,
            "24,000 of 25,000 members",
            r"The campaign ends in [45] hours\.",
        ),
        ({}, 25_000, "25,000 of 25,000 members", "We’ve reached the goal and are still counting"),
        (
            {},
            27_412,
            "27,412 members, 2,412 more than the goal of 25,000",
            "We’ve reached the goal and are still counting",
        ),
    ],
    ids=["nobody yet", "not begun", "last day", "reached", "beyond"],
)
def test_each_state_has_its_face(  # noqa: PLR0917 - one row a state
    page: Page,
    service: Service,
    site: Site,
    change: dict[str, datetime],
    members: int,
    count: str,
    state: str,
) -> None:
    service.change(**change)
    service.set_members(members)
    page.goto(site.put(site.widget()))
    expect(part(page, "count")).to_have_text(count)
    expect(part(page, "state")).to_have_text(re.compile(state))
    bar, fill = width(part(page, "track")), width(part(page, "fill"))
    goal_at = 25_000 / max(25_000, members / 0.96)
    assert fill / bar == pytest.approx(min(goal_at, members / 25_000), abs=0.005)
    over = width(part(page, "over"))
    assert over / bar == pytest.approx(max(0.96 - goal_at, 0) if members > 25_000 else 0, abs=0.005)


def test_an_ended_campaign_shows_its_result_and_a_quiet_way_to_join(
    page: Page, service: Service, site: Site
) -> None:
    at = datetime.now(UTC)
    service.change(deadline=at - timedelta(hours=1), starts_at=at - timedelta(days=9))
    service.set_members(30_000)
    page.goto(site.put(site.widget() + site.widget("compact")))
    expect(part(page, "state")).to_have_text(re.compile(r"The campaign ended on \d+ \w+ \d{4}\."))
    expect(part(page, "count").first).to_have_text("0 of 25,000 members")
    expect(part(page, "message")).to_be_hidden()
    expect(page.get_by_role("radio")).to_have_count(0)
    expect(page.get_by_role("link", name="Become a member")).to_be_visible()
    expect(page.get_by_role("link", name="Join")).to_be_visible()


def test_until_the_number_is_known_the_child_stands(page: Page, site: Site) -> None:
    page.goto(site.put(site.widget(campaign="unknown")))
    with page.expect_response(re.compile("unknown/progress")):
        page.reload()
    expect(page.get_by_role("link", name="Our campaign")).to_be_visible()
    page.route("**/progress", lambda route: route.abort())
    page.goto(site.put(site.widget()))
    expect(page.get_by_role("link", name="Our campaign")).to_be_visible()
    page.unroute("**/progress")
    expect(part(page, "figure")).to_have_text("16,234")


def test_a_bug_of_ours_reaches_the_console_and_the_child_stands(
    chromium: Browser, site: Site
) -> None:
    errors: list[str] = []
    page = chromium.new_page(locale="en-GB")
    page.on("pageerror", lambda error: errors.append(str(error)))
    # An appearance that loads, and that the element can do nothing with.
    page.route("**/appearance*", lambda route: route.fulfill(json={"revision": 1}))
    page.goto(site.put(site.widget()))
    with page.expect_event("pageerror", timeout=10_000):
        pass
    assert len(errors) == 1, errors
    assert "undefined" in errors[0]
    expect(page.locator("membership-progress a", has_text="Our campaign")).to_be_visible()
    page.close()


@pytest.mark.parametrize("blocked", ["javascript", "script"])
def test_without_the_script_the_child_stands(
    open_page: Callable[..., Page], site: Site, blocked: str
) -> None:
    page = open_page(java_script_enabled=blocked != "javascript")
    if blocked == "script":
        page.route("**/widget.js", lambda route: route.abort())
    page.goto(site.put(site.widget()))
    expect(page.get_by_role("link", name="Our campaign")).to_be_visible()


def test_who_has_just_joined_is_thanked(page: Page, site: Site) -> None:
    page.goto(site.put(site.widget() + site.widget("compact")) + "#joined=25000")
    expect(part(page, "thanks").first).to_have_text("Thank you. You’re one of our members now.")
    expect(part(page, "thanks")).to_have_count(2)
    expect(page.get_by_role("link")).to_have_count(0)
    expect(page.get_by_role("radio")).to_have_count(0)


def test_a_page_in_ukrainian_gets_ukrainian(page: Page, site: Site) -> None:
    page.goto(site.put(site.widget(), lang="uk"))
    expect(part(page, "count")).to_have_text("16 234 із 25 000 учасників")
    expect(part(page, "headline")).to_have_text(re.compile("Якісна журналістика"))
    expect(part(page, "state")).to_have_text(re.compile("через .* днів"))
    expect(page.get_by_role("radio", name="10 £ на місяць")).to_be_checked()


def test_a_page_in_another_language_has_its_own_figures(page: Page, site: Site) -> None:
    page.goto(site.put(f"<p>Nous sommes {site.widget('counter')}</p>", lang="de"))
    expect(part(page, "figure")).to_have_text("16.234")
    styles = "node => [getComputedStyle(node).fontWeight, getComputedStyle(node).fontSize]"
    assert part(page, "figure").evaluate(styles) == page.locator("p").evaluate(styles)


def test_nothing_is_left_behind(page: Page, site: Site) -> None:
    names = "Object.getOwnPropertyNames(window).filter(name => !/^\\d+$/.test(name)).sort()"
    page.goto(site.put(""))
    before = page.evaluate(names)
    page.goto(site.put(site.widget()))
    expect(part(page, "figure")).to_have_text("16,234")
    assert page.evaluate(names) == before
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert page.context.cookies() == []


def test_the_strictest_policy_is_enough(page: Page, service: Service, site: Site) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    ours = service.url
    policy = f"default-src 'none'; script-src {ours}; connect-src {ours}; img-src {ours}"
    page.goto(
        site.put(site.widget(), headers={"Content-Security-Policy": policy}).removesuffix("x")
    )
    expect(part(page, "figure")).to_have_text("16,234")
    assert width(part(page, "fill")) > 100
    assert [line for line in said if "data:," not in line] == []


@pytest.mark.parametrize(
    "sandbox", ["allow-scripts allow-top-navigation-by-user-activation", "allow-scripts"]
)
def test_it_lives_in_a_sandbox_without_an_origin(
    page: Page, service: Service, site: Site, sandbox: str
) -> None:
    listener = (
        "<script>addEventListener('message', e => (window.heard ??= []).push(e.data))</script>"
    )
    frame = f'<iframe sandbox="{sandbox}" src="{service.url}/campaigns/25000/embed#?secret=s3cr3t"'
    address = site.put(
        f'{frame} width="600" height="500" title="Progress"></iframe>', head=listener
    )
    page.goto(address)
    link = page.frame_locator("iframe").get_by_role("link", name="Become a member")
    expect(link).to_be_visible()
    expect(page.frame_locator("iframe").locator(".figure")).to_have_text("16,234")
    asked = query(link)
    assert asked["ref"].startswith(site.url.removeprefix("http://"))
    link.click()
    if "top" in sandbox:
        page.wait_for_url("**/join?*campaign=25000*")
        return
    page.wait_for_function("() => heard.some(({message}) => message == 'link')")
    said = {each["message"]: each for each in page.evaluate("heard")}
    assert said["link"]["secret"] == said["height"]["secret"] == "s3cr3t"
    assert said["link"]["value"].startswith(f"{service.url}/join?campaign=25000")
    assert 200 < said["height"]["value"] < 500
    assert page.url == address


def test_the_way_back_follows_a_page_that_navigates_by_itself(page: Page, site: Site) -> None:
    address = site.put(site.widget())
    page.goto(address)
    expect(part(page, "join")).to_be_visible()
    page.evaluate("history.pushState({}, '', '/next?page=2')")
    part(page, "join").evaluate("node => node.addEventListener('click', e => e.preventDefault())")
    part(page, "join").click()
    asked = query(part(page, "join"))
    assert asked["return"] == f"{site.url}/next?page=2"
    assert asked["ref"] == f"{site.url}/next".removeprefix("http://")


def test_a_choice_holds_where_the_element_is_moved(page: Page, site: Site) -> None:
    page.goto(site.put(site.widget() + '<div id="there"></div>'))
    page.get_by_role("radio", name="Yearly").check()
    page.get_by_role("radio", name="Patron £250 a year").check()
    page.evaluate("() => there.append(document.querySelector('membership-progress'))")
    expect(page.locator("#there").get_by_role("radio", name="Patron £250 a year")).to_be_checked()
    page.evaluate(
        "() => document.querySelector('membership-progress').setAttribute('tier', 'reader')"
    )
    expect(page.get_by_role("radio", name="Reader £50 a year")).to_be_checked()


@pytest.mark.parametrize("kind", ["module", "inline", "twice"])
def test_it_works_however_the_script_is_loaded(
    page: Page, service: Service, site: Site, kind: str
) -> None:
    address = f"{service.url}/widget.js"
    script = {
        "module": f'<script type="module" src="{address}"></script>',
        "inline": f"<script>{current_script().body.decode()}</script>",
        "twice": f'<script src="{address}"></script><script src="{address}?2"></script>',
    }[kind]
    path = site.put(site.widget())
    body, headers = site.pages[path.removeprefix(site.url)]
    whole = f'<script async src="{address}"></script>'
    assert whole in body
    site.pages[path.removeprefix(site.url)] = body.replace(whole, script), headers
    page.goto(path)
    expect(part(page, "figure")).to_have_text("16,234")


@pytest.mark.parametrize(
    "fault",
    [
        "delete window.CSSStyleSheet.prototype.replaceSync",
        "window.IntersectionObserver = undefined",
        "Element.prototype.replaceChildren = () => { throw new Error('no') }",
        "Number.prototype.toLocaleString = () => { throw new Error('no') }",
    ],
)
def test_whatever_fails_a_reader_can_join(chromium: Browser, site: Site, fault: str) -> None:
    page = chromium.new_page(locale="en-GB")
    page.add_init_script(fault)
    page.goto(site.put(site.widget()))
    page.wait_for_load_state("networkidle")
    links = page.locator("membership-progress a:visible")
    expect(links).to_have_count(1)
    page.close()


def test_a_clock_set_back_holds_nothing_up(page: Page, service: Service, site: Site) -> None:
    page.goto(site.put(site.widget()))
    expect(part(page, "figure")).to_have_text("16,234")
    page.evaluate("() => { const now = Date.now; Date.now = () => now() - 86400000 }")
    service.set_members(16_300)
    expect(part(page, "figure")).to_have_text("16,300")
    expect(part(page, "state")).not_to_contain_text("This number is from")
