"""The second step of staff: passkeys, recovery codes, who has to have one; and asking again."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import func, select, update

from fundraiser.db import clock
from fundraiser.newsroom.models import (
    AuditEntry,
    Passkey,
    RecoveryCode,
    Role,
    Staff,
    StaffSession,
)
from fundraiser.outbox import Email
from tests.passkeys import ORIGIN, Authenticator
from tests.second_factor import turn_on
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
    wrong as wrong_fields,
)

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database

ACCOUNT, CODE = "/staff/account", "/staff/sign-in/code"


@pytest.fixture
def named(app: FundraiserApp) -> FundraiserApp:
    """The app at an address with a name, which passkeys need."""
    app.extensions["settings"] = replace(app.extensions["settings"], public_url=ORIGIN)
    return app


def options_of(page: str) -> dict[str, Any]:
    form = BeautifulSoup(page, "html.parser").select_one("form[data-passkey]")
    assert form, page
    options: dict[str, Any] = json.loads(str(form["data-options"]))
    return options


def add_passkey(client: FlaskClient, device: Authenticator) -> TestResponse:
    page = post(client, "/staff/account/passkeys/new", ACCOUNT)
    answer = device.create(options_of(page.text))
    return post(client, "/staff/account/passkeys", ACCOUNT, passkey=answer)


def answer_with(client: FlaskClient, device: Authenticator) -> TestResponse:
    options = options_of(client.get(CODE, headers=PAGE).text)
    return post_code(client, passkey=device.get(options))


def post_code(client: FlaskClient, **form: str) -> TestResponse:
    return client.post(CODE, data={"csrf_token": sealed(client), **form}, headers=PAGE)


def sealed(client: FlaskClient) -> str:
    """A form's token, from a page that makes no new challenge."""
    return csrf_token(client, "/staff/forgotten")


def is_in(client: FlaskClient) -> bool:
    return client.get(ACCOUNT, headers=PAGE).status_code == 200


def with_passkey(app: FundraiserApp, database: Database) -> tuple[str, Authenticator]:
    email, device, client = hire(database), Authenticator(), app.test_client()
    sign_in(client, email)
    assert add_passkey(client, device).status_code == 303
    return email, device


def stale(database: Database) -> None:
    """As if everybody had signed in ten minutes ago."""
    with database.transaction() as session:
        session.execute(
            update(StaffSession).values(
                confirmed_at=StaffSession.confirmed_at - timedelta(minutes=10)
            )
        )


def emails_to_staff(database: Database) -> list[str]:
    with database.transaction() as session:
        return [email.context["paragraphs"][0] for email in session.scalars(select(Email))]


def test_with_a_passkey_the_password_alone_lets_nobody_in(
    named: FundraiserApp, database: Database
) -> None:
    email, device = with_passkey(named, database)
    client = named.test_client()
    answer = sign_in(client, email, next="/staff/members")
    assert (answer.status_code, answer.headers["Location"]) == (303, CODE)
    assert not is_in(client)
    assert "no-authenticator" in names(parse(post_code(client, code="123456")))
    answer = answer_with(client, device)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/staff/members")
    assert is_in(client)
    with database.transaction() as session:
        passkey = session.scalars(select(Passkey)).one()
    assert (passkey.sign_count, passkey.used_at is not None) == (1, True)
    assert len(emails_to_staff(database)) == 1, "that a passkey was added"


def test_an_answer_that_was_used_is_worth_nothing(named: FundraiserApp, database: Database) -> None:
    email, device = with_passkey(named, database)
    client, thief = named.test_client(), named.test_client()
    sign_in(client, email)
    answer = device.get(options_of(client.get(CODE, headers=PAGE).text))
    assert post_code(client, passkey=answer).status_code == 303
    sign_in(thief, email)
    assert post_code(thief, passkey=answer).status_code == 422
    thief.get(CODE, headers=PAGE)
    refused = post_code(thief, passkey=answer)
    assert (refused.status_code, "passkey-wrong" in names(parse(refused))) == (422, True)
    assert not is_in(thief)


@pytest.mark.parametrize(
    "device", [Authenticator(), Authenticator(origin="https://localhost.evil.example")]
)
def test_another_passkey_and_another_site_let_nobody_in(
    named: FundraiserApp, database: Database, device: Authenticator
) -> None:
    email, known = with_passkey(named, database)
    if device.origin != ORIGIN:
        device.id, device.key = known.id, known.key
    client = named.test_client()
    sign_in(client, email)
    assert answer_with(client, device).status_code == 422
    # The page of the refusal asks anew.
    assert answer_with(client, known).status_code == 303


def test_a_passkey_that_checks_neither_pin_nor_finger_is_refused(
    named: FundraiserApp, database: Database
) -> None:
    client = named.test_client()
    sign_in(client, hire(database))
    assert add_passkey(client, Authenticator(verifies=False)).status_code == 422
    with database.transaction() as session:
        assert session.scalars(select(Passkey)).all() == []


@pytest.mark.parametrize("answer", ["", "x", "{}", "[]", "[" * 5000, '{"id": 1}', "x" * 9000])
def test_what_is_no_answer_of_a_browser_is_refused(
    named: FundraiserApp, database: Database, answer: str
) -> None:
    email, _device = with_passkey(named, database)
    client = named.test_client()
    sign_in(client, email)
    client.get(CODE, headers=PAGE)
    assert post_code(client, passkey=answer).status_code == 422
    signed_in = named.test_client()
    sign_in(signed_in, hire(database))
    post(signed_in, "/staff/account/passkeys/new", ACCOUNT)
    added = post(signed_in, "/staff/account/passkeys", ACCOUNT, passkey=answer)
    assert added.status_code == 422


def test_somebody_elses_passkey_is_not_removed(named: FundraiserApp, database: Database) -> None:
    with_passkey(named, database)
    with database.transaction() as session:
        theirs = session.scalars(select(Passkey)).one().id
    client = named.test_client()
    sign_in(client, hire(database))
    post(client, f"/staff/account/passkeys/{theirs}/removal", ACCOUNT)
    post(client, f"/staff/account/passkeys/{10**23}/removal", ACCOUNT)
    with database.transaction() as session:
        assert session.scalars(select(Passkey)).one().id == theirs


def test_at_an_address_without_a_name_there_are_no_passkeys(
    client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database))
    assert "no-passkeys" in names(read(client, ACCOUNT))
    assert post(client, "/staff/account/passkeys/new", ACCOUNT).status_code == 400


def make_codes(client: FlaskClient) -> list[str]:
    page = post(client, "/staff/account/recovery-codes", ACCOUNT).text
    return re.findall(r"<code>([A-Z2-9-]{34})</code>", page)


def test_each_of_ten_recovery_codes_lets_its_owner_in_once(
    app: FundraiserApp, client: FlaskClient, database: Database
) -> None:
    email = hire(database)
    sign_in(client, email)
    assert post(client, "/staff/account/recovery-codes", ACCOUNT).status_code == 400
    turn_on(client, database, email)
    before, codes = make_codes(client), make_codes(client)
    assert (len(codes), len(set(codes))) == (10, 10)
    with database.transaction() as session:
        kept = " ".join(session.scalars(select(RecoveryCode.code_hash)))
    assert not {code for code in codes if code.replace("-", "") in kept}
    for typed, is_right in (
        (before[0], False),  # made anew since
        (codes[0].lower().replace("-", " "), True),
        (codes[0], False),
        (codes[1], True),
    ):
        other = app.test_client()
        sign_in(other, email)
        answer = post_code(other, code=typed)
        refused = [] if is_right else ["not-a-recovery-code"]
        assert answer.status_code == (303 if is_right else 422), typed
        assert [name for name in names(parse(answer)) if "code" in name] == refused
    assert " 8 of 10 " in shown(read(client, ACCOUNT), "recovery-codes-left")
    assert any(" 8 " in message for message in emails_to_staff(database))


def test_a_recovery_code_is_its_owners(
    app: FundraiserApp, client: FlaskClient, database: Database
) -> None:
    owner, other = hire(database), hire(database)
    for email in (owner, other):
        sign_in(client, email)
        turn_on(client, database, email)
        codes = make_codes(client)
        post(client, "/staff/account/sign-out", ACCOUNT)
    thief = app.test_client()
    sign_in(thief, owner)
    refused = post_code(thief, code=codes[0])
    assert (refused.status_code, "not-a-recovery-code" in names(parse(refused))) == (422, True)


def test_administrators_have_a_week_to_set_up_a_second_step(
    app: FundraiserApp, client: FlaskClient, database: Database
) -> None:
    email = hire(database, Role.ADMIN)
    sign_in(client, email)
    by = staff_of(database, email).second_step_by
    assert by
    assert f"{by:%B %Y}" in shown(read(client, "/staff"), "second-step-due")
    assert timedelta(days=6) < by - clock.machine() <= timedelta(days=7)
    with database.transaction() as session:
        session.execute(
            update(Staff).values(second_step_by=Staff.second_step_by - timedelta(days=7))
        )
    other = app.test_client()
    sign_in(other, email)
    for path in ("/staff", "/staff/members", "/staff/team"):
        answer = other.get(path, headers=PAGE)
        assert (answer.status_code, answer.headers["Location"]) == (303, ACCOUNT)
    assert "second-step-overdue" in names(read(other, ACCOUNT))
    turn_on(other, database, email)
    assert other.get("/staff/team", headers=PAGE).status_code == 200
    assert "second-step-due" not in names(read(other, "/staff"))


@pytest.mark.parametrize("role", [Role.ADMIN, Role.SUPPORT])
def test_whoever_needs_a_second_step_and_removes_the_last_sets_up_another_at_once(
    named: FundraiserApp, database: Database, role: Role
) -> None:
    """Else a week without one would come again and again."""
    email, client = hire(database, role), named.test_client()
    sign_in(client, email)
    assert add_passkey(client, Authenticator()).status_code == 303
    with database.transaction() as session:
        passkey = session.scalars(select(Passkey)).one()
    assert post(client, f"/staff/account/passkeys/{passkey.id}/removal", ACCOUNT).status_code == 303
    answer = client.get("/staff/members", headers=PAGE)
    if role is Role.SUPPORT:
        assert answer.status_code == 200, "nobody asked for one"
        return
    assert (answer.status_code, answer.headers["Location"]) == (303, ACCOUNT)
    assert add_passkey(client, Authenticator()).status_code == 303
    assert client.get("/staff/members", headers=PAGE).status_code == 200


def test_a_passkey_that_was_copied_is_noticed_by_its_count(
    named: FundraiserApp, database: Database
) -> None:
    email, device = with_passkey(named, database)
    client = named.test_client()
    device.count = 9
    sign_in(client, email)
    assert answer_with(client, device).status_code == 303
    thief = named.test_client()
    sign_in(thief, email)
    device.count = 9
    assert answer_with(thief, device).status_code == 422, "10 has been"
    assert not is_in(thief)
    assert answer_with(thief, device).status_code == 303, "11 has not"


def test_others_are_not_asked_until_an_administrator_says_so(
    admin: FlaskClient,
    app: FundraiserApp,
    database: Database,
) -> None:
    email = hire(database, Role.SUPPORT)
    sign_in(app.test_client(), email)
    assert staff_of(database, email).second_step_by is None
    form = {"second_step_roles": "support", "large_refund": "250"}
    assert post(admin, "/staff/team/rules", **form).status_code == 303
    page = read(admin, "/staff/team")
    checked = [box["value"] for box in page.select("input[name=second_step_roles][checked]")]
    assert (checked, page.select("#large_refund")[0]["value"]) == (["support"], "250")
    sign_in(app.test_client(), email)
    assert staff_of(database, email).second_step_by is not None
    answer = post(admin, "/staff/team/rules", large_refund="-1")
    assert (answer.status_code, list(wrong_fields(parse(answer)))) == (422, ["large_refund"])


ASKING = [
    ("/staff/members/export", {"q": "anna"}),
    ("/staff/money/2026-01/export", {}),
    ("/staff/sources/imports/1/application", {}),
    ("/staff/sources/imports/1/undoing", {}),
    ("/staff/sources/imports/1/refused-rows/export", {}),
    ("/staff/team", {"email": "taras@example.org", "name": "Taras", "role": "support"}),
    ("/staff/team/rules", {"large_refund": "1"}),
    ("/staff/team/1/role", {"role": "support"}),
    ("/staff/account/second-factor", {}),
    ("/staff/account/second-factor/on", {"code": "123456"}),
    ("/staff/account/second-factor/off", {}),
    ("/staff/account/passkeys/new", {}),
    ("/staff/account/passkeys", {"passkey_name": "x"}),
    ("/staff/account/passkeys/1/removal", {}),
    ("/staff/account/recovery-codes", {}),
]


@pytest.mark.parametrize(("path", "form"), ASKING)
def test_ten_minutes_after_signing_in_these_acts_ask_for_the_password_again(
    admin: FlaskClient,
    database: Database,
    path: str,
    form: dict[str, str],
) -> None:
    stale(database)
    with database.transaction() as session:
        before = session.scalar(select(func.count()).select_from(AuditEntry))
    asked = post(admin, path, ACCOUNT, **form)
    assert "confirm-again" in names(parse(asked))
    kept = BeautifulSoup(asked.text, "html.parser").select("form:last-of-type")[0]
    assert kept["action"] == path
    fields = {str(field["name"]): str(field.get("value", "")) for field in kept.select("input")}
    assert form.items() <= fields.items()
    wrong = admin.post(path, data=fields | {"password_again": "wrong"}, headers=PAGE)
    assert (wrong.status_code, "not-the-password" in names(parse(wrong))) == (422, True)
    assert "wrong" not in wrong.text
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(AuditEntry)) == before
    done = admin.post(path, data=fields | {"password_again": PASSWORD}, headers=PAGE)
    assert "confirm-again" not in names(parse(done))
    assert "confirm-again" not in names(parse(post(admin, path, ACCOUNT, **form)))


def test_a_search_that_was_asked_for_before_the_second_step_is_not_kept_in_the_cookie(
    named: FundraiserApp, database: Database
) -> None:
    email, _device = with_passkey(named, database)
    client = named.test_client()
    sign_in(client, email, next="/staff/members?q=olena@example.org")
    assert "/staff/members" in cookie_of(client)
    assert "olena" not in cookie_of(client)


def test_a_passkey_confirms_as_well_as_the_password(
    named: FundraiserApp, database: Database
) -> None:
    email, device = with_passkey(named, database)
    client = named.test_client()
    sign_in(client, email)
    answer_with(client, device)
    stale(database)
    path = "/staff/account/recovery-codes"
    asked = post(client, path, ACCOUNT)
    form = {"csrf_token": sealed(client)}
    other = Authenticator()
    wrong = client.post(path, data=form | {"passkey": other.get(options_of(asked.text))})
    assert wrong.status_code == 422
    right = client.post(path, data=form | {"passkey": device.get(options_of(wrong.text))})
    assert "recovery-codes" in names(parse(right))


def test_ten_wrong_passwords_while_signed_in_are_all_that_a_thief_can_try(
    client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database))
    form = {"old": "wrong", "new": NEW_PASSWORD}
    change = "/staff/account/password"
    assert {post(client, change, ACCOUNT, **form).status_code for _ in range(10)} == {422}
    stale(database)
    path = "/staff/account/recovery-codes"
    for attempt in (
        post(client, change, ACCOUNT, old=PASSWORD, new=NEW_PASSWORD),
        post(client, path, ACCOUNT, password_again=PASSWORD),
    ):
        assert attempt.status_code == 429
