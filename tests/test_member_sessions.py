"""A member's sessions: listed, ended one by one, idle ends, and one a browser."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from flask import Response
from sqlalchemy import select

from fundraiser.account.models import MemberSession
from fundraiser.account.sessions import begin_session
from fundraiser.db import now
from fundraiser.members.models import Member
from fundraiser.newsroom.models import AuditEntry, Role
from fundraiser.security import digest, new_secret
from tests.factories import make_member
from tests.members import sign_in
from tests.staff import hire, post, sign_in as staff_sign_in

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.db import Database
    from tests.members import Olena


def browser_of(olena: Olena, agent: str) -> FlaskClient:
    """Another browser in which she is signed in."""
    other, token = olena.stripe.app.test_client(), new_secret()
    with olena.database.transaction() as session:
        ends_at = now() + timedelta(days=9 * 365)
        session.add(
            MemberSession(
                member_id=olena.member_id,
                token_hash=digest(token),
                browser=agent,
                created_at=now(),
                ends_at=ends_at,
            )
        )
    other.set_cookie("member", token)
    return other


def is_in(client: FlaskClient) -> bool:
    return client.get("/account").status_code == 200


def test_a_member_sees_the_browsers_and_ends_one(olena: Olena) -> None:
    other = browser_of(olena, "Firefox, Windows")
    page = olena.open("/account")
    assert "Firefox, Windows" in page.get_text()
    ends = page.select("form[action*='/account/sessions/']")
    assert len(ends) == 2
    there = next(form for form in ends if "Firefox" in form.get_text())
    form = {str(field["name"]): str(field["value"]) for field in there.select("input")}
    assert olena.send(str(there["action"]), form).status_code == 303
    assert (is_in(other), is_in(olena.client)) == (False, True)
    assert not olena.open("/account").select("form[action*='/account/sessions/']")


def test_nobody_ends_a_session_of_somebody_else(olena: Olena, database: Database) -> None:
    with database.transaction() as session:
        other = make_member(session).id
    theirs = olena.stripe.app.test_client()
    sign_in(theirs, database, other)
    with database.transaction() as session:
        session_id = session.scalars(
            select(MemberSession.id).where(MemberSession.member_id == other)
        ).one()
    form = olena.form("/account", "/account/sign-out")
    olena.send(f"/account/sessions/{session_id}/end", form)
    assert is_in(theirs)


def test_a_session_that_nobody_uses_for_a_fortnight_ends(olena: Olena) -> None:
    assert is_in(olena.client)
    with olena.database.transaction() as session:
        mine = session.scalars(select(MemberSession)).one()
        mine.seen_at -= timedelta(days=13)
    assert is_in(olena.client), "which counts as a use"
    with olena.database.transaction() as session:
        session.scalars(select(MemberSession)).one().seen_at -= timedelta(days=14, seconds=1)
    assert not is_in(olena.client)


def test_a_new_sign_in_ends_the_earlier_session_of_the_browser(olena: Olena) -> None:
    with (
        olena.stripe.app.test_request_context(
            headers={"Cookie": f"member=token-of-{olena.member_id}"}
        ),
        olena.database.transaction() as session,
    ):
        begin_session(session, session.get_one(Member, olena.member_id), Response(), by="code")
    assert not is_in(olena.client)


def test_every_page_of_a_member_has_the_button_to_sign_out(olena: Olena) -> None:
    for path in ("/account", "/account/details", "/account/email", "/account/erasure"):
        assert len(olena.open(path).select("form[action^='/account/sign-out']")) == 1, path
    olena.client.delete_cookie("member")
    assert not olena.open("/account/sign-in").select("form[action^='/account/sign-out']")


def test_staff_sign_a_member_out_everywhere(olena: Olena, database: Database) -> None:
    other, desk = browser_of(olena, "Firefox, Windows"), olena.stripe.app.test_client()
    staff_sign_in(desk, hire(database, Role.SUPPORT))
    page = f"/staff/members/{olena.member_id}"
    assert post(desk, f"{page}/sessions/end", page).location == page
    assert (is_in(olena.client), is_in(other)) == (False, False)
    assert post(desk, "/staff/members/999999/sessions/end", page).status_code == 404
    with database.transaction() as session:
        actions = session.scalars(select(AuditEntry.action)).all()
    assert actions.count("ended_member_sessions") == 1
