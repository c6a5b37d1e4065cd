"""What members change, told over months: number, money and e-mails after each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from fundraiser.members.consistency import check_consistency
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Member
from fundraiser.payments.models import Payment
from tests.email_stories import Year
from tests.factories import GRACE
from tests.joining import fill_in, read, send, thanks_of
from tests.members import Olena

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

    from fundraiser.app import FundraiserApp
    from fundraiser.emails.smtp import MailServer
    from tests.factories import Stripe


class Story(Year):
    """A year in which members act on their own pages."""

    def __init__(self, app: FundraiserApp, mail_server: MailServer, stripe: Stripe) -> None:
        super().__init__(app.database, mail_server, stripe)
        self.app = app

    def member(self, name: str) -> Olena:
        """Somebody who pays £10 a month, signed in and welcomed."""
        found = Olena(self.stripe, self.app.test_client(), f"{name}@example.org")
        self.catch_up()
        return found

    def join_again(self, name: str, currency: str) -> BeautifulSoup:
        """From the join page to the thanks, which it returns."""
        reader = self.app.test_client()
        page = send(reader, fill_in(reader, currency=currency)).headers["Location"]
        assert self.stripe.pay(page, f"{name}@example.org").status_code == 303
        thanks = read(reader.get(thanks_of(page)))
        self.catch_up()
        return thanks

    def number(self) -> int:
        """The public number, which the proof holds to be right."""
        with self.database.transaction() as session:
            proof = check_consistency(session, GRACE)
            assert proof.holds, proof
            return read_balance(session).members

    def payments(self, member: Olena) -> list[Payment]:
        """What the person has paid, the oldest first."""
        with self.database.transaction() as session:
            mine = select(Payment).where(Payment.member_id == member.member_id)
            return list(session.scalars(mine.order_by(Payment.paid_at)))

    def paid(self, member: Olena) -> list[tuple[int, str]]:
        return [(payment.amount, payment.currency) for payment in self.payments(member)]


def heading(page: BeautifulSoup, name: str) -> str:
    """The heading that the template gives this name."""
    found = page.select_one(f"h1[data-test={name}]")
    assert found, page.get_text(" ", strip=True)
    return found.get_text(strip=True)


@pytest.fixture
def stripe_url(empty_stripe_url: str) -> str:
    return empty_stripe_url


@pytest.fixture
def story(app: FundraiserApp, mail_server: MailServer, stripe: Stripe) -> Story:
    return Story(app, mail_server, stripe)


def test_who_wants_to_pay_in_another_currency_stops_joins_again_and_keeps_the_number(
    story: Story,
) -> None:
    waits, hurries = story.member("waits"), story.member("hurries")
    for number, member in enumerate((waits, hurries), start=1):
        page = member.open(member.path("price"))
        link = page.select_one("section[aria-labelledby=currency] a")
        assert link
        assert link["href"] == member.path("cancellation")
        member.action("cancellation")
        assert story.number() == 2
        assert heading(member.open("/account"), "member-number").endswith(f" {number}")
    assert heading(story.join_again("hurries", "EUR"), "outcome-joined").endswith(" 2")
    assert story.number() == 2
    said = hurries.overview()
    assert "€10" in said
    assert "state-ending" in said.marks
    price = hurries.open(hurries.path("price"))
    assert price.select_one("section[aria-labelledby=currency] a[href$='/cancellation']")

    story.pass_days(28, each=14)
    story.pass_days(4, each=2)  # a month has 28 days or more, and its end is told within three
    assert story.number() == 1
    assert "no-membership" in waits.overview().marks
    running = hurries.open("/account").select_one(".account-section")
    assert running
    assert "£" not in running.get_text()
    assert heading(story.join_again("waits", "EUR"), "outcome-joined").endswith(" 1")
    assert story.number() == 2
    story.pass_days(32, each=16)
    assert story.number() == 2
    assert story.paid(waits) == [(1000, "GBP"), (1000, "EUR"), (1000, "EUR")]
    assert story.paid(hurries) == [(1000, "GBP"), (1000, "EUR"), (1000, "EUR"), (1000, "EUR")]
    assert story.kinds("waits") == ["welcome", "canceled", "ended", "welcome"]
    assert story.kinds("hurries") == ["welcome", "canceled"]


def test_who_pauses_is_not_counted_until_it_goes_on_and_pays_from_the_next_period(
    story: Story,
) -> None:
    resumes, waits = story.member("resumes"), story.member("waits")
    story.pass_days(10)
    said = resumes.action("pause", months="3")
    assert "notice-paused" in said.marks
    assert "state-paused" in said.marks
    waits.action("pause", months="2")
    story.catch_up()
    assert story.number() == 2  # until what was paid for ends
    story.pass_days(32, each=16)  # a renewal, of which nothing is taken
    assert story.number() == 0
    assert resumes.taken() == waits.taken() == [1000]
    assert "state-paused" in resumes.overview().marks

    assert "notice-resumed" in resumes.resume().marks
    story.catch_up()
    assert story.number() == 1
    assert resumes.taken() == [1000]
    story.pass_days(30, each=15)  # the next period; the other pause skips two
    assert story.number() == 1
    assert resumes.taken() == [1000, 1000]
    assert waits.taken() == [1000]
    story.pass_days(32, each=16)  # the other pause ends by itself
    assert story.number() == 2
    assert story.paid(resumes) == [(1000, "GBP")] * 3
    assert story.paid(waits) == [(1000, "GBP")] * 2
    assert story.kinds("resumes") == ["welcome", "membership_paused", "membership_continues"]
    assert story.kinds("waits") == ["welcome", "membership_paused"]
    with story.database.transaction() as session:
        people = session.execute(select(Member.number, Member.sequence).order_by(Member.id)).all()
    assert [tuple(row) for row in people] == [(1, 3), (2, 3)]
