"""E-mails that time makes due: to whom, when, once, and not when the reason is gone."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from fundraiser import db
from fundraiser.campaigns.models import Goal
from fundraiser.emails.delivery import deliver_some
from fundraiser.emails.feedback import Report, take_in
from fundraiser.emails.kinds import KINDS
from fundraiser.emails.models import SuppressionReason
from fundraiser.emails.sweep import sweep
from fundraiser.emails.wording import switch
from fundraiser.joining.reminders import Reminder, ReminderKind
from fundraiser.members.models import (
    Dues,
    Interval,
    LedgerHead,
    Membership,
    Status,
)
from fundraiser.outbox import (
    Email,
    EmailState,
    OncePer,
    Topic,
    choose_emails,
    enqueue_to_staff,
)
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus
from tests.factories import make_campaign, make_member
from tests.mail import (
    deliver,
    emails_in,
    enqueue_welcome,
    enqueue_welcomes,
    kind_of,
    only_email,
    text_of,
)
from tests.sequences import days, failing, join, kinds
from tests.staff import hire

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from tests.mail import Postbox

    PassTime = Callable[[timedelta], None]


def ended(since: timedelta, **values: Any) -> dict[str, Any]:
    over = {"status": Status.CANCELED, "counting": False, "ended_at": db.now() - since}
    return over | {"canceled_at": db.now() - since} | values


@pytest.mark.parametrize(
    ("since", "kind"),
    [
        (0, "payment_failed_day_0"),
        (2.9, "payment_failed_day_0"),
        (3, "payment_failed_day_3"),
        (7.5, "payment_failed_day_7"),
        (12, "payment_failed_day_12"),
        (14.5, None),
    ],
)
@pytest.mark.usefixtures("at_noon")
def test_a_failed_payment_is_told_by_the_email_of_its_day_and_by_no_other(
    database: Database, since: float, kind: str | None
) -> None:
    with database.transaction() as session:
        join(session)
        join(session, **failing(days(since)))
    assert kinds(database) == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("grace", "expected"),
    [
        (0, {}),
        (1, {"day_0": 0}),
        (5, {"day_0": 0, "day_12": 3}),
        (7, {"day_0": 0, "day_3": 3, "day_12": 5}),
        (10, {"day_0": 0, "day_3": 3, "day_12": 8}),
        (14, {"day_0": 0, "day_3": 3, "day_7": 7, "day_12": 12}),
        (21, {"day_0": 0, "day_3": 3, "day_7": 7, "day_12": 12}),
    ],
)
@pytest.mark.usefixtures("at_noon")
def test_every_email_about_a_failure_leaves_while_the_grace_runs(
    app: FundraiserApp, database: Database, grace: int, expected: dict[str, int]
) -> None:
    """With a grace of seven days the e-mail of day 7 named a day that was over."""
    settings = app.extensions["settings"]
    app.extensions["settings"] = dataclasses.replace(settings, grace_days=grace)
    with database.transaction() as session:
        join(session, **failing(days(0)))
    told: dict[str, int] = {}
    for day in range(grace + 2):
        with database.transaction() as session:
            session.execute(update(Membership).values(grace_from=db.now() - days(day)))
            sweep(session)
            for kind in session.scalars(select(Email.kind)):
                told.setdefault(kind.removeprefix("payment_failed_"), day)
    assert told == expected


@pytest.mark.usefixtures("at_noon")
def test_the_bank_that_wants_a_confirmation_is_told_as_such(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        join(session, **failing(days(0), needs_confirmation=True))
    assert kinds(database) == ["payment_confirmation"]
    deliver(database, mail_server)
    (message,) = postbox.emails
    assert "£10" in message["Subject"]
    assert "https://pay.example.org/bill" in text_of(message).splitlines()


@pytest.mark.usefixtures("at_noon")
def test_who_is_not_reminded_any_more_gets_no_email_that_was_queued(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    """Paid, canceled, bounced, and one that waited until the next e-mail took over."""
    with database.transaction() as session:
        paid, gone, bounced, late, still = (join(session, **failing(days(1))) for _ in range(5))
        sweep(session)
        of = Membership.member_id
        is_paid = {
            "payment_status": Dues.PAID,
            "grace_from": None,
            "status": Status.ACTIVE,
        }
        session.execute(update(Membership).where(of == paid.id).values(**is_paid))
        session.execute(update(Membership).where(of == gone.id).values(ended_at=db.now()))
        take_in(session, Report((bounced.email or "").upper(), SuppressionReason.BOUNCE))
        began = db.now() - days(4)
        session.execute(update(Membership).where(of == late.id).values(grace_from=began))
    deliver(database, mail_server)
    assert [email.state for email in emails_in(database)] == [*["withdrawn"] * 4, "sent"]
    assert [message["To"] for message in postbox.emails] == [still.email]


@pytest.mark.usefixtures("at_noon")
def test_what_was_told_of_a_membership_is_not_told_to_whom_it_belongs_by_then(
    database: Database,
) -> None:
    """Its customer got another's address at Stripe."""
    with database.transaction() as session:
        first, second = join(session, **failing(days(1))), make_member(session)
        sweep(session)
        session.scalars(select(Membership)).one().member_id = second.id
        sweep(session)
        session.scalars(select(Membership)).one().grace_from = db.now() - days(4)
        sweep(session)
    with database.transaction() as session:
        found = session.execute(select(Email.member_id, Email.kind).order_by(Email.id)).all()
    assert [tuple(row) for row in found] == [
        (first.id, "payment_failed_day_0"),
        (second.id, "payment_failed_day_3"),
    ]


def test_what_names_a_thing_at_stripe_is_told_once_whoever_its_customer_is_by_then() -> None:
    once = {name for name, kind in KINDS.items() if kind.once_per is OncePer.CAUSE}
    assert once == {
        *("contribution", "second_membership", "refunded", "paid_after_end", "bank_to_confirm"),
        *("receipt", "debit_failed", "payment_failed_first", "payment_confirmation"),
        *(f"payment_failed_day_{day}" for day in (0, 3, 7, 12)),
        *("card_expiring_30_days", "card_expiring_7_days", "renewal_coming"),
        *("membership_paused", "membership_continues", "price_changed", "method_changed"),
        "price_changed_at_stripe",
        *("canceled", "ended", "win_back", "gift_given", "gift_reminder"),
    }


def test_a_second_failure_after_a_payment_is_told_anew(database: Database) -> None:
    with database.transaction() as session:
        member = join(session, **failing(days(1)))
        sweep(session)
        membership = session.scalars(select(Membership)).one()
        membership.paid_at, membership.grace_from = db.now() - days(0.5), db.now()
        sweep(session)
    with database.transaction() as session:
        found = session.scalars(select(Email.key).where(Email.member_id == member.id)).all()
    assert len(set(found)) == 2


def test_what_is_not_urgent_waits_for_the_newsrooms_day(
    database: Database,
    postbox: Postbox,
    mail_server: MailServer,
    at_noon: PassTime,
) -> None:
    at_noon(timedelta(hours=9, minutes=1))
    with database.transaction() as session:
        join(session, **failing(days(1)))
        enqueue_welcome(session)
        sweep(session)
    deliver(database, mail_server)
    with database.transaction() as session:
        assert [kind_of(session, message) for message in postbox.emails] == ["welcome"]
    at_noon(timedelta(hours=10, minutes=58))
    deliver(database, mail_server)
    assert len(postbox.emails) == 1
    at_noon(timedelta(minutes=2))
    deliver(database, mail_server)
    assert len(postbox.emails) == 2


@pytest.mark.usefixtures("at_noon")
def test_no_email_is_written_that_the_budget_does_not_let_go(
    app: FundraiserApp, postbox: Postbox, mail_server: MailServer
) -> None:
    """At two a second ten were written each second, and eight given back."""
    enqueue_welcomes(app.database, 5)
    with app.database.transaction() as session:
        session.execute(update(Email).values(urgent=False))
    settings = app.extensions["settings"]
    app.extensions["settings"] = dataclasses.replace(settings, emails_per_second=2)
    assert deliver_some(app.database, mail_server)
    assert len(postbox.emails) == 2


@pytest.mark.usefixtures("at_noon")
def test_an_email_that_somebody_waits_for_goes_before_those_of_a_campaign(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        for _ in range(5):
            join(session, **failing(days(1)))
        sweep(session)
        staff = hire(database)
        enqueue_to_staff(session, 1, key="1", subject="A key", paragraphs=["Once."], link=None)
    deliver(database, mail_server)
    assert postbox.emails[0]["Subject"] == "A key"
    assert postbox.emails[0]["To"] == staff
    assert len(postbox.emails) == 6
    with database.transaction() as session:
        (context,) = session.scalars(select(Email.context).where(Email.staff_id == 1))
    assert context == {}, "what it carried is forgotten"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"card_expires_at": days(31)}, []),
        ({"card_expires_at": days(29)}, ["card_expiring_30_days"]),
        ({"card_expires_at": days(6)}, ["card_expiring_7_days"]),
        ({"card_expires_at": days(-1)}, []),
        ({"interval": Interval.YEAR, "period_end": days(15)}, []),
        ({"interval": Interval.YEAR, "period_end": days(13)}, ["renewal_coming"]),
        ({"interval": Interval.MONTH, "period_end": days(13)}, []),
        ({"interval": Interval.YEAR, "period_end": days(13), "cancel_at": days(13)}, []),
        ({"canceled_at": days(-0.1), "cancel_at": days(20)}, ["canceled"]),
        ({"canceled_at": days(-4), "cancel_at": days(20)}, []),
    ],
)
@pytest.mark.usefixtures("at_noon")
def test_what_is_coming_is_told_in_time_and_once(
    database: Database, values: dict[str, Any], expected: list[str]
) -> None:
    with database.transaction() as session:
        at = db.now()
        join(session, **{k: at + v if isinstance(v, timedelta) else v for k, v in values.items()})
    assert kinds(database) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ["win_back"]),
        ({"cancel_feedback": "too_expensive"}, ["win_back"]),
        ({"cancel_feedback": "unused"}, []),
        (
            {"cancel_reason": "payment_failed", "payment_status": Dues.OVERDUE},
            [],
        ),
        ({"counting": True}, []),
        ({"duplicate_of": "sub_first"}, []),
    ],
)
@pytest.mark.usefixtures("at_noon")
def test_who_left_for_the_price_or_for_no_reason_is_asked_once_to_come_back(
    database: Database, values: dict[str, Any], expected: list[str]
) -> None:
    with database.transaction() as session:
        join(session, **ended(days(15), **values))
    assert kinds(database) == expected


@pytest.mark.usefixtures("at_noon")
def test_each_email_reads_well_in_both_languages(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    """Each kind is rendered, with a plain text, and leaves no value out."""
    at = None
    with database.transaction() as session:
        make_campaign(session, deadline=db.now() + days(2))
        session.scalars(select(LedgerHead)).one().balance = 16_235
        switch(session, "receipt", is_on=True)
        at = db.now()
        stories = [
            *(failing(days(since)) for since in (0, 3, 7, 12)),
            failing(days(0), needs_confirmation=True),
            {"card_expires_at": at + days(20)},
            {"card_expires_at": at + days(5)},
            {"interval": Interval.YEAR, "period_end": at + days(10)},
            {"canceled_at": at, "cancel_at": at + days(9)},
            ended(days(1)),
            ended(
                days(1),
                cancel_reason="payment_failed",
                payment_status=Dues.OVERDUE,
            ),
            ended(days(15)),
        ]
        for language in ("en", "uk"):
            for story in stories:
                join(session, **story).language = language
            fan = join(session)
            fan.language = language
            choose_emails(session, fan.id, Topic.CAMPAIGN, wanted=True, text="News")
            reference = session.scalars(
                select(Membership.reference).where(Membership.member_id == fan.id)
            ).one()
            session.add(
                Payment(
                    charge_id=f"ch_{language}",
                    member_id=fan.id,
                    customer_id="cus_1",
                    kind=CheckoutKind.MEMBERSHIP,
                    subscription_id=reference,
                    status=PaymentStatus.SUCCEEDED,
                    amount=1000,
                    currency="GBP",
                    paid_at=at,
                )
            )
            for wish in ReminderKind:
                session.add(
                    Reminder(
                        kind=wish,
                        email=f"{wish}-{language}@example.org",
                        language=language,
                        campaign_slug="25000",
                        due_at=at,
                        confirmed_at=at,
                        created_at=at,
                    )
                )
        sweep(session)
    deliver(database, mail_server)
    assert {email.state for email in emails_in(database)} == {EmailState.SENT}
    assert len(postbox.emails) == 2 * (len(stories) + 4)
    for message in postbox.emails:
        for kind in ("plain", "html"):
            text = text_of(message, kind)
            assert not re.search(r"%\(|\bNone\b|\{[a-z]+\}", text), (message["Subject"], text)
        if message["Content-Language"] == "uk":
            assert re.search("[\u0400-\u04ff]", message["Subject"]), message["Subject"]
            assert "You " not in text_of(message), text_of(message)


@pytest.mark.usefixtures("at_noon")
def test_receipts_are_ours_only_where_staff_said_so(database: Database) -> None:
    with database.transaction() as session:
        member = join(session)
        session.add(
            Payment(
                charge_id="ch_1",
                member_id=member.id,
                customer_id="cus_1",
                kind=CheckoutKind.MEMBERSHIP,
                subscription_id=session.scalars(select(Membership.reference)).one(),
                status=PaymentStatus.SUCCEEDED,
                amount=1000,
                currency="GBP",
                paid_at=db.now(),
            )
        )
    assert kinds(database) == []
    with database.transaction() as session:
        switch(session, "receipt", is_on=True)
    assert kinds(database) == ["receipt"]


@pytest.mark.usefixtures("at_noon")
def test_a_kind_that_is_switched_off_is_neither_enqueued_nor_sent(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        join(session, **failing(days(1)))
        sweep(session)
        switch(session, "payment_failed_day_0", is_on=False)
        join(session, **failing(days(1)))
        assert sweep(session) == 0
    deliver(database, mail_server)
    assert only_email(database).state is EmailState.WITHDRAWN
    assert not postbox.emails


@pytest.mark.usefixtures("at_noon")
def test_a_milestone_is_told_once_to_who_asked_even_where_the_number_dips(
    database: Database,
) -> None:
    def count(members: int) -> int:
        with database.transaction() as session:
            session.scalars(select(LedgerHead)).one().balance = members
            return sweep(session)

    with database.transaction() as session:
        make_campaign(session, goals=[Goal(members=100, set_at=datetime(2026, 1, 1, tzinfo=UTC))])
        for wanted in (True, False):
            choose_emails(session, join(session).id, Topic.CAMPAIGN, wanted=wanted, text="News")
        join(session)
    assert count(30) == 0, "what was passed before anybody looked is no news"
    assert count(50) == 1
    assert count(49) == 0
    assert count(51) == 0
    assert count(100) == 1, "of two quarters passed at once the higher is told"
    with database.transaction() as session:
        made = session.scalars(select(Email.key).order_by(Email.id)).all()
    assert made == ["member 1 25000 50% of 100", "member 1 25000 100% of 100"]
