"""Staff: who gets in, who does not, and what is remembered of it."""

from __future__ import annotations

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Literal

import pytest
from argon2 import Parameters, PasswordHasher, extract_parameters
from sqlalchemy import select

from fundraiser.db import now
from fundraiser.errors import NotFoundError, UnavailableError, UnprocessableError
from fundraiser.networks import for_guesses
from fundraiser.newsroom import passwords
from fundraiser.newsroom.audit import Action
from fundraiser.newsroom.guessable import is_guessable
from fundraiser.newsroom.models import AuditEntry, Role, Staff
from fundraiser.newsroom.staff import add_staff, reset_password
from fundraiser.security import is_public
from fundraiser.texts import Named
from tests.factories import make_campaign, make_tiers
from tests.staff import PAGE, PASSWORD, csrf_token, hire, sign_in

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database


def acts(database: Database) -> list[str]:
    with database.transaction() as session:
        return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


def test_the_right_password_leads_to_the_overview_in_any_case_of_the_address(
    client: FlaskClient, database: Database
) -> None:
    answer = sign_in(client, hire(database).upper())
    assert (answer.status_code, answer.headers["Location"]) == (303, "/staff")
    assert client.get("/staff", headers=PAGE).status_code == 200
    assert acts(database) == [Action.ADDED_STAFF, Action.SIGNED_IN]


def test_an_unknown_address_and_a_wrong_password_get_the_same_answer(
    client: FlaskClient, database: Database
) -> None:
    email = hire(database)
    answers = [sign_in(client, who, "wrong") for who in (email, f"nobody-{email}")]
    assert [answer.status_code for answer in answers] == [422, 422]
    pages = {
        re.sub(r'value="[^"]*"', "", answer.text.replace(f"nobody-{email}", email))
        for answer in answers
    }
    assert len(pages) == 1
    assert client.get("/staff", headers=PAGE).status_code == 303


def test_an_unknown_address_takes_as_much_work_as_a_wrong_password(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: list[Parameters] = []

    class Watched(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
            work.append(extract_parameters(str(hash)))
            return super().verify(hash, password)

    usual = extract_parameters(passwords.hash_password(PASSWORD))
    monkeypatch.setattr(passwords, "_hasher", Watched.from_parameters(usual))
    email = hire(database)
    for who in (email, f"x{email}"):
        assert sign_in(client, who, "wrong").status_code == 422
    assert work == [usual, usual]


def test_what_was_typed_stays_in_the_form_but_for_the_password(
    client: FlaskClient, database: Database
) -> None:
    email = hire(database)
    page = sign_in(client, email, "my secret attempt").text
    assert email in page
    assert "my secret attempt" not in page


@pytest.mark.parametrize(
    ("wish", "destination"),
    [
        ("/staff/members?q=anna", "/staff/members?q=anna"),
        ("https://evil.example/staff", "/staff"),
        ("//evil.example/staff", "/staff"),
        ("/\\evil.example/staff", "/staff"),
        ("/staff\\@evil.example", "/staff"),
        ("/staff\n//evil.example", "/staff"),
        ("/join", "/staff"),
        ("javascript:alert(1)", "/staff"),
        ("", "/staff"),
    ],
)
def test_after_signing_in_only_our_own_pages_come_next(
    client: FlaskClient, database: Database, wish: str, destination: str
) -> None:
    answer = sign_in(client, hire(database), next=wish)
    assert answer.headers["Location"] == destination


def test_whoever_is_not_signed_in_comes_back_to_the_page_they_wanted(client: FlaskClient) -> None:
    answer = client.get("/staff/members?q=anna", headers=PAGE)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/staff/sign-in?next=/staff/members?q%3Danna"


def test_a_program_that_is_not_signed_in_gets_a_401(client: FlaskClient) -> None:
    answer = client.get("/staff", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json and answer.json.keys()) == (401, {"error"})


def test_each_route_is_public_by_declaration_or_guarded(app: FundraiserApp) -> None:
    guarded = 0
    for rule in app.url_map.iter_rules():
        if is_public(rule.endpoint):
            continue
        path = re.sub(r"<int:\w+>", "1", rule.rule)
        path = re.sub(r"<\w+>", "x", path)
        for method in (rule.methods or set()) & {"GET", "POST"}:
            answer = app.test_client().open(path, method=method, headers=PAGE)
            expected = (303, "/staff/sign-in") if method == "GET" else (400, "")
            assert (answer.status_code, answer.headers.get("Location", "")[:14]) == expected, path
            guarded += 1
    assert guarded >= 6


def test_a_cookie_planted_before_signing_in_is_worth_nothing_afterwards(
    client: FlaskClient, database: Database
) -> None:
    token = csrf_token(client)
    with client.session_transaction() as planted:
        planted["planted"] = "by somebody else"
    form = {"email": hire(database), "password": PASSWORD, "csrf_token": token}
    assert client.post("/staff/sign-in", data=form, headers=PAGE).status_code == 303
    with client.session_transaction() as kept:
        assert "planted" not in kept
    assert csrf_token(client, "/staff") != token


def test_a_form_from_another_site_cannot_sign_anybody_in(
    client: FlaskClient, database: Database
) -> None:
    form = {"email": hire(database), "password": PASSWORD}
    assert client.post("/staff/sign-in", data=form, headers=PAGE).status_code == 400


def test_signing_out_is_a_form_and_ends_the_session(
    client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database))
    assert client.get("/staff/sign-out", headers=PAGE).status_code == 405
    assert client.post("/staff/sign-out", headers=PAGE).status_code == 400
    form = {"csrf_token": csrf_token(client, "/staff")}
    assert client.post("/staff/sign-out", data=form, headers=PAGE).status_code == 303
    assert client.get("/staff", headers=PAGE).status_code == 303
    assert acts(database)[-1] == Action.SIGNED_OUT


def test_a_new_password_signs_out_everywhere(app: FundraiserApp, database: Database) -> None:
    email = hire(database)
    here, there = app.test_client(), app.test_client()
    sign_in(here, email)
    sign_in(there, email)
    with database.transaction() as session:
        reset_password(session, email, "another horse battery")
    assert here.get("/staff", headers=PAGE).status_code == 303
    assert there.get("/staff", headers=PAGE).status_code == 303
    assert sign_in(here, email).status_code == 422
    assert sign_in(here, email, "another horse battery").status_code == 303


def test_an_account_that_is_closed_is_out_at_once_and_stays_out(
    client: FlaskClient, database: Database
) -> None:
    email = hire(database)
    sign_in(client, email)
    with database.transaction() as session:
        session.scalars(select(Staff)).one().deactivated_at = now()
    assert client.get("/staff", headers=PAGE).status_code == 303
    assert sign_in(client, email).status_code == 422


def test_a_hash_of_older_parameters_is_renewed_when_its_owner_signs_in(
    app: FundraiserApp, database: Database
) -> None:
    email = hire(database)
    with database.transaction() as session:
        staff = session.scalars(select(Staff)).one()
        staff.password_hash = PasswordHasher(time_cost=1, memory_cost=64).hash(PASSWORD)
    assert sign_in(app.test_client(), email).status_code == 303
    with database.transaction() as session:
        renewed = session.scalars(select(Staff)).one().password_hash
    assert renewed
    assert not passwords.is_outdated(renewed)
    assert sign_in(app.test_client(), email).status_code == 303


def test_after_ten_wrong_passwords_even_the_right_one_has_to_wait(
    client: FlaskClient, database: Database
) -> None:
    email = hire(database)
    assert {sign_in(client, email, "wrong").status_code for _ in range(10)} == {422}
    assert sign_in(client, email.upper()).status_code == 429
    assert sign_in(client, hire(database)).status_code == 303


def from_network(app: FundraiserApp, number: int) -> FlaskClient:
    """A browser in another network."""
    client = app.test_client()
    client.environ_base["REMOTE_ADDR"] = f"198.51.{number}.7"
    return client


def test_strangers_who_try_passwords_do_not_keep_the_owner_out(
    app: FundraiserApp, database: Database
) -> None:
    email = hire(database)
    stranger = from_network(app, 5)
    assert {sign_in(stranger, email, "wrong").status_code for _ in range(10)} == {422}
    assert sign_in(stranger, email).status_code == 429
    assert sign_in(from_network(app, 6), email).status_code == 303


def test_tries_are_counted_for_the_whole_network(app: FundraiserApp, database: Database) -> None:
    email = hire(database)

    def status(address: str, password: str) -> int:
        client = app.test_client()
        client.environ_base["REMOTE_ADDR"] = address
        return sign_in(client, email, password).status_code

    assert {status(f"203.0.113.{number}", "wrong") for number in range(10)} == {422}
    assert status("203.0.113.200", PASSWORD) == 429
    assert status("203.0.114.1", PASSWORD) == 303


@pytest.mark.parametrize(
    ("address", "network"),
    [("203.0.113.7", "203.0.113.0/24"), ("2001:db8:0:1ff::7", "2001:db8:0:100::/56")],
)
def test_a_network_is_a_24_of_ipv4_and_a_56_of_ipv6(
    app: FundraiserApp, address: str, network: str
) -> None:
    with app.test_request_context(environ_overrides={"REMOTE_ADDR": address}):
        assert for_guesses() == network


def test_of_many_guesses_at_once_no_more_are_looked_at_than_are_allowed(
    app: FundraiserApp, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    email, looked_at = hire(database), []

    def is_right(_hash: str | None, password: str, _places: object) -> bool:
        looked_at.append(password)
        time.sleep(0.2)  # all the others have come meanwhile
        return False

    monkeypatch.setattr(passwords, "is_right", is_right)

    def guess(number: int) -> int:
        return sign_in(from_network(app, 2), email, f"guess {number}").status_code

    with ThreadPoolExecutor(32) as pool:
        answers = Counter(pool.map(guess, range(32)))
    assert (answers, len(looked_at)) == ({422: 10, 429: 22}, 10)


def test_passwords_are_hashed_a_few_at_once_and_the_rest_is_told_to_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_once, most, lock = 0, 0, Lock()

    class Slow(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
            nonlocal at_once, most
            with lock:
                at_once += 1
                most = max(most, at_once)
            time.sleep(0.1)
            with lock:
                at_once -= 1
            return super().verify(hash, password)

    known = passwords.hash_password(PASSWORD)
    monkeypatch.setattr(passwords, "_hasher", Slow(time_cost=1, memory_cost=1024, parallelism=1))

    def check(_: int) -> str:
        try:
            return str(passwords.is_right(known, PASSWORD, passwords.STRANGERS))
        except UnavailableError:
            return "busy"

    begun = time.monotonic()
    with ThreadPoolExecutor(64) as pool:
        answers = Counter(pool.map(check, range(64)))
    assert time.monotonic() - begun < 3
    assert most == passwords.AT_ONCE
    assert answers["True"] >= passwords.AT_ONCE + 6
    assert set(answers) == {"True", "busy"}


def test_whoever_waits_for_the_check_holds_no_connection_to_the_database(
    app: FundraiserApp, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[str] = []

    def is_right(*_: object) -> bool:
        held.append(database.engine.pool.status())
        return False

    monkeypatch.setattr(passwords, "is_right", is_right)
    sign_in(from_network(app, 3), hire(database), "wrong")
    assert "Current Checked out connections: 0" in held[0]


def test_who_is_turned_away_keeps_what_was_typed(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    email, full = hire(database), passwords.ConcurrencyLimiter(1, 0)
    monkeypatch.setattr(passwords, "STRANGERS", full)
    with full.one():
        answer = sign_in(client, email, next="/staff/members")
    assert answer.status_code == 503
    assert email in answer.text
    assert "/staff/members" in answer.text
    assert sign_in(client, email).status_code == 303


def test_strangers_in_the_same_network_and_at_every_place_do_not_keep_a_known_browser_out(
    app: FundraiserApp, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = hire(database)
    owner, stranger = from_network(app, 7), from_network(app, 7)
    assert sign_in(owner, email).status_code == 303
    owner.delete_cookie("staff")
    while sign_in(stranger, email, "wrong").status_code != 429:
        pass
    full = passwords.ConcurrencyLimiter(1, 0)
    monkeypatch.setattr(passwords, "STRANGERS", full)
    with full.one():
        assert sign_in(owner, email).status_code == 303
    owner.delete_cookie("staff")
    # To another account, and with a cookie that nobody signed, the browser is a stranger.
    assert {sign_in(owner, hire(database), "wrong").status_code} == {422}
    stranger.set_cookie("device", "WyJ4IiwieSJd.x.y", path="/staff")
    assert sign_in(stranger, email).status_code == 429


def test_a_known_browser_may_not_try_for_ever_either(
    app: FundraiserApp, database: Database
) -> None:
    email, owner = hire(database), from_network(app, 8)
    assert sign_in(owner, email).status_code == 303
    owner.delete_cookie("staff")
    assert {sign_in(owner, email, "wrong").status_code for _ in range(10)} == {422}
    assert sign_in(owner, email).status_code == 429


def test_a_limit_that_is_met_leaves_no_address_in_the_log(
    app: FundraiserApp, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    email, client = hire(database).lower(), from_network(app, 4)
    with caplog.at_level("INFO"):
        while sign_in(client, email, "wrong").status_code != 429:
            pass
    assert "exceeded" in caplog.text
    assert email not in caplog.text


def test_the_right_password_does_not_count_towards_the_limit(
    app: FundraiserApp, database: Database
) -> None:
    email = hire(database)
    assert {sign_in(app.test_client(), email).status_code for _ in range(12)} == {303}


def test_a_signed_in_persons_cookie_leaves_public_answers_as_they_are(
    client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
    sign_in(client, hire(database))
    answer = client.get("/campaigns/25000")
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert "Cookie" not in answer.headers.get("Vary", "")


def test_the_same_address_in_another_case_is_the_same_person(database: Database) -> None:
    email = hire(database)
    with database.transaction() as session, pytest.raises(UnprocessableError, match="already"):
        add_staff(session, email=email.upper(), name="Again", role=Role.ADMIN, password=PASSWORD)


@pytest.mark.parametrize(
    ("email", "password", "name"),
    [
        ("iryna@example.org", "too short", "password-short"),
        ("iryna@example.org", "aaaaaaaaaaaa", "password-common"),
        ("iryna@example.org", "Password1234", "password-common"),
        ("iryna", PASSWORD, "no-address"),
    ],
)
def test_an_account_needs_an_address_and_a_long_password(
    database: Database, email: str, password: str, name: str
) -> None:
    with database.transaction() as session, pytest.raises(UnprocessableError) as refused:
        add_staff(session, email=email, name="", role=Role.ADMIN, password=password)
    assert isinstance(refused.value.sentence, Named)
    assert refused.value.sentence.name == name


@pytest.mark.parametrize(
    "password",
    [
        *("The-Northern-Ledger", "northernledger2026", "NORTHERN ledger!!1", "iryna.bondar.2026"),
        *("membership2026!!", "Newsroom-Dashboard", "welcome-iryna-26", "irynabondar1999"),
    ],
)
def test_a_password_of_the_newsroom_s_own_words_is_refused(
    database: Database, password: str
) -> None:
    with database.transaction() as session, pytest.raises(UnprocessableError) as refused:
        add_staff(
            session,
            email="iryna@example.org",
            name="Iryna Bondar",
            role=Role.ADMIN,
            password=password,
        )
    assert refused.value.field == "password"


@pytest.mark.usefixtures("app")
def test_a_long_password_may_hold_such_a_word() -> None:
    assert not is_guessable("a ledger of nine purple otters", "Iryna Bondar", "i@example.org")
    assert not is_guessable("correct horse battery", "Iryna Bondar", "i@example.org")
    assert not is_guessable("\N{LATIN SMALL LETTER E WITH ACUTE}" * 900, "", "")


def test_without_a_service_the_product_s_words_are_known() -> None:
    assert is_guessable("newsroom-password-1", "", "")
    assert not is_guessable("correct horse battery", "", "")


def test_a_password_is_not_reset_for_somebody_unknown(database: Database) -> None:
    with (
        database.transaction() as session,
        pytest.raises(NotFoundError, match="has no staff account"),
    ):
        reset_password(session, "nobody@example.org", PASSWORD)


def test_nothing_but_its_hash_is_kept_of_a_password(database: Database) -> None:
    hire(database)
    with database.transaction() as session:
        staff = session.scalars(select(Staff)).one()
    assert staff.password_hash
    assert staff.password_hash.startswith("$argon2id$")
