"""A year of the clock at Stripe's simulator, and the e-mails that each story should have sent."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from fundraiser.campaigns.progress import find_campaign
from fundraiser.db import now
from fundraiser.joining.reminders import (
    Reminder,
    ask_for_reminder,
    confirm_reminder,
    months_to_choose,
    remember_join,
)
from fundraiser.members.consistency import check_consistency
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Interval
from fundraiser.payments.models import Checkout
from tests.email_stories import Year
from tests.factories import GRACE
from tests.mail import text_of

if TYPE_CHECKING:
    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from tests.factories import Stripe
    from tests.mail import Postbox

FAILS, ASKS, PAYS = "4000000000000341", "4000002760003184", "4242424242424242"
DECLINED, IBAN_FAILS = "4000000000000002", "DE62370400440532013001"


@pytest.fixture
def stripe_url(empty_stripe_url: str) -> str:
    return empty_stripe_url


@pytest.mark.timeout(540)
def test_in_a_year_each_story_sends_its_emails_and_no_others(
    database: Database, mail_server: MailServer, stripe: Stripe
) -> None:
    year = Year(database, mail_server, stripe)
    for name in ("pays", "once", "twice", "for-good", "confirms", "costly", "unused", "returns"):
        year.join(name)
    year.join("yearly", interval=Interval.YEAR)
    year.join("expires", expiry=f"{now() + timedelta(days=100):%m/%y}")
    with database.transaction() as session:
        campaign = find_campaign(session, "25000")
        for name in ("later", "silent"):
            month = f"{months_to_choose()[2]:%Y-%m}"
            ask_for_reminder(
                session,
                campaign,
                email=f"{name}@example.org",
                month=month,
                language="en",
                network="n",
            )
    year.catch_up()
    stripe.checkout()  # and never paid
    with database.transaction() as session:
        confirm_reminder(session.scalars(select(Reminder).order_by(Reminder.id).limit(1)).one())
        begun = session.scalars(select(Checkout).where(Checkout.reference.is_(None))).one()
        remember_join(session, begun, "unfinished@example.org", "n")
    year.use_card(FAILS, "once", "twice", "for-good")
    year.use_card(ASKS, "confirms")
    for name, feedback in (("costly", "too_expensive"), ("unused", "unused"), ("returns", "")):
        year.stop(name, feedback)
    year.pass_days(1)
    year.pass_days(24, each=12)
    for name, count in (("twice", 3), ("confirms", 3), ("returns", 3)):
        year.pass_days_until(name, count)  # the first renewal, or the end
    year.use_card(PAYS, "once", "twice", "confirms")
    year.pay_the_bill("confirms")
    year.join("returns")
    year.pass_days(3)
    year.use_card(FAILS, "twice")
    year.pass_days(12)
    year.pass_days(8, each=4)
    year.pass_days_until("twice", 7)  # the second renewal
    year.use_card(PAYS, "twice")
    year.pass_days(306, each=6)
    for name, emails in {
        "pays": ["welcome"],
        "yearly": ["welcome", "renewal_coming"],
        "once": ["welcome", "method_changed", "payment_failed_day_0", "method_changed"],
        "twice": [
            "welcome",
            "method_changed",
            "payment_failed_day_0",
            "method_changed",
            "method_changed",
            "payment_failed_day_0",
            "payment_failed_day_3",
            "method_changed",
        ],
        "for-good": [
            "welcome",
            "method_changed",
            "payment_failed_day_0",
            "payment_failed_day_3",
            "payment_failed_day_7",
            "payment_failed_day_12",
            "ended",
        ],
        "confirms": ["welcome", "method_changed", "payment_confirmation", "method_changed"],
        "expires": ["welcome", "card_expiring_30_days", "card_expiring_7_days"],
        "costly": ["welcome", "canceled", "ended", "win_back"],
        "unused": ["welcome", "canceled", "ended"],
        "returns": ["welcome", "canceled", "ended", "welcome"],
        "later": ["reminder_confirmation", "reminder"],
        "silent": ["reminder_confirmation"],
        "unfinished": ["unfinished_join"],
    }.items():
        assert year.kinds(name) == emails, name
    failed = [at for kind, at in year.told("for-good") if kind.startswith("payment_failed")]
    assert [round((at - failed[0]) / timedelta(days=1)) for at in failed] == [0, 3, 7, 12]


def test_a_debit_that_fails_is_written_of_once_and_a_card_that_is_declined_is_not(
    database: Database, mail_server: MailServer, postbox: Postbox, stripe: Stripe
) -> None:
    year = Year(database, mail_server, stripe)
    once = {"tier": None, "interval": None, "amount": 2500, "currency": "EUR"}
    year.debit("gives", **once, language="uk")
    year.debit("joins", currency="EUR")
    page = stripe.checkout(**once)
    assert stripe.pay(page, "declined@example.org", DECLINED).status_code == 402
    assert stripe.pay(page, "declined@example.org").status_code == 303
    year.catch_up()
    year.debit("unseen", **once)  # nobody looks before it has failed
    assert (number_of_members(database), year.kinds("gives")) == (1, [])

    year.pass_days(4, each=4)
    assert number_of_members(database) == 0
    year.pass_days(32, each=4)  # Stripe tries the first debit of the membership again, and ends it
    assert year.kinds("gives") == ["debit_failed"]
    assert year.kinds("unseen") == ["debit_failed"]
    assert year.kinds("joins") == ["welcome", "payment_failed_first"]
    assert year.kinds("declined") == ["contribution"]

    emails = {str(email["To"]).split("@")[0]: email for email in postbox.emails}
    assert str(emails["gives"]["Subject"]).split()[:4] == ["Ваш", "платіж", "на", "25"]
    unseen, joins = (" ".join(text_of(emails[name]).split()) for name in ("unseen", "joins"))
    assert "€25" in unseen
    assert "/join?interval=once" in unseen
    assert "/account/letter/" in joins


def number_of_members(database: Database) -> int:
    with database.transaction() as session:
        assert check_consistency(session, GRACE).holds
    with database.transaction() as session:
        return read_balance(session).members
