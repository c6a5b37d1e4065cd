"""The stories that readers need, in Firefox and WebKit; the rest of this folder is Chromium's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import requests
from bs4 import BeautifulSoup

from tests.browser.engines import ENGINES
from tests.browser.live import SUCCEEDS, new_address
from tests.demonstration import wait_for

# The contrast of two colours as WCAG 2.2 measures it; each is an rgb().
CONTRAST = """
  const [one, other] = [...arguments].map(color => {
    const [red, green, blue] = color.match(/[\\d.]+/g).map(part => {
      part /= 255;
      return part > .04045 ? ((part + .055) / 1.055) ** 2.4 : part / 12.92;
    });
    return .2126 * red + .7152 * green + .0722 * blue + .05;
  });
  return Math.max(one, other) / Math.min(one, other);
"""

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.conftest import Site
    from tests.browser.engines import Window
    from tests.browser.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first starts everything


@pytest.fixture(scope="module", params=ENGINES)
def window(request: pytest.FixtureRequest) -> Iterator[Window]:
    with ENGINES[request.param]() as window:
        yield window


def code_for(live: Live, email: str) -> str:
    """Wait for the e-mail of sign-in, and return its code."""
    found: list[str] = []

    def has_come() -> bool:
        answer = requests.get(f"{live.mailbox}/letters.json", params={"to": email}, timeout=30)
        found[:] = [one["id"] for one in answer.json() if live.kind_of(one["headers"]) == "sign_in"]
        return bool(found)

    wait_for(has_come)
    message = requests.get(f"{live.mailbox}/letters/{found[0]}/html", timeout=30).text
    heading = BeautifulSoup(message, "html.parser").h1
    assert heading
    return heading.get_text(strip=True)


def test_a_reader_joins_from_the_article_is_thanked_there_and_signs_in(
    window: Window, live: Live
) -> None:
    before, email = live.members(), new_address()
    window.visit(live.article)
    window.find(".card .figure", f"{before:,}")
    window.click(".card .interval label", "Yearly")
    window.click(".card .currency label", "EUR")
    window.click(".card .tier label", "Patron")
    window.find(".card .price", "€250 a year")
    window.click(".card a.join")

    window.expect_at(f"{live.app}/join?")
    window.find("[name=tier][value=patron]:checked")
    window.click("#pay", "€250")
    window.expect_at(f"{live.simulator}/pay/")
    paid_with = {
        "email": email,
        "cardNumber": SUCCEEDS,
        "cardExpiry": "12 / 60",
        "cardCvc": "123",
        "billingName": "Olena Hrytsenko",
    }
    for name, value in paid_with.items():
        window.type(f"[name={name}]", value)
    window.click("#submit")

    window.expect_at(f"{live.app}/join/thanks?")
    window.find(".tally-figure", f"{before + 1:,}")
    assert live.changes_of(email) == [1]
    window.click("a[href$='#joined=25000']")
    window.expect_at(f"{live.article}#joined=25000")
    window.find(".card .thanks")
    window.find(".card .figure", f"{before + 1:,}")

    window.visit(f"{live.app}/account")
    window.type("[name=email]", email)
    window.click("form[action$='/account/sign-in'] button")
    window.type("[name=code]", code_for(live, email))
    window.click("main form button")
    window.find("[data-test=member-number]")
    window.find("main", "€250")


def test_on_a_right_to_left_page_the_bar_fills_from_the_right(window: Window, site: Site) -> None:
    head = "<script>document.documentElement.dir = 'rtl'</script>"
    window.visit(site.put(site.widget(), lang="ar", head=head))
    track, fill = (window.box(f".{name}") for name in ("track", "fill"))
    assert fill["right"] == pytest.approx(track["right"], abs=1)
    assert fill["width"] / track["width"] == pytest.approx(16_234 / 25_000, abs=0.01)
    assert window.run("return document.documentElement.scrollWidth - innerWidth") <= 0


def test_an_ended_campaign_offers_no_tiers(window: Window, site: Site) -> None:
    at = datetime.now(UTC)
    site.service.change(deadline=at - timedelta(hours=1), starts_at=at - timedelta(days=9))
    window.visit(site.put(site.widget()))
    window.find(".state", "The campaign ended on")
    assert not window.has("input")
    window.find("a.join", "Become a member")


def test_long_texts_in_large_type_stay_within_their_column(window: Window, site: Site) -> None:
    texts = (
        'headline="Donaudampfschifffahrtsgesellschaftskapitän" '
        'button="Werden Sie jetzt Mitglied unserer Gemeinschaft und helfen Sie"'
    )
    widgets = [site.widget(variant, texts) for variant in ("card", "bar", "compact")]
    head = "<style>main { width: 320px } membership-progress { font-size: 64px }</style>"
    window.visit(site.put("".join(widgets), head=head))
    for variant in ("card", "bar", "compact"):
        window.find(f".{variant} .figure", "16,234")
    assert window.run("return document.querySelector('main').scrollWidth") == 320


def test_on_a_dark_page_that_does_not_say_so_button_and_bar_can_be_seen(
    window: Window, site: Site
) -> None:
    head = "<style>body { color: #eee; background: #111 }</style>"
    window.visit(site.put(site.widget(attributes='accent="#052962"'), head=head))

    def color(selector: str, name: str) -> str:
        script = "return getComputedStyle(arguments[0])[arguments[1]]"
        return str(window.run(script, window.find(selector), name))

    button, bar = (color(name, "backgroundColor") for name in ("a.join", ".fill"))
    assert window.run(CONTRAST, color("a.join", "color"), button) >= 4.5
    assert window.run(CONTRAST, bar, "rgb(17, 17, 17)") >= 3
