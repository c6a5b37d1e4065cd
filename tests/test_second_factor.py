"""The second factor of staff: a code from their telephone, asked for after the password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import update

from fundraiser.newsroom import second_factor, staff as people
from fundraiser.newsroom.models import Staff
from fundraiser.newsroom.staff import find_staff
from tests.pages import PageText
from tests.second_factor import code_of, turn_on
from tests.staff import NEW_PASSWORD, PAGE, hire, post, read, sign_in, staff_of, words

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database


def forget_used_codes(database: Database) -> None:
    """As if half a minute had gone by since each."""
    with database.transaction() as session:
        session.execute(update(Staff).values(second_factor_step=0))


def test_with_a_second_factor_the_password_alone_lets_nobody_in(
    app: FundraiserApp, database: Database
) -> None:
    email = hire(database)
    client = app.test_client()
    sign_in(client, email)
    assert turn_on(client, database, email).status_code == 303
    other = app.test_client()
    answer = sign_in(other, email, next="/staff/members")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/staff/sign-in/code")
    assert other.get("/staff", headers=PAGE).status_code == 303
    enter, page = "/staff/sign-in/code", "/staff/sign-in/code"
    used = post(other, enter, page, code=code_of(database, email))
    assert (used.status_code, "not-the-current-code" in PageText.of(used).marks) == (422, True)
    forget_used_codes(database)
    assert post(other, enter, page, code="000000").status_code == 422
    code = code_of(database, email)
    answer = post(other, enter, page, code=f"{code[:3]} {code[3:]}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/staff/members")
    assert other.get("/staff", headers=PAGE).status_code == 200


def test_the_code_is_asked_for_only_after_the_password(client: FlaskClient) -> None:
    assert client.get("/staff/sign-in/code", headers=PAGE).status_code == 303
    answer = post(client, "/staff/sign-in/code", code="123456", page="/staff/sign-in")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/staff/sign-in")


def test_after_ten_wrong_codes_even_the_right_one_has_to_wait(
    client: FlaskClient, database: Database
) -> None:
    email = hire(database)
    sign_in(client, email)
    turn_on(client, database, email)
    post(client, "/staff/account/sign-out", "/staff/account")
    sign_in(client, email)
    forget_used_codes(database)
    enter, page = "/staff/sign-in/code", "/staff/sign-in/code"
    assert {post(client, enter, page, code="x").status_code for _ in range(10)} == {422}
    assert post(client, enter, page, code=code_of(database, email)).status_code == 429


def test_the_picture_is_an_image_of_the_secret_until_it_is_in_force(
    client: FlaskClient, database: Database
) -> None:
    email, picture = hire(database), "/staff/account/second-factor.svg"
    sign_in(client, email)
    assert client.get(picture, headers=PAGE).status_code == 404
    post(client, "/staff/account/second-factor", "/staff/account")
    answer = client.get(picture)
    assert (answer.status_code, answer.mimetype) == (200, "image/svg+xml")
    assert b"style=" not in answer.data
    assert second_factor.secret_of(staff_of(database, email)) in words(
        read(client, "/staff/account")
    )
    turn_on(client, database, email)
    assert client.get(picture, headers=PAGE).status_code == 404


def test_the_database_alone_does_not_make_codes(app: FundraiserApp, database: Database) -> None:
    """The negative control of keeping half of the secret elsewhere: another key, other codes."""
    email = hire(database)
    with database.transaction() as session:
        staff = find_staff(session, email)
        assert staff
        second_factor.begin(staff)
        before = second_factor.secret_of(staff)
        settings = app.extensions["settings"]
        app.extensions["settings"] = type(settings)(
            **{name: getattr(settings, name) for name in settings.__slots__}
            | {"secret_keys": ("another-key-0123456789-abcdefghijklmn",)}
        )
        after = second_factor.secret_of(staff)
        app.extensions["settings"] = settings
    assert before != after


def test_an_administrator_turns_off_the_second_step_of_somebody_who_lost_it(
    admin: FlaskClient,
    app: FundraiserApp,
    database: Database,
) -> None:
    email, client = hire(database), app.test_client()
    sign_in(client, email)
    turn_on(client, database, email)
    staff = staff_of(database, email)
    assert staff.second_factor_at
    assert post(admin, f"/staff/team/{staff.id}/second-factor-off").status_code == 303
    assert client.get("/staff", headers=PAGE).status_code == 303
    assert sign_in(app.test_client(), email).headers["Location"] == "/staff"


def test_the_operators_reset_turns_the_second_factor_off(
    client: FlaskClient, database: Database
) -> None:
    email = hire(database)
    sign_in(client, email)
    turn_on(client, database, email)
    with database.transaction() as session:
        people.reset_password(session, email, NEW_PASSWORD)
    assert sign_in(client, email, NEW_PASSWORD).headers["Location"] == "/staff"
