"""A changed address: both are e-mailed, sessions end, and a link undoes it for 72 hours."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from fundraiser.members.address_changes import AddressChange
from fundraiser.members.models import Cause, Member
from fundraiser.payments.changes import Change, change_email
from fundraiser.payments.stripe.member_gateway import member_gateway
from tests.factories import GRACE, make_member
from tests.mail import deliver, text_of
from tests.members import OURS
from tests.staff import names, parse, shown

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from fundraiser.app import FundraiserApp
    from fundraiser.emails.smtp import MailServer
    from tests.mail import Postbox
    from tests.members import Olena


OLD, NEW = "olena@example.org", "new@example.net"


def change(olena: Olena, email: str) -> None:
    """As staff do it."""
    with olena.database.transaction() as session:
        how = Change(member_gateway(), GRACE, f"to {email}", Cause.STAFF, "staff 1")
        change_email(session, how, session.get_one(Member, olena.member_id), email)


def email_of(olena: Olena) -> str | None:
    with olena.database.transaction() as session:
        return session.get_one(Member, olena.member_id).email


class Mail:
    """The e-mails about changed addresses, by recipient."""

    def __init__(self, olena: Olena, server: MailServer, postbox: Postbox) -> None:
        self.olena, self.server, self.postbox = olena, server, postbox

    def texts(self) -> dict[str, str]:
        deliver(self.olena.database, self.server)
        return {
            str(email["To"]): text_of(email)
            for email in self.postbox.emails
            if "has been changed" in str(email["Subject"])
        }

    def link(self, to: str) -> str:
        found = re.search(r"/account/email/undo/[\w.-]+", self.texts()[to])
        assert found, self.texts()[to]
        return found[0]


@pytest.fixture
def mail(olena: Olena, mail_server: MailServer, postbox: Postbox) -> Mail:
    return Mail(olena, mail_server, postbox)


def undo(app: FundraiserApp, link: str) -> TestResponse:
    return app.test_client().post(link, headers=OURS)


def test_both_addresses_are_told_and_neither_learns_the_other(olena: Olena, mail: Mail) -> None:
    change(olena, NEW)
    texts = mail.texts()
    assert set(texts) == {OLD, NEW}
    assert "changed from olena@example.org to n…@example.net." in " ".join(texts[OLD].split())
    assert "changed from o…@example.org to new@example.net." in " ".join(texts[NEW].split())
    assert NEW not in texts[OLD]
    assert OLD not in texts[NEW]


def test_sessions_end_whoever_changed_the_address(olena: Olena) -> None:
    assert olena.client.get("/account", headers=OURS).status_code == 200
    change(olena, NEW)
    assert olena.client.get("/account", headers=OURS).status_code == 303


def test_sessions_end_and_both_are_told_where_stripe_has_another_address(
    olena: Olena, mail: Mail
) -> None:
    olena.stripe.call("POST", f"customers/{olena.customer}", email=NEW)
    olena.stripe.settle(olena.customer)
    assert email_of(olena) == NEW
    assert olena.client.get("/account", headers=OURS).status_code == 303
    assert set(mail.texts()) == {OLD, NEW}


def test_another_case_of_the_same_address_is_no_change_to_tell_of(olena: Olena) -> None:
    change(olena, "Olena@Example.org")
    with olena.database.transaction() as session:
        assert session.scalars(select(AddressChange)).all() == []
    assert olena.client.get("/account", headers=OURS).status_code == 200


@pytest.mark.parametrize("end", [OLD, NEW])
def test_either_address_undoes_it_here_and_at_stripe_and_once(
    olena: Olena, app: FundraiserApp, mail: Mail, end: str
) -> None:
    change(olena, NEW)
    link = mail.link(end)
    page = app.test_client().get(link, headers=OURS)  # a program that opens links
    assert "undo" in names(parse(page))
    assert (NEW not in page.text, OLD not in page.text) == (True, True)
    assert email_of(olena) == NEW
    assert "o…@example.org" in shown(parse(undo(app, link)), "undone")
    assert email_of(olena) == OLD
    assert olena.stripe.call("GET", f"customers/{olena.customer}")["email"] == OLD
    assert olena.number() == 1
    again = undo(app, link)
    assert (again.status_code, "link-over" in names(parse(again))) == (422, True)


def test_who_changed_it_twice_does_not_escape_the_first_link(
    olena: Olena, app: FundraiserApp, mail: Mail
) -> None:
    change(olena, NEW)
    first = mail.link(OLD)
    change(olena, "third@example.net")
    seconds = mail.link("third@example.net")
    assert undo(app, first).status_code == 200
    assert email_of(olena) == OLD
    # What the thief was sent does not take it back.
    assert undo(app, seconds).status_code == 422
    assert email_of(olena) == OLD


def test_the_undoing_is_told_to_both_and_has_no_link(
    olena: Olena, app: FundraiserApp, mail: Mail
) -> None:
    change(olena, NEW)
    link = mail.link(OLD)
    mail.postbox.emails.clear()
    undo(app, link)
    texts = mail.texts()
    assert set(texts) == {OLD, NEW}
    assert not any("/account/email/undo" in text for text in texts.values())


def test_after_72_hours_the_link_is_too_late(olena: Olena, app: FundraiserApp, mail: Mail) -> None:
    change(olena, NEW)
    link = mail.link(OLD)
    with olena.database.transaction() as session:
        earlier = AddressChange.undo_until - timedelta(hours=72)
        session.execute(update(AddressChange).values(undo_until=earlier))
    assert undo(app, link).status_code == 422
    assert email_of(olena) == NEW


def test_a_forged_link_and_a_form_from_another_site_undo_nothing(
    olena: Olena, app: FundraiserApp, mail: Mail
) -> None:
    change(olena, NEW)
    link = mail.link(OLD)
    assert undo(app, f"{link}x").status_code == 404
    there = app.test_client().post(link, headers=OURS | {"Origin": "https://evil.example"})
    assert there.status_code == 403
    assert email_of(olena) == NEW


def test_an_address_that_is_somebody_elses_by_now_is_not_taken_back(
    olena: Olena, app: FundraiserApp, mail: Mail
) -> None:
    change(olena, NEW)
    link = mail.link(OLD)
    with olena.database.transaction() as session:
        make_member(session, email=OLD)
    answer = undo(app, link)
    assert (answer.status_code, "belongs to another person" in answer.text) == (422, True)
