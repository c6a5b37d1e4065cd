"""Sessions of staff: rows that end by sign-out, by a new password or role, idle, or after hours."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from fundraiser.db import clock, now
from fundraiser.incidents import Kind, SecurityEvent
from fundraiser.newsroom.confirmation import FRESH
from fundraiser.newsroom.models import Role, StaffSession
from fundraiser.newsroom.sessions import name_browser
from tests.staff import NEW_PASSWORD, PAGE, PASSWORD, hire, post, read, sign_in, staff_of

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
COOKIE = "staff"


def is_in(client: FlaskClient) -> bool:
    return client.get("/staff/account", headers=PAGE).status_code == 200


def copy_of(client: FlaskClient, app: FundraiserApp) -> FlaskClient:
    """Another browser with the same cookie."""
    cookie = client.get_cookie(COOKIE)
    assert cookie
    thief = app.test_client()
    thief.set_cookie(COOKIE, cookie.value)
    return thief


def age(database: Database, *, seen: timedelta, begun: timedelta) -> None:
    """As if this much time had gone by."""
    with database.transaction() as session:
        session.execute(
            update(StaffSession).values(
                seen_at=StaffSession.seen_at - seen,
                created_at=StaffSession.created_at - begun,
                ends_at=StaffSession.ends_at - begun,
            )
        )


def test_a_copied_cookie_is_worth_nothing_once_its_owner_has_signed_out(
    app: FundraiserApp, client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database))
    thief = copy_of(client, app)
    assert is_in(thief)
    post(client, "/staff/sign-out", "/staff/account")
    assert not is_in(thief)
    with database.transaction() as session:
        assert session.scalars(select(StaffSession)).all() == []


def test_the_database_keeps_the_hash_of_a_session_not_its_token(
    client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database))
    with client.session_transaction() as cookie:
        token = cookie["_user_id"]
    with database.transaction() as session:
        row = session.scalars(select(StaffSession)).one()
    assert token not in repr(vars(row))


def test_whoever_uses_the_dashboard_stays_in_and_whoever_does_not_is_out_after_an_hour(
    client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database))
    for _ in range(3):
        age(database, seen=timedelta(minutes=59), begun=timedelta(minutes=59))
        assert is_in(client)
    age(database, seen=timedelta(minutes=61), begun=timedelta(minutes=61))
    assert not is_in(client)


def test_a_page_that_renews_itself_keeps_nobody_in(client: FlaskClient, database: Database) -> None:
    sign_in(client, hire(database))
    age(database, seen=timedelta(minutes=59), begun=timedelta(minutes=59))
    renewal = PAGE | {"Sec-Fetch-Mode": "cors"}
    assert client.get("/staff/account", headers=renewal).status_code == 200
    age(database, seen=timedelta(minutes=2), begun=timedelta(minutes=2))
    assert not is_in(client)


def test_after_twelve_hours_everybody_is_out_however_much_was_done(
    client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database))
    age(database, seen=timedelta(), begun=timedelta(hours=11, minutes=59))
    assert is_in(client)
    # An act, which writes the cookie anew.
    assert post(client, "/staff/account/emails", "/staff/account").status_code == 303
    age(database, seen=timedelta(), begun=timedelta(minutes=2))
    assert not is_in(client)


def test_a_leap_of_the_demonstrations_clock_signs_nobody_out(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(client, hire(database))
    monkeypatch.setattr(clock, "_offset", timedelta(days=40))
    assert is_in(client)


def test_ones_own_new_password_ends_all_other_sessions(
    app: FundraiserApp, client: FlaskClient, database: Database
) -> None:
    email = hire(database)
    sign_in(client, email)
    thief, other = copy_of(client, app), app.test_client()
    sign_in(other, email)
    form = {"old": PASSWORD, "new": NEW_PASSWORD}
    assert post(client, "/staff/account/password", "/staff/account", **form).status_code == 303
    assert (is_in(client), is_in(other), is_in(thief)) == (True, False, False)


def test_another_role_ends_the_sessions_of_the_role_before(
    admin: FlaskClient,
    app: FundraiserApp,
    database: Database,
) -> None:
    email, client = hire(database), app.test_client()
    sign_in(client, email)
    path = f"/staff/team/{staff_of(database, email).id}/role"
    assert post(admin, path, role=Role.MANAGER.value).status_code == 303
    assert is_in(client)  # it was this role already
    assert post(admin, path, role=Role.SUPPORT.value).status_code == 303
    assert not is_in(client)


def test_sessions_are_listed_and_each_can_be_ended(
    app: FundraiserApp, client: FlaskClient, database: Database
) -> None:
    email, other = hire(database), app.test_client()
    other.environ_base["HTTP_USER_AGENT"] = FIREFOX
    sign_in(other, email)
    sign_in(client, email)
    sign_in(app.test_client(), hire(database))
    page = read(client, "/staff/account")
    rows = [
        " ".join(row.get_text(" ").split())
        for row in page.select("section[aria-labelledby=sessions] tbody th")
    ]
    assert rows == ["Unknown browser This browser", "Firefox, Linux"]
    forms = [form["action"] for form in page.select("section[aria-labelledby=sessions] td form")]
    assert post(client, str(forms[1]), "/staff/account").status_code == 303
    assert (is_in(client), is_in(other)) == (True, False)
    answer = post(client, str(forms[0]), "/staff/account")
    assert answer.headers["Location"] == "/staff/sign-in"
    assert not is_in(client)


def test_nobody_ends_somebody_elses_session(
    app: FundraiserApp, client: FlaskClient, database: Database
) -> None:
    other = app.test_client()
    sign_in(other, hire(database))
    sign_in(client, hire(database))
    with database.transaction() as session:
        theirs = session.scalars(select(StaffSession.id).order_by(StaffSession.id)).first()
    post(client, f"/staff/account/sessions/{theirs}/end", "/staff/account")
    assert is_in(other)


IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1"
)
EDGE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 16; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Mobile Safari/537.36"
)


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (FIREFOX, "Firefox, Linux"),
        (IPHONE, "Safari, iPhone"),
        (EDGE, "Edge, Windows"),
        (ANDROID, "Chrome, Android"),
        ("curl/8.14", ""),
    ],
)
def test_a_browser_is_named_by_what_it_says(user_agent: str, name: str) -> None:
    assert name_browser(user_agent) == name


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET action = 'nothing'",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry CASCADE",
        "UPDATE security_event SET count = 0",
        "UPDATE security_event SET kind = 'limit'",
    ],
)
def test_what_was_done_is_not_rewritten(
    client: FlaskClient, database: Database, statement: str
) -> None:
    sign_in(client, hire(database))
    with database.transaction() as session:
        at = now()
        session.add(SecurityEvent(kind=Kind.PASSWORD, place="/", minute=at, count=1))
    with database.transaction() as session:
        session.execute(text("UPDATE security_event SET count = count + 1"))
    with pytest.raises(DBAPIError, match="append-only"), database.transaction() as session:
        session.execute(text(statement))


def test_a_proof_of_who_sits_there_gives_the_session_another_token(
    client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database, Role.ADMIN))
    with database.transaction() as session:
        found = session.scalars(select(StaffSession)).one()
        before, found.confirmed_at = found.token_hash, clock.machine() - FRESH
    copied = client.get_cookie("staff")
    assert copied
    form = {"second_step_roles": "admin", "large_refund": "100", "password_again": PASSWORD}
    assert post(client, "/staff/team/rules", **form).status_code == 303
    with database.transaction() as session:
        assert session.scalars(select(StaffSession)).one().token_hash != before
    assert client.get("/staff/account", headers=PAGE).status_code == 200
    thief = client.application.test_client()
    thief.set_cookie("staff", copied.value)
    assert thief.get("/staff/account", headers=PAGE).status_code == 303


@pytest.mark.parametrize("time", ["once", "again"])
def test_no_test_uses_up_the_guesses_of_another(client: FlaskClient, time: str) -> None:
    """A network has fifty; all the tests come from one."""
    answers = [sign_in(client, f"{time}-{number}@example.org", "wrong") for number in range(51)]
    assert [answer.status_code for answer in answers] == [422] * 50 + [429]
