"""E-mails that people asked for, and how they say no: by one click, without signing in."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.emails.sweep import sweep
from fundraiser.joining.reminders import Reminder, ReminderKind
from fundraiser.outbox import Topic, choose_emails
from tests.factories import make_campaign, make_member
from tests.mail import deliver, emails_in, text_of
from tests.sequences import days, failing, join, kinds

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from tests.mail import Postbox

    PassTime = Callable[[timedelta], None]


@pytest.mark.usefixtures("at_noon")
def test_one_click_of_a_mailbox_ends_a_topic_and_a_look_changes_nothing(
    database: Database, postbox: Postbox, mail_server: MailServer, client: FlaskClient
) -> None:
    with database.transaction() as session:
        make_campaign(session, deadline=db.now() + days(2))
        fan = join(session)
        choose_emails(session, fan.id, Topic.CAMPAIGN, wanted=True, text="News")
        sweep(session)
    deliver(database, mail_server)
    (message,) = postbox.emails
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert dict(message.raw_items())["List-Unsubscribe"].startswith("<http"), "as mailboxes find it"
    address = message["List-Unsubscribe"].strip("<>")
    path = address.removeprefix(current_settings().public_url)
    assert address in text_of(message)

    def wanted() -> bool:
        page = client.get(path)
        assert page.status_code == 200
        return 'name="campaign" value="yes" checked' in page.text

    assert wanted()
    assert wanted(), "a look changes nothing"
    answer = client.post(path, data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 204
    assert not wanted()
    assert client.post(path, data={"campaign": "yes"}).status_code == 303
    assert wanted()
    forged = path[:-3] + ("abc" if path[-3:] != "abc" else "xyz")
    assert client.post(forged, data={"List-Unsubscribe": "One-Click"}).status_code == 404


@pytest.mark.usefixtures("at_noon")
def test_emails_about_ones_own_money_cannot_be_refused(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        join(session, **failing(days(1)))
        sweep(session)
    deliver(database, mail_server)
    assert postbox.emails[0]["List-Unsubscribe"] is None


def test_a_reader_is_reminded_once_after_a_yes_by_email(
    database: Database,
    postbox: Postbox,
    mail_server: MailServer,
    client: FlaskClient,
    at_noon: PassTime,
) -> None:
    with database.transaction() as session:
        make_campaign(session)
    home = {"Origin": "http://127.0.0.1:8000"}
    form = client.get("/campaigns/25000/reminder").text
    month = re.findall(r'<option value="(\d{4}-\d\d)"', form)[1]
    wish = {"email": "Reader@example.org", "month": month}
    assert client.post("/campaigns/25000/reminder", data=wish).status_code == 403
    for _ in range(2):
        answer = client.post("/campaigns/25000/reminder", data=wish, headers=home)
        assert answer.status_code == 303
    wrong = client.post("/campaigns/25000/reminder", data=wish | {"email": "x"}, headers=home)
    assert wrong.status_code == 422
    assert "#email" in wrong.text
    deliver(database, mail_server)
    (asked,) = postbox.emails
    assert asked["To"] == "Reader@example.org"
    at_noon(days(70))
    assert kinds(database) == ["reminder_confirmation"], "nobody is reminded who did not say yes"
    at_noon(days(-70))
    path = asked["List-Unsubscribe"].strip("<>").removeprefix(current_settings().public_url)
    assert 'name="answer" value="yes"' in client.get(path).text
    assert client.post(path, data={"answer": "yes"}).status_code == 303
    with database.transaction() as session:
        due = session.scalars(select(Reminder.due_at)).one()
    at_noon(due - db.now() + timedelta(hours=3))
    assert kinds(database) == ["reminder", "reminder_confirmation"]
    deliver(database, mail_server)
    assert len(postbox.emails) == 2
    at_noon(days(30))
    with database.transaction() as session:
        assert sweep(session) == 0


@pytest.mark.usefixtures("at_noon")
def test_who_has_become_a_member_is_not_reminded(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        make_campaign(session)
        at = db.now()
        common = {"language": "en", "campaign_slug": "25000", "due_at": at, "confirmed_at": at}
        for kind in ReminderKind:
            session.add(Reminder(kind=kind, email=f"{kind}@example.org", created_at=at, **common))
        session.flush()
        assert sweep(session) == 2
        for kind in ReminderKind:
            make_member(session, email=f"{kind}@Example.org", counting=True)
    deliver(database, mail_server)
    assert [email.state for email in emails_in(database)] == ["withdrawn", "withdrawn"]
    assert not postbox.emails
