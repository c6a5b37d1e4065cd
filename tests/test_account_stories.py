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
from tests.joining import fill_in, send, thanks_of
from tests.members import Olena

if TYPE_CHECKING:
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

    def join_again(self, name: str, currency: str) -> str:
        """From the join page to the thanks; returns what they say."""
        reader = self.app.test_client()
        page = send(reader, fill_in(reader, currency=currency)).headers["Location"]
        assert self.stripe.pay(page, f"{name}@example.org").status_code == 303
        thanks = reader.get(thanks_of(page)).text
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
        assert "The currency of a membership that runs can’t be changed." in page.get_text()
        link = page.select_one("section[aria-labelledby=currency] a")
        assert link
        assert link["href"] == member.path("cancellation")
        member.action("cancellation")
        assert story.number() == 2
        assert f"You are member {number} " in member.overview()
    assert "You are member 2" in story.join_again("hurries", "EUR")
    assert story.number() == 2
    said = hurries.overview()
    assert "You pay €10 a month" in said
    assert "You have cancelled it." in said
    assert "can’t be changed. Cancel this one" in hurries.open(hurries.path("price")).get_text()

    story.pass_days(28, each=14)
    story.pass_days(4, each=2)  # a month has 28 days or more, and its end is told within three
    assert story.number() == 1
    assert "You have no membership that runs. Become a member" in waits.overview()
    assert "£" not in hurries.overview().partition("What you have paid")[0]
    assert "You are member 1" in story.join_again("waits", "EUR")
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
    assert "Your membership is paused." in said
    assert "You are counted as a member until" in said
    waits.action("pause", months="2")
    assert story.number() == 2  # until what was paid for ends
    story.pass_days(32, each=16)  # a renewal, of which nothing is taken
    assert story.number() == 0
    assert resumes.taken() == waits.taken() == [1000]
    assert "It is paused." in resumes.overview()

    assert "Your membership goes on." in resumes.resume()
    story.catch_up()
    assert story.number() == 1
    assert resumes.taken() == [1000]
    story.pass_days(30, each=15)  # the next period; the other pause ends by itself
    assert story.number() == 2
    assert resumes.taken() == [1000, 1000]
    assert waits.taken() == [1000]
    story.pass_days(32, each=16)
    assert story.number() == 2
    assert story.paid(resumes) == [(1000, "GBP")] * 3
    assert story.paid(waits) == [(1000, "GBP")] * 2
    assert story.kinds("resumes") == story.kinds("waits") == ["welcome"]
    with story.database.transaction() as session:
        people = session.execute(select(Member.number, Member.sequence).order_by(Member.id)).all()
    assert [tuple(row) for row in people] == [(1, 3), (2, 3)]
