"""Staff accounts: invited by e-mail, given a role, signed out, closed; and the trail of it all."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from fundraiser.db import now
from fundraiser.errors import ForbiddenError, UnprocessableError
from fundraiser.newsroom import staff as people
from fundraiser.newsroom.models import AuditEntry, Role, Staff, StaffKey
from fundraiser.outbox import Email, EmailState
from tests.mail import deliver, emails_in, text_of
from tests.staff import (
    NEW_PASSWORD,
    PAGE,
    PASSWORD,
    cookie_of,
    csrf_token,
    hire,
    names,
    parse,
    post,
    read,
    shown,
    sign_in,
    staff_of,
    words,
    wrong,
)

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session
    from werkzeug.test import TestResponse

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from tests.mail import Postbox


def new_address() -> str:
    return f"taras-{uuid4().hex[:8]}@example.org"


def invite(client: FlaskClient, email: str, role: Role = Role.SUPPORT) -> TestResponse:
    return post(client, "/staff/team", email=email, name="Taras Melnyk", role=role.value)


def key_in(postbox: Postbox, email: str) -> str:
    """The key in the newest e-mail to this address, which the button carries as well."""
    message = [found for found in postbox.emails if email in str(found["To"])][-1]
    found = re.search(r"/staff/new-password#([\w-]{43})", text_of(message))
    assert found
    assert f"\n{found[1]}" in text_of(message)
    return found[1]


def choose(client: FlaskClient, key: str, password: str = NEW_PASSWORD) -> TestResponse:
    form = {"token": key, "password": password}
    return post(client, "/staff/new-password", "/staff/new-password", **form)


def test_what_is_said_of_an_act_names_nobody_in_the_cookie(
    admin: FlaskClient, database: Database
) -> None:
    email = hire(database, Role.SUPPORT)
    staff_id = staff_of(database, email).id
    for what, form in (
        ("role", {"role": "manager"}),
        ("sign-out", {}),
        ("second-factor-off", {}),
        ("closing", {}),
        ("opening", {}),
    ):
        assert post(admin, f"/staff/team/{staff_id}/{what}", **form).status_code == 303, what
        said = cookie_of(admin)
        assert "_flashes" in said, what
        assert email not in said, what
        assert "Iryna" not in said, what


def test_somebody_invited_chooses_a_password_and_signs_in_with_the_role(
    admin: FlaskClient,
    app: FundraiserApp,
    database: Database,
    mail_server: MailServer,
    postbox: Postbox,
) -> None:
    email = new_address()
    answer = invite(admin, email)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/staff/team")
    assert shown(read(admin, "/staff/team"), "notice-invited")
    guest = app.test_client()
    assert sign_in(guest, email, "").status_code == 422
    deliver(database, mail_server)
    key = key_in(postbox, email)
    for _ in range(2):  # a program that opens the e-mail's links
        assert guest.get("/staff/new-password", headers=PAGE).status_code == 200
    answer = choose(guest, key)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/staff/sign-in")
    assert sign_in(guest, email, NEW_PASSWORD).status_code == 303
    assert guest.get("/staff/team", headers=PAGE).status_code == 403
    assert staff_of(database, email).role is Role.SUPPORT
    trail = read(admin, "/staff/audit-log")
    for action, who in (
        ("signed_in", "Taras Melnyk"),
        ("took_invitation", "Taras Melnyk"),
        ("invited_staff", "Iryna Bondar"),
    ):
        row = trail.select_one(f"tr[data-test={action}]")
        assert row
        assert (words(row, "th"), words(row, ".came-from")) == (who, "Taras Melnyk")


def test_of_a_key_only_the_hash_is_kept_once_the_email_has_left(
    admin: FlaskClient, database: Database, mail_server: MailServer, postbox: Postbox
) -> None:
    email = new_address()
    invite(admin, email)
    deliver(database, mail_server)
    key = key_in(postbox, email)
    with database.transaction() as session:
        assert session.scalars(select(StaffKey)).one().token_hash != key
    assert all(key not in str(message.context) for message in emails_in(database))


def test_a_used_a_late_a_replaced_and_an_unknown_key_are_said_so(
    admin: FlaskClient,
    app: FundraiserApp,
    database: Database,
    mail_server: MailServer,
    postbox: Postbox,
) -> None:
    used, late = new_address(), new_address()
    for email in (used, late):
        invite(admin, email)
    deliver(database, mail_server)
    guest = app.test_client()
    choose(guest, key_in(postbox, used))
    answer = choose(guest, key_in(postbox, used))
    assert (answer.status_code, "key-used" in names(parse(answer))) == (422, True)
    with database.transaction() as session:
        session.execute(
            update(StaffKey).values(
                ends_at=now() - timedelta(seconds=1), created_at=now() - timedelta(days=3)
            )
        )
    answer = choose(guest, key_in(postbox, late))
    assert (answer.status_code, "invitation-over" in names(parse(answer))) == (422, True)
    first, staff = key_in(postbox, late), staff_of(database, late)
    assert post(admin, f"/staff/team/{staff.id}/invitation").status_code == 303
    deliver(database, mail_server)
    assert "invitation-over" in names(parse(choose(guest, first)))
    assert "key-unknown" in names(parse(choose(guest, "nothing")))
    too_short = choose(guest, key_in(postbox, late), "short")
    assert (too_short.status_code, "password-short" in names(parse(too_short))) == (422, True)
    assert choose(guest, key_in(postbox, late)).status_code == 303


def test_an_invitation_is_for_three_days(admin: FlaskClient, database: Database) -> None:
    invite(admin, new_address())
    with database.transaction() as session:
        key = session.scalars(select(StaffKey)).one()
    assert key.ends_at - key.created_at == timedelta(days=3)


def test_who_is_on_the_staff_is_not_invited_again(admin: FlaskClient, database: Database) -> None:
    member, invited, closed = hire(database), new_address(), hire(database)
    invite(admin, invited)
    with database.transaction() as session:
        session.execute(update(Staff).values(created_at=now() - timedelta(days=1)))
    post(admin, f"/staff/team/{staff_of(database, closed).id}/closing")
    for email, name in (
        (member, "known-staff"),
        (invited, "known-invited"),
        (closed, "known-closed"),
        ("nobody", "no-address"),
        ("", "no-address"),
    ):
        answer = invite(admin, email.upper())
        assert answer.status_code == 422
        assert name in names(parse(answer))
        assert f'value="{email.upper()}"' in answer.text


def test_an_invitation_clicked_twice_is_one_email(admin: FlaskClient, database: Database) -> None:
    email = new_address()
    assert [invite(admin, email).status_code for _ in range(2)] == [303, 303]
    post(admin, f"/staff/team/{staff_of(database, email).id}/invitation")
    assert len(emails_in(database)) == 1


@pytest.mark.parametrize("role", ["", "king", "ADMIN"])
def test_a_role_that_is_none_is_said_so(admin: FlaskClient, database: Database, role: str) -> None:
    answer = post(admin, "/staff/team", email=new_address(), role=role)
    assert (answer.status_code, list(wrong(parse(answer)))) == (422, ["role"])
    with database.transaction() as session:
        assert len(session.scalars(select(Staff)).all()) == 1


def test_a_role_is_changed_and_holds_at_once(
    admin: FlaskClient, app: FundraiserApp, database: Database
) -> None:
    email = hire(database, Role.MANAGER)
    other = app.test_client()
    sign_in(other, email)
    staff = staff_of(database, email)
    assert post(admin, f"/staff/team/{staff.id}/role", role="finance").status_code == 303
    with database.transaction() as session:
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
        assert entry
        assert (entry.action, entry.subject, entry.fields) == (
            "changed_staff",
            f"staff {staff.id}",
            ["role"],
        )
    sign_in(other, email)
    form = {"csrf_token": csrf_token(other, "/staff/account")}
    assert other.post("/staff/failed-syncs/retry", data=form, headers=PAGE).status_code == 403


def test_nobody_changes_their_own_role(admin: FlaskClient, database: Database) -> None:
    hire(database, Role.ADMIN)
    with database.transaction() as session:
        me = session.scalars(select(Staff).order_by(Staff.id)).first()
    assert me
    answer = post(admin, f"/staff/team/{me.id}/role", role="manager")
    assert answer.status_code == 422
    assert "own-role" in names(parse(answer))


def test_the_last_administrator_stays(admin: FlaskClient, database: Database) -> None:
    hire(database, Role.MANAGER)
    invite(admin, new_address(), Role.ADMIN)  # has not come yet, so is no help
    with database.transaction() as session:
        me = session.scalars(select(Staff).where(Staff.role == Role.ADMIN).limit(1)).one()
    answer = post(admin, f"/staff/team/{me.id}/closing")
    assert (answer.status_code, "last-administrator" in names(parse(answer))) == (422, True)
    assert admin.get("/staff/team", headers=PAGE).status_code == 200
    hire(database, Role.ADMIN)
    assert post(admin, f"/staff/team/{me.id}/closing").status_code == 303
    assert admin.get("/staff/team", headers=PAGE).status_code == 303


def test_of_two_administrators_who_demote_each_other_one_stays(database: Database) -> None:
    emails = [hire(database, Role.ADMIN), hire(database, Role.ADMIN)]
    one, other = (staff_of(database, email) for email in emails)
    with database.transaction() as session:
        mine, theirs = session.get_one(Staff, one.id), session.get_one(Staff, other.id)
        # Beside it, the other has been quicker.
        with database.transaction() as beside:
            by, victim = beside.get_one(Staff, other.id), beside.get_one(Staff, one.id)
            people.change_role(beside, by, victim, Role.SUPPORT)
        with pytest.raises(ForbiddenError):
            people.change_role(session, mine, theirs, Role.SUPPORT)
    assert staff_of(database, emails[1]).role is Role.ADMIN


def test_an_account_is_closed_and_opened_by_a_new_invitation(
    admin: FlaskClient,
    app: FundraiserApp,
    database: Database,
    mail_server: MailServer,
    postbox: Postbox,
) -> None:
    email = hire(database)
    other = app.test_client()
    sign_in(other, email)
    staff = staff_of(database, email)
    for _ in range(2):
        assert post(admin, f"/staff/team/{staff.id}/closing").status_code == 303
    assert other.get("/staff", headers=PAGE).status_code == 303
    assert sign_in(other, email).status_code == 422
    for _ in range(2):
        assert post(admin, f"/staff/team/{staff.id}/opening").status_code == 303
    assert sign_in(other, email).status_code == 422
    deliver(database, mail_server)
    assert choose(other, key_in(postbox, email)).status_code == 303
    assert sign_in(other, email, NEW_PASSWORD).status_code == 303


def test_a_closed_account_keeps_no_way_in_by_an_older_email(
    admin: FlaskClient,
    app: FundraiserApp,
    database: Database,
    mail_server: MailServer,
    postbox: Postbox,
) -> None:
    email = new_address()
    invite(admin, email)
    deliver(database, mail_server)
    post(admin, f"/staff/team/{staff_of(database, email).id}/closing")
    answer = choose(app.test_client(), key_in(postbox, email))
    assert "account-closed" in names(parse(answer))


def test_an_administrator_signs_somebody_out_everywhere(
    admin: FlaskClient, app: FundraiserApp, database: Database
) -> None:
    email = hire(database)
    browsers = [app.test_client(), app.test_client()]
    for browser in browsers:
        sign_in(browser, email)
    post(admin, f"/staff/team/{staff_of(database, email).id}/sign-out")
    assert [b.get("/staff", headers=PAGE).status_code for b in browsers] == [303, 303]


def test_everybody_signs_themselves_out_everywhere(app: FundraiserApp, database: Database) -> None:
    email = hire(database, Role.FINANCE)
    here, there = app.test_client(), app.test_client()
    for browser in (here, there):
        sign_in(browser, email)
    assert post(here, "/staff/account/sign-out", "/staff/account").status_code == 303
    for browser in (here, there):
        assert browser.get("/staff", headers=PAGE).status_code == 303


def test_a_stranger_who_asks_again_ends_nobodys_link_to_a_new_password(
    app: FundraiserApp, database: Database, mail_server: MailServer, postbox: Postbox
) -> None:
    email, forgotten = hire(database), "/staff/forgotten"
    client, stranger = app.test_client(), app.test_client()
    post(client, forgotten, forgotten, email=email)
    deliver(database, mail_server)
    first = key_in(postbox, email)
    post(stranger, forgotten, forgotten, email=email)
    deliver(database, mail_server)
    second = key_in(postbox, email)
    assert choose(client, first).status_code == 303
    answer = choose(stranger, second, PASSWORD)  # once one is used, the others are worthless
    assert (answer.status_code, "key-over" in names(parse(answer))) == (422, True)
    assert sign_in(client, email, NEW_PASSWORD).status_code == 303


def test_strangers_requests_do_not_keep_the_owner_from_asking(
    app: FundraiserApp, database: Database
) -> None:
    email, forgotten = hire(database), "/staff/forgotten"
    stranger, owner = app.test_client(), app.test_client()
    stranger.environ_base["REMOTE_ADDR"] = "203.0.113.7"
    answers = [post(stranger, forgotten, forgotten, email=email).status_code for _ in range(6)]
    assert answers == [200] * 5 + [429]
    assert post(owner, forgotten, forgotten, email=email).status_code == 200


def test_a_forgotten_password_is_chosen_anew_by_email_and_tells_nobody_who_is_staff(
    client: FlaskClient, database: Database, mail_server: MailServer, postbox: Postbox
) -> None:
    email, stranger = hire(database), new_address()
    pages = [
        post(client, "/staff/forgotten", "/staff/forgotten", email=who).text.replace(who, "*")
        for who in (email, stranger)
    ]
    assert re.sub(r'value="[^"]*"', "", pages[0]) == re.sub(r'value="[^"]*"', "", pages[1])
    deliver(database, mail_server)
    assert [str(message["To"]) for message in postbox.emails] == [email]
    assert sign_in(client, email).status_code == 303  # until it is chosen, the old one holds
    assert choose(client, key_in(postbox, email)).status_code == 303
    assert sign_in(client, email).status_code == 422
    assert sign_in(client, email, NEW_PASSWORD).status_code == 303


def test_no_more_than_three_emails_an_hour_are_sent_to_one_person(
    client: FlaskClient, database: Database
) -> None:
    email = hire(database)
    for _ in range(5):
        post(client, "/staff/forgotten", "/staff/forgotten", email=email)
    assert len(emails_in(database)) == 3


def test_ones_own_password_is_changed_with_the_old_one(
    app: FundraiserApp, database: Database
) -> None:
    email = hire(database)
    here, there = app.test_client(), app.test_client()
    for browser in (here, there):
        sign_in(browser, email)
    change, page = "/staff/account/password", "/staff/account"
    assert read(here, page).select("input[name=username]")[0]["value"] == email, "for the browser"
    answer = post(here, change, page, old="wrong", new=NEW_PASSWORD)
    assert (answer.status_code, "not-the-password" in names(parse(answer))) == (422, True)
    answer = post(here, change, page, old=PASSWORD, new="short")
    assert (answer.status_code, "password-short" in names(parse(answer))) == (422, True)
    assert post(here, change, page, old=PASSWORD, new=NEW_PASSWORD).status_code == 303
    assert here.get("/staff", headers=PAGE).status_code == 200
    assert there.get("/staff", headers=PAGE).status_code == 303


@pytest.mark.parametrize("role", [Role.MANAGER, Role.SUPPORT, Role.FINANCE])
def test_only_administrators_manage_the_staff(
    client: FlaskClient, database: Database, role: Role
) -> None:
    victim = staff_of(database, hire(database))
    sign_in(client, hire(database, role))
    for path in ("/staff/team", "/staff/audit-log"):
        assert client.get(path, headers=PAGE).status_code == 403
    assert "/staff/team" not in client.get("/staff", headers=PAGE).text
    form = {"role": "admin", "email": new_address()}
    for path in ("/staff/team", *(f"/staff/team/{victim.id}/{w}" for w in ("role", "closing"))):
        assert post(client, path, "/staff/account", **form).status_code == 403
    assert staff_of(database, victim.email).role is Role.MANAGER


@pytest.mark.parametrize("path", ["/staff/team/1/nothing", "/staff/team/99999999999999999999/role"])
def test_there_is_nothing_to_do_there(admin: FlaskClient, path: str) -> None:
    assert post(admin, path, role="support").status_code == 404


def test_the_trail_goes_on_page_by_page_and_shows_one_persons_acts(
    admin: FlaskClient, database: Database
) -> None:
    other = staff_of(database, hire(database, Role.SUPPORT))
    with database.transaction() as session:
        session.add_all(
            AuditEntry(
                at=now(), staff_id=other.id, action="settled_again", subject=f"customer c{n}"
            )
            for n in range(60)
        )
    first = read(admin, f"/staff/audit-log?staff={other.id}")
    onward = first.select_one("nav.more a[rel=next]")
    assert onward
    second = read(admin, str(onward["href"]))
    rows = [row for page in (first, second) for row in page.select("tbody tr")]
    assert len(rows) == 60
    assert words(rows[0], ".came-from") == "customer c59"
    assert {row["data-test"] for row in rows} == {"settled_again"}
    everybody = words(read(admin, "/staff/audit-log?staff=&before=x"))
    assert "Iryna Bondar" in shown(read(admin, "/staff/audit-log?before=6"), "signed_in")
    assert "customer c59" in everybody


def test_an_act_that_is_known_no_more_keeps_its_name(
    admin: FlaskClient, database: Database
) -> None:
    act = "painted_door"
    with database.transaction() as session:
        session.add(AuditEntry(at=now(), action=act, subject="member 7", fields=["colour"]))
    page = read(admin, "/staff/audit-log")
    assert "Painted door colour member 7" in shown(page, act)
    assert page.select_one("a[href='/staff/members/7']")


def test_an_email_to_staff_that_failed_needs_somebody(
    admin: FlaskClient, database: Database
) -> None:
    invite(admin, new_address())
    with database.transaction() as session:
        session.execute(update(Email).values(state=EmailState.FAILED))
    page = read(admin, "/staff")
    assert shown(page, "failed-emails").startswith("1 ")
    row = page.select_one("tr:has([data-test=email-failed])")
    assert row
    assert "Taras Melnyk" in words(row, "th")


def test_an_invitation_too_long_or_odd_is_refused(session: Session, database: Database) -> None:
    by = staff_of(database, hire(database, Role.ADMIN))
    for email in ("x" * 300 + "@example.org", "a\u200b@b\n.org", "@"):
        with pytest.raises(UnprocessableError, match=r"Enter an e-mail address"):
            people.invite(session, by, email=email, name="", role=Role.SUPPORT)
