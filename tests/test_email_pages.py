"""The staff pages of e-mails: what was sent, and each kind switched, written anew, previewed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from fundraiser.emails.feedback import Report, suppressed, take_in
from fundraiser.emails.kinds import KINDS
from fundraiser.emails.kinds.welcome import bank_has_order, greet_again
from fundraiser.emails.models import EmailWording, SuppressionReason
from fundraiser.emails.sweep import sweep
from fundraiser.members.models import Dues, Member, Membership
from fundraiser.newsroom.models import Role
from fundraiser.outbox import Email, EmailState, enqueue
from tests.factories import make_campaign, make_member
from tests.mail import deliver, emails_in, enqueue_welcome, only_email, text_of
from tests.sequences import days, failing, join
from tests.staff import PAGE, csrf_token, hire, names, parse, read, shown, sign_in

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from tests.mail import Postbox

KIND = "/staff/emails/kinds/payment_failed_day_0"


def press(client: FlaskClient, path: str, **form: str) -> TestResponse:
    token = csrf_token(client, "/staff/emails")
    return client.post(path, data=form | {"csrf_token": token}, headers=PAGE)


@pytest.fixture
def manager(database: Database, client: FlaskClient) -> FlaskClient:
    sign_in(client, hire(database))
    return client


@pytest.mark.usefixtures("at_noon")
def test_staff_write_an_email_anew_and_a_wrong_name_is_refused_with_what_was_typed(
    database: Database, manager: FlaskClient, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        member = join(session, **failing(days(1)))
        member.number = 7
        sweep(session)
    page = manager.get(KIND, headers=PAGE).text
    assert "{amount}" in page, "our own words, to be changed"
    new = {"subject": "Oh, {amount}", "heading": "Hello", "text": "First.\r\n\r\nUntil {until}."}
    wrong = press(manager, f"{KIND}/words", **new | {"text": "Dear {first_name}"})
    assert wrong.status_code == 422
    assert "Dear {first_name}" in wrong.text
    assert "{amount}" in shown(parse(wrong), "unknown-value")
    assert press(manager, f"{KIND}/words", **new).status_code == 303
    preview = manager.get(f"{KIND}/preview?member=7&plain=yes", headers=PAGE).text
    assert "First." in preview
    deliver(database, mail_server)
    (message,) = postbox.emails
    assert message["Subject"] == "Oh, £10"
    assert "First.\n\nUntil " in text_of(message).replace("\r\n", "\n")
    assert press(manager, f"{KIND}/words", original="yes").status_code == 303
    assert "failed" in manager.get(f"{KIND}/preview?member=7", headers=PAGE).text


@pytest.mark.usefixtures("at_noon")
def test_a_wording_with_a_name_that_an_email_has_no_value_for_falls_back_to_the_original(
    database: Database, manager: FlaskClient, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        join(session, **failing(days(1))).number = 7
    new = {"subject": "Card {card}", "heading": "Hello", "text": "Card {card}"}
    assert press(manager, f"{KIND}/words", **new).status_code == 303
    with database.transaction() as session:
        join(session, **failing(days(1), card_last4=None))
        sweep(session)
    deliver(database, mail_server)
    subjects = sorted(message["Subject"] for message in postbox.emails)
    assert subjects[0] == "Card 4242"
    assert "£10" in subjects[1], "our own words"


@pytest.mark.parametrize("has_member", [False, True])
def test_each_kind_can_be_read_and_changed_before_anybody_is_owed_it(
    database: Database, manager: FlaskClient, *, has_member: bool
) -> None:
    with database.transaction() as session:
        make_campaign(session)
        if has_member:
            join(session).number = 7
    for kind in KINDS:
        page = manager.get(f"/staff/emails/kinds/{kind}", headers=PAGE)
        if kind in {"to_staff", "test"}:
            assert page.status_code == 404
            continue
        assert f"/staff/emails/kinds/{kind}/words" in page.text, kind
        for code in ("en", "uk"):
            preview = manager.get(f"{page.request.path}/preview?language={code}", headers=PAGE)
            assert preview.status_code == 200, kind
            assert not re.search(r"%\(|\bNone\b|\{[a-z]+\}", preview.text), (kind, preview.text)
    with database.transaction() as session:
        assert not session.scalars(select(Email)).all(), "to look enqueues nothing"


def test_the_email_with_a_code_stays_on_and_keeps_its_code(manager: FlaskClient) -> None:
    kind = "/staff/emails/kinds/sign_in"
    assert f"{kind}/switch" not in manager.get(kind, headers=PAGE).text
    assert press(manager, f"{kind}/switch", on="no").status_code == 422
    new = {"subject": "Come in", "heading": "Hello", "text": "There is no code."}
    assert press(manager, f"{kind}/words", **new).status_code == 422
    new["text"] = "Your code is {code}."
    assert press(manager, f"{kind}/words", **new).status_code == 303


def test_what_is_typed_is_previewed_before_it_is_saved(
    database: Database, manager: FlaskClient
) -> None:
    kind = "/staff/emails/kinds/welcome"
    with database.transaction() as session:
        enqueue_welcome(session)
    said = {"subject": "Hello", "heading": "Come in, dear reader", "text": "Good to see {newsroom}"}
    answer = press(manager, f"{kind}/preview", **said)
    assert answer.status_code == 200
    assert "Come in, dear reader" in answer.text
    assert "Good to see The Northern Ledger" in " ".join(parse(answer).get_text().split())
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    wrong = press(manager, f"{kind}/preview", **said | {"text": "Typed {nobody} & kept"})
    assert wrong.status_code == 422
    assert "Typed {nobody} &amp; kept" in wrong.text
    with database.transaction() as session:
        assert not session.scalars(select(EmailWording)).all()


@pytest.mark.usefixtures("at_noon")
def test_a_test_of_unsaved_text_goes_to_oneself_once_and_nothing_typed_is_lost(
    database: Database, manager: FlaskClient, postbox: Postbox, mail_server: MailServer
) -> None:
    with database.transaction() as session:
        join(session, **failing(days(1))).number = 7
    typed = {
        "language": "uk",
        "member": "7",
        "nonce": "once",
        "subject": "Привіт, {amount}",
        "heading": "Вітаємо",
        "text": "Лише проба.\r\n\r\n{until}.",
    }
    for _twice in range(2):
        page = parse(press(manager, f"{KIND}/test", **typed))
        assert "test-sent" in names(page)
    assert "Лише проба." in str(page.select_one("textarea"))
    page = parse(press(manager, KIND, **typed | {"text": "{not_yet_right"}))
    assert "{not_yet_right" in str(page.select_one("textarea")), "shown for a member, kept"
    field = page.select_one("#member")
    assert field
    assert field["value"] == "7"
    wrong = press(manager, f"{KIND}/test", **typed | {"text": "Dear {first_name}"})
    assert wrong.status_code == 422
    with database.transaction() as session:
        assert session.scalars(select(EmailWording)).all() == []
    deliver(database, mail_server)
    (message,) = postbox.emails
    assert "Привіт, " in str(message["Subject"])
    assert "Лише проба." in text_of(message)
    with database.transaction() as session:
        email = session.scalars(select(Email).where(Email.kind == "test")).one()
        assert email.context == {}, "what it said is forgotten"


def test_a_queued_email_says_when_it_leaves_and_one_persons_are_listed_alone(
    database: Database, manager: FlaskClient
) -> None:
    with database.transaction() as session:
        enqueue_welcome(session)
        member = session.scalars(select(Email.member_id)).one()
        other = make_member(session, name="Somebody Else")
        enqueue(session, "welcome", to=other.id, key="member 77")
    page = parse(manager.get("/staff/emails?state=queued", headers=PAGE))
    assert len(page.select("[data-test=leaves]")) == 2
    page = parse(manager.get(f"/staff/emails?state=queued&member={member}", headers=PAGE))
    assert len(page.select("[data-test=leaves]")) == 1


def test_the_words_of_staff_leave_what_an_email_must_say(
    database: Database, manager: FlaskClient, postbox: Postbox, mail_server: MailServer
) -> None:
    """A debit in process is said whatever staff wrote; who comes back reads our own words."""
    with database.transaction() as session:
        enqueue_welcome(session)
        session.scalars(select(Membership)).one().payment_status = Dues.IN_PROCESS
        enqueue_welcome(session, sequence=2, number=2)
    new = {"subject": "Hello, {number}", "heading": "Hello", "text": "Welcome to {newsroom}."}
    assert press(manager, "/staff/emails/kinds/welcome/words", **new).status_code == 303
    deliver(database, mail_server)
    first, back = postbox.emails
    assert first["Subject"] == "Hello, 16,235"
    assert bank_has_order("£10") in " ".join(text_of(first).split())
    values = {"newsroom": "The Northern Ledger", "number": "2"}
    assert back["Subject"] == greet_again(values).subject


def test_a_kind_is_switched_off_and_on(manager: FlaskClient) -> None:
    for on, name in (("no", "notice-switched-off"), ("yes", "notice-switched-on")):
        assert press(manager, f"{KIND}/switch", on=on).status_code == 303
        assert name in names(read(manager, KIND))
    assert manager.get("/staff/emails/kinds/nothing", headers=PAGE).status_code == 404


def test_what_failed_is_listed_and_sent_again_once(
    database: Database, manager: FlaskClient, postbox: Postbox, mail_server: MailServer
) -> None:
    postbox.replies["RCPT"] = ["550 5.1.1 There is nobody of this name"]
    with database.transaction() as session:
        enqueue_welcome(session)
    deliver(database, mail_server)
    email = only_email(database)
    page = manager.get("/staff/emails?state=failed", headers=PAGE).text
    assert "There is nobody of this name" in page
    for _ in range(2):
        answer = press(manager, f"/staff/emails/{email.id}/again")
        assert answer.status_code == 303
    deliver(database, mail_server)
    assert only_email(database).state is EmailState.SENT
    press(manager, f"/staff/emails/{email.id}/again")
    deliver(database, mail_server)
    assert len(postbox.emails) == 1


def test_an_address_is_taken_off_the_list(database: Database, manager: FlaskClient) -> None:
    with database.transaction() as session:
        take_in(session, Report("a@example.org", SuppressionReason.BOUNCE))
    press(manager, "/staff/emails/addresses", address="A@example.org")
    with database.transaction() as session:
        assert suppressed(session, "a@example.org") is None


@pytest.mark.parametrize(
    ("role", "may_read", "may_change"),
    [(Role.FINANCE, False, False), (Role.SUPPORT, True, False), (Role.MANAGER, True, True)],
)
def test_finance_sees_no_emails_and_support_changes_none(
    database: Database, client: FlaskClient, role: Role, *, may_read: bool, may_change: bool
) -> None:
    sign_in(client, hire(database, role))
    for path in ("/staff/emails", KIND):
        assert client.get(path, headers=PAGE).status_code == (200 if may_read else 403)
    token = csrf_token(client, "/staff/emails") if may_read else csrf_token(client, "/staff")
    form = {"on": "no", "csrf_token": token}
    answer = client.post(f"{KIND}/switch", data=form, headers=PAGE)
    assert answer.status_code == (303 if may_change else 403)
    with database.transaction() as session:
        assert not session.scalars(select(Member)).all()
    assert emails_in(database) == []
