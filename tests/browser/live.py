"""The whole service as `make run` starts it, and what readers and staff do there."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from demo.settings import STAFF_EMAIL
from tests.demonstration import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Locator, Page


SUCCEEDS, DECLINED, ASKS_THE_BANK = "4242424242424242", "4000000000000002", "4000002500003155"
DEBIT = "DE89370400440532013000"
# Customers to look at, now or once more later, and people whom time alone has changed.
_STILL_TO_DO = """
    SELECT (SELECT count(*) FROM sync_request WHERE due_at IS NOT NULL)
        + (SELECT count(*) FROM member WHERE recount_at <= now() + %s * interval '1 second')
"""
_numbers = count(1)


@dataclass(frozen=True)
class Live:
    """A running demonstration, by the addresses that it printed."""

    article: str
    newspaper: str
    app: str
    staff: str
    password: str
    mailbox: str
    simulator: str
    database: str
    store: Path  # the simulator's
    clock: Path

    def members(self) -> int:
        """The number as it stands: the public one may be a second behind in each process."""
        answer = requests.get(f"{self.app}/metrics", timeout=30)
        found = re.search(r"^fundraiser_members (\S+)", answer.text, re.MULTILINE)
        assert found, answer.text
        return int(float(found[1]))

    def member_id(self, email: str) -> int | None:
        """The person known by this address."""
        with psycopg.connect(self.database) as books:
            found = books.execute("SELECT id FROM member WHERE lower(email) = lower(%s)", [email])
            return next((row[0] for row in found), None)

    def changes(self, member_id: int | None) -> list[int]:
        """Each time this person started (1) or stopped (-1) being counted, whatever others do."""
        with psycopg.connect(self.database) as books:
            rows = books.execute(
                "SELECT change FROM ledger WHERE member_id = %s ORDER BY version", [member_id]
            )
            return [change for (change,) in rows]

    def changes_of(self, email: str) -> list[int]:
        """Each time the person of this address started (1) or stopped (-1) being counted."""
        return self.changes(self.member_id(email))

    def advance(self, days: int) -> None:
        """Advance Stripe's clock, and wait until it has changed what it does for everybody."""
        answer = requests.post(
            f"{self.simulator}/_simulator/clock",
            json={"advance_seconds": days * 86_400},
            timeout=120,
        )
        assert answer.ok, answer.text
        self.wait_until_settled()

    def wait_until_settled(self) -> None:
        """Wait until twice in a row nothing is left to do, and no event was made in between."""
        before = -1

        def is_quiet() -> bool:
            nonlocal before
            time.sleep(0.5)
            with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as stripe:
                made, on_their_way = stripe.execute(
                    "SELECT count(*), count(*) FILTER (WHERE state = 'waiting') FROM deliveries"
                ).fetchone()
            with psycopg.connect(self.database) as books:
                offset = int(self.clock.read_text())
                (left,) = books.execute(_STILL_TO_DO, [offset]).fetchone() or (1,)
            was, before = before, made
            return bool(made == was and on_their_way == left == 0)

        wait_for(is_quiet, patience=180)

    def at_stripe(self, what: str, **query: Any) -> list[Any]:
        """What Stripe lists, as staff would see it there."""
        answer = requests.get(
            f"{self.simulator}/v1/{what}",
            params={"limit": 100, **query},
            auth=("sk_test_simulator", ""),
            timeout=30,
        )
        assert answer.ok, answer.text
        found: list[Any] = answer.json()["data"]
        return found

    def kind_of(self, headers: dict[str, str]) -> str:
        """Which of our e-mails this is: its Message-ID is the outbox's."""
        found = re.search(r"-(\d+)@", headers["Message-ID"])
        assert found, headers
        with psycopg.connect(self.database) as books:
            (kind,) = books.execute(
                "SELECT kind FROM email WHERE id = %s", [found[1]]
            ).fetchone() or ("",)
        return str(kind)

    def subscriptions_of(self, email: str) -> list[Any]:
        """All that was ever begun under this address."""
        return [
            subscription
            for customer in self.at_stripe("customers", email=email)
            for subscription in self.at_stripe(
                "subscriptions", customer=customer["id"], status="all"
            )
        ]


def new_address() -> str:
    """An e-mail address that nobody has joined with."""
    return f"reader-{next(_numbers)}@journey.example"


def card(page: Page) -> Locator:
    """The widget in the article."""
    return page.locator("membership-progress[variant=card]")


def shown(page: Page) -> int:
    """The number that the article's card shows to somebody who looks at it."""
    figure = card(page).locator(".figure")
    figure.scroll_into_view_if_needed()
    expect(figure).to_have_text(re.compile(r"\d"))
    return int(figure.inner_text().replace(",", ""))


def expect_number(page: Page, number: int) -> None:
    """Wait until the article's card shows this number to somebody who looks at it."""
    card(page).scroll_into_view_if_needed()
    expect(card(page).locator(".figure")).to_have_text(f"{number:,}")


def expect_at(page: Page, beginning: str) -> None:
    """Wait until the address begins so; a way there that a second click breaks off is no matter."""
    expect(page).to_have_url(re.compile(f"^{re.escape(beginning)}"))


def link_to(page: Page | Locator, address: str) -> Locator:
    """The link whose address ends so."""
    return page.locator(f'a[href$="{address}"]')


def button_of(page: Page, action: str) -> Locator:
    """The button of the form that goes to an address that ends so."""
    return page.locator(f'form[action$="{action}"] button')


def field(page: Page | Locator, name: str, value: str | None = None) -> Locator:
    """The field that the form sends under this name; of several, the one with this value."""
    return page.locator(f'[name="{name}"]' + (f'[value="{value}"]' if value else ""))


def to_checkout(page: Page, live: Live) -> None:
    """Press the join page's button, which leads to the hosted page."""
    page.locator("#pay").click()
    expect_at(page, f"{live.simulator}/pay/")


def fill_in(page: Page, email: str, number: str = SUCCEEDS, name: str = "Olena Hrytsenko") -> None:
    """Type into the hosted page all that it asks for."""
    if number == DEBIT:
        page.get_by_label("SEPA direct debit").check()
        page.get_by_label("IBAN").fill(number)
    else:
        page.get_by_label("Card number").fill(number)
        page.get_by_label("Expiry").fill("12 / 60")
        page.get_by_label("CVC").fill("123")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Name", exact=True).fill(name)


def pay(page: Page, email: str, number: str = SUCCEEDS, name: str = "Olena Hrytsenko") -> None:
    """Pay on the hosted page."""
    fill_in(page, email, number, name)
    page.locator("#submit").click()


def expect_member(page: Page) -> str:
    """Wait for the thanks page of somebody who counts; returns the member's number."""
    expect(page).to_have_url(re.compile(r"/join/thanks\?"))
    heading = page.get_by_test_id(re.compile("^outcome-(joined|in_process)$"))
    expect(heading).to_have_text(re.compile(r" [\d,]+$"))
    return heading.inner_text().rpartition(" ")[2]


def join(page: Page, live: Live, email: str) -> str:
    """Join as most do, from the join page; returns the member's number."""
    page.goto(f"{live.app}/join")
    to_checkout(page, live)
    pay(page, email)
    return expect_member(page)


def read_email(page: Page, live: Live, email: str, kind: str, nth: int = 1) -> Locator:
    """Wait for the nth e-mail of a kind to an address and open it; returns what its reader sees."""
    found: list[int] = []

    def has_come() -> bool:
        answer = requests.get(f"{live.mailbox}/letters.json", params={"to": email}, timeout=30)
        found[:] = [one["id"] for one in answer.json() if live.kind_of(one["headers"]) == kind]
        return len(found) >= nth

    wait_for(has_come)
    page.goto(f"{live.mailbox}/letters/{found[0]}")
    return page.frame_locator("iframe").locator("body")


def width_of_large_text(page: Page) -> int:
    """How wide a page is with text of twice the size, which stays as it was."""
    large = """() => {
      const root = document.documentElement;
      root.style.fontSize = "200%";
      const width = root.scrollWidth;
      root.style.fontSize = "";
      return width;
    }"""
    return int(page.evaluate(large))


def sign_in(page: Page, live: Live) -> None:
    """Sign in as staff."""
    page.goto(live.staff)
    field(page, "email").fill(STAFF_EMAIL)
    field(page, "password").fill(live.password)
    button_of(page, "/staff/sign-in").click()
    expect(page).to_have_url(re.compile("/staff$"))


def find_member(page: Page, live: Live, email: str) -> None:
    """As staff, signed in: search for an address and open the one record found."""
    page.goto(f"{live.app}/staff/members")
    page.get_by_role("searchbox").fill(email)
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator("#results tbody a")).to_have_count(1)
    page.locator("#results tbody a").click()
    expect(page.get_by_role("link", name=email)).to_be_visible()


def axe(page: Page, rules: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """What axe finds wrong: each rule with the places where it is broken."""
    options = {"rules": rules, "resultTypes": ["violations"]}  # the rest is long, and takes long
    found = Axe().run(page, options=options).response["violations"]
    return [(rule["help"], [node["html"] for node in rule["nodes"]]) for rule in found]
