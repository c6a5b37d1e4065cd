"""What the e-mails say, as they arrive."""

from __future__ import annotations

import dataclasses
import re
import uuid
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import TYPE_CHECKING

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import select

from fundraiser.campaigns.models import Goal
from fundraiser.emails.kinds import KINDS
from fundraiser.emails.kinds.contribution import not_counted
from fundraiser.emails.kinds.welcome import bank_has_order, greet, greet_again
from fundraiser.emails.message import in_words, mailbox, write_source
from fundraiser.members.email_links import membership_link
from fundraiser.members.models import Dues, LedgerHead, Membership
from fundraiser.outbox import EmailState, enqueue
from fundraiser.payments.models import Checkout, CheckoutKind, PaymentStatus
from fundraiser.payments.money_back import MoneyBack, say_money_back
from tests.factories import make_campaign, make_member, make_tiers
from tests.mail import (
    add_member,
    deliver,
    emails_in,
    enqueue_second,
    enqueue_thanks,
    enqueue_welcome,
    only_email,
    text_of,
)

if TYPE_CHECKING:
    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from tests.mail import Postbox


def unfolded(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.wording
@pytest.mark.parametrize("kind", ["debit_failed", "payment_failed_first"])
def test_the_email_about_a_failed_debit_says_that_nothing_was_charged(
    app: FundraiserApp, database: Database, kind: str
) -> None:
    with database.transaction() as session:
        make_tiers(session)
        example = KINDS[kind].example
        with app.test_request_context():
            body = example(session, None) if example else None
    assert body
    assert "You weren’t charged" in unfolded(" ".join(body.paragraphs))


def test_a_new_member_gets_an_email_with_the_number_the_terms_and_the_way_back(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session, deadline=datetime(2060, 1, 1, tzinfo=UTC))
        session.scalars(select(LedgerHead)).one().balance = 16_235
        member = enqueue_welcome(session, email="Olena@example.org")
        membership = session.scalars(select(Membership)).one()
        session.add(
            Checkout(
                id=uuid.uuid4(),
                key="key",
                kind=CheckoutKind.MEMBERSHIP,
                campaign="25000",
                currency="GBP",
                amount=1000,
                language="en",
                return_url="http://127.0.0.1:8001/river?a=1&b=2",
                created_at=membership.started_at,
                member_id=member.id,
                reference=membership.reference,
            )
        )
    deliver(database, mail_server)
    (message,) = postbox.emails
    assert [part in message["Subject"] for part in ("16,235", "The Northern Ledger")] == [True] * 2
    assert message["To"] == "Olena@example.org"
    assert message["From"] == message["Reply-To"] == "The Northern Ledger <members@127.0.0.1>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime is not None
    email = only_email(database)
    assert message["Message-ID"] == f"<letter-{email.id}@127.0.0.1>"
    assert (email.state, email.error, email.attempts) == (EmailState.SENT, None, 1)
    assert email.sent_at
    for kind in ("plain", "html"):
        text = " ".join(BeautifulSoup(text_of(message, kind), "html.parser").get_text(" ").split())
        values = ("16,235", "25,000", "8,765", "31 December 2059", "22 May 2026")
        assert [value for value in values if value not in text] == []
        assert re.search(r"£10 .*£10, 21 June 2026", text), "what it costs, and what comes next"
        to_sign_in = membership_link(membership).rsplit(".", 2)[0]  # what follows has the time
        assert to_sign_in in text_of(message, kind)
    assert "http://127.0.0.1:8001/river?a=1&b=2" in text_of(message).splitlines()
    page = BeautifulSoup(text_of(message, "html"), "html.parser")
    assert [a["href"] for a in page.select(".button a")] == ["http://127.0.0.1:8001/river?a=1&b=2"]
    assert [cell["width"] for cell in page.select(".bar-fill")] == ["64.9%"]
    assert not page.find_all("img"), "no picture, so no pixel that tells on a reader"


def test_an_email_is_written_in_the_language_of_its_member(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        make_campaign(session)
        enqueue_welcome(session, language="uk")
    deliver(database, mail_server)
    (message,) = postbox.emails
    assert message["Content-Language"] == "uk"
    assert message["Subject"] == "«The Northern Ledger»: вітаємо, ви з нами під номером 16\xa0235"
    assert "із 25\xa0000 учасників" in text_of(message)
    assert "10\xa0£ на місяць" in text_of(message)
    assert 'lang="uk"' in text_of(message, "html")


def test_who_comes_back_is_welcomed_back(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        enqueue_welcome(session, sequence=3)
    deliver(database, mail_server)
    values = {"newsroom": "The Northern Ledger", "number": "16,235"}
    again = greet_again(values).subject
    assert postbox.emails[0]["Subject"] == again != greet(values).subject


def test_a_debit_in_process_and_an_end_already_set_are_said(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        enqueue_welcome(session)
        membership = session.scalars(select(Membership)).one()
        membership.payment_status, membership.paid_at = Dues.IN_PROCESS, None
        membership.cancel_at = datetime(2059, 7, 1, 12, tzinfo=UTC)
    deliver(database, mail_server)
    text = text_of(postbox.emails[0])
    assert bank_has_order("£10") in unfolded(text)
    assert ": 1 July 2059" in text
    assert "May 2026" not in text, "no payment has arrived"


def test_a_goal_that_is_passed_is_said_so(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        make_campaign(session, goals=[Goal(members=1, set_at=datetime(2026, 1, 1, tzinfo=UTC))])
        session.scalars(select(LedgerHead)).one().balance = 3
        enqueue_welcome(session)
    deliver(database, mail_server)
    (message,) = postbox.emails
    assert re.search(r"^3 \w+ 1 \w+\r?\n2 ", text_of(message), re.MULTILINE)
    page = BeautifulSoup(text_of(message, "html"), "html.parser")
    assert page.select(".bar-fill")
    assert not page.select(".bar-track")


def test_names_cannot_put_markup_into_an_email(
    app: FundraiserApp, database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    name = "Left & Right <News>"
    app.extensions["settings"] = dataclasses.replace(app.extensions["settings"], newsroom_name=name)
    with database.transaction() as session:
        enqueue_welcome(session)
    deliver(database, mail_server)
    (message,) = postbox.emails
    assert message["From"].addresses[0].display_name == name
    page = BeautifulSoup(text_of(message, "html"), "html.parser")
    assert name in page.get_text()
    assert text_of(message).startswith(name)


def test_who_no_longer_counts_is_not_welcomed(database: Database, mail_server: MailServer) -> None:
    with database.transaction() as session:
        enqueue_welcome(session).counting = False
    deliver(database, mail_server)
    email = only_email(database)
    assert email.state is EmailState.WITHDRAWN
    assert email.error == "The person had stopped counting before the e-mail could leave."


def test_who_left_and_came_back_meanwhile_is_welcomed_once(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        member = enqueue_welcome(session)
        member.sequence = 3
        enqueue(session, "welcome", to=member.id, key="3")
    deliver(database, mail_server)
    assert [email.state for email in emails_in(database)] == ["withdrawn", "sent"]
    assert len(postbox.emails) == 1


def test_a_contribution_is_thanked_for_and_said_not_to_be_counted(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        make_campaign(session)
        enqueue_thanks(session, make_member(session))
    deliver(database, mail_server)
    (message,) = postbox.emails
    assert "€25.50" in message["Subject"]
    assert "3 March 2026" in text_of(message)
    assert not_counted(is_member=False) in unfolded(text_of(message))
    assert "http://127.0.0.1:8000/join?campaign=25000" in text_of(message).splitlines()


def test_a_member_who_contributes_is_not_asked_to_become_one(
    database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        make_campaign(session)
        enqueue_thanks(session, add_member(session))
    deliver(database, mail_server)
    assert not_counted(is_member=True) in unfolded(text_of(postbox.emails[0]))
    assert "/join" not in text_of(postbox.emails[0])


def test_a_contribution_that_was_paid_back_is_not_thanked_for(
    database: Database, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        enqueue_thanks(session, make_member(session), refunded=2550)
    deliver(database, mail_server)
    assert only_email(database).state is EmailState.WITHDRAWN


@pytest.mark.parametrize(
    ("payments", "money_back"),
    [
        ([(PaymentStatus.SUCCEEDED, 2500)], MoneyBack(refunded=2500)),
        ([(PaymentStatus.PENDING, 0)], MoneyBack(processing=True)),
        ([(PaymentStatus.SUCCEEDED, 0)], MoneyBack(waiting=2500)),
        ([], MoneyBack()),
    ],
)
def test_a_second_membership_is_explained_by_what_became_of_the_money(
    database: Database,
    postbox: Postbox,
    mail_server: MailServer,
    payments: list[tuple[PaymentStatus, int]],
    money_back: MoneyBack,
) -> None:
    with database.transaction() as session:
        enqueue_second(session, *payments)
    deliver(database, mail_server)
    (message,) = postbox.emails
    assert ("£25" in message["Subject"]) == bool(money_back.refunded)
    text = unfolded(text_of(message))
    assert say_money_back("GBP", money_back, "£25") in text
    assert re.search(r": £10 .*: £25 ", text), "both memberships"
    assert "/account" in text, "where the amount can be changed"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Plain words.",
        "Ласкаво просимо. " * 60,
        "x" * 2000 + "\n.\n..\nFrom here\n",
        "ends in a space \nand in a tab\t\n=_alternative\n--=_alternative--\n=C3=28",
        "\u2028 and \x0b and \x85 end no line of an e-mail\n\n\n",
    ],
)
def test_what_a_message_says_is_read_as_it_was_written(text: str) -> None:
    source = write_source({"Subject": in_words(text[:200], "Subject")}, text, f"<p>{text}</p>")
    message = message_from_bytes(source, policy=policy.default)
    assert text_of(message).splitlines() == text.splitlines()
    assert text_of(message, "html").splitlines() == f"<p>{text}</p>".splitlines()
    assert "".join(message["Subject"].split()) == "".join(text[:200].split())
    assert all(len(line) <= 998 for line in source.split(b"\r\n"))
    assert b"\n" not in source.replace(b"\r\n", b"")
    assert source.isascii()


@pytest.mark.parametrize("break_", ["\n", "\r", "\r\n", "\n\n"])
def test_no_text_can_begin_another_header(break_: str) -> None:
    text = f"Hello{break_}Bcc: all@example.org"
    headers = {
        "From": mailbox(text, "members@example.org", "From"),
        "Subject": in_words(text, "Subject"),
    }
    message = message_from_bytes(write_source(headers, "", ""), policy=policy.default)
    assert message.keys() == ["From", "Subject", "MIME-Version", "Content-Type"]
    assert message["From"].addresses[0].addr_spec == "members@example.org"
    with pytest.raises(ValueError, match="To can't be written"):
        write_source({"To": f"reader@example.org{break_}Bcc: all@example.org"}, "", "")


@pytest.mark.parametrize(
    "name", ["Вісник «Харків», щодня " * 5, "=?utf-8?q?not_encoded?=", 'a "b", c']
)
def test_a_newsrooms_name_is_read_as_it_is_written(name: str) -> None:
    source = write_source({"Reply-To": mailbox(name, "members@example.org", "Reply-To")}, "", "")
    (address,) = message_from_bytes(source, policy=policy.default)["Reply-To"].addresses
    assert "".join(address.display_name.split()) == "".join(name.split())
    assert address.addr_spec == "members@example.org"
