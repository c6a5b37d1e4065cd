"""Sign-in to a member's own pages: the e-mail, its link and its code, and what is refused."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import time_machine
from bs4 import BeautifulSoup
from sqlalchemy import select, update

from fundraiser.account.models import MemberSession
from fundraiser.db import now
from fundraiser.members import merging
from fundraiser.members.addresses import MOST_TRIES, AddressCheck, enqueue_codes
from fundraiser.members.models import Member
from fundraiser.outbox import Email
from tests.factories import make_campaign, make_member, make_tiers
from tests.mail import add_member, deliver, text_of
from tests.pages import PageText

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from tests.mail import Postbox

OURS = {"Origin": "http://127.0.0.1:8000", "Accept": "text/html"}
EMAIL = "olena@example.org"


@pytest.fixture(autouse=True)
def members(database: Database) -> None:
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
        add_member(session, email="Olena@Example.org", number=16_235)
        add_member(session, email="petro@example.org", number=16_236)


@pytest.fixture
def post(mail_server: MailServer, postbox: Postbox, database: Database) -> Post:
    return Post(database, mail_server, postbox)


class Post:
    """What the worker sends, and what stands in it."""

    def __init__(self, database: Database, server: MailServer, postbox: Postbox) -> None:
        self.database, self.server, self.postbox = database, server, postbox

    def send(self) -> None:
        with self.database.transaction() as session:
            enqueue_codes(session)
        deliver(self.database, self.server)

    def newest(self) -> tuple[str, str]:
        """The token and the code of the newest e-mail."""
        self.send()
        text = text_of(self.postbox.emails[-1])
        token = re.search(r"/account/sign-in/link#([\w-]{43})\s", text)
        code = re.search(r"^(\d{6})\s*$", text, re.MULTILINE)
        assert token, text
        assert code, text
        return token[1], code[1]


def send(client: FlaskClient, path: str, **form: str) -> TestResponse:
    return client.post(f"/account/{path}", data=form, headers=OURS)


def errors(answer: TestResponse) -> list[str]:
    """Why it was refused, as the template names it."""
    return [mark for mark in PageText.of(answer).marks if mark.startswith("error")]


def ask(client: FlaskClient, email: str = EMAIL) -> TestResponse:
    answer = send(client, "sign-in", email=email)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/account/sign-in/code"
    return answer


def is_in(client: FlaskClient) -> bool:
    return client.get("/account", headers=OURS).status_code == 200


def checks(database: Database) -> list[AddressCheck]:
    with database.transaction() as session:
        return list(session.scalars(select(AddressCheck).order_by(AddressCheck.id)))


def test_the_link_lets_in_the_browser_that_asked_once(
    client: FlaskClient, app: FundraiserApp, post: Post
) -> None:
    assert client.get("/account", headers=OURS).headers["Location"] == "/account/sign-in"
    ask(client)
    token, _code = post.newest()
    opened = client.get("/account/sign-in/link", headers=OURS)
    assert opened.status_code == 200
    assert not is_in(client)
    answer = send(client, "sign-in/link", link=token)
    assert answer.headers["Location"] == "/account"
    assert "16,235" in PageText.of(client.get("/account", headers=OURS))
    with time_machine.travel(now() + timedelta(seconds=30), tick=True):
        again = send(app.test_client(), "sign-in/link", link=token)
        assert again.status_code == 422
        assert errors(again) == ["error-link"]
        assert errors(send(client, "sign-in/link", link=token)) == ["error-link"]


def test_a_mail_apps_own_browser_asks_for_the_code_and_for_nothing_to_press_first(
    client: FlaskClient, app: FundraiserApp, post: Post
) -> None:
    ask(client)
    token, code = post.newest()
    mail_app = app.test_client()
    opened = BeautifulSoup(mail_app.get("/account/sign-in/link", headers=OURS).text, "html.parser")
    form = opened.select_one("form#link-form")
    assert form
    assert form.select_one("[name=code]")
    assert "data-asked" not in form.attrs
    assert send(mail_app, "sign-in/code", link=token, code=code).status_code == 303
    assert is_in(mail_app)
    here = BeautifulSoup(client.get("/account/sign-in/link", headers=OURS).text, "html.parser")
    assert here.select_one("form#link-form[data-asked]"), "the browser that asked goes on by itself"


def test_the_code_lets_in_the_browser_that_asked_once(client: FlaskClient, post: Post) -> None:
    ask(client)
    _token, code = post.newest()
    page = PageText.of(client.get("/account/sign-in/code", headers=OURS))
    assert "code-sent" in page.marks
    assert EMAIL in page
    assert send(client, "sign-in/code", code=f" {code[:3]} {code[3:]} ").status_code == 303
    assert is_in(client)
    with time_machine.travel(now() + timedelta(seconds=30), tick=True):
        assert errors(send(client, "sign-in/code", code=code)) == ["error-over"]


def test_the_address_of_somebody_who_was_merged_signs_in_as_who_was_kept(
    client: FlaskClient, database: Database, post: Post
) -> None:
    """The e-mail goes to the address that was kept."""
    with database.transaction() as session:
        kept = session.scalars(select(Member).where(Member.address == EMAIL)).one()
        other = make_member(session, email="other@example.org")
        session.flush()
        merging.merge(session, kept.id, other.id, timedelta(days=14), staff_id=None)
    ask(client, "Other@example.org")
    _token, code = post.newest()
    assert str(post.postbox.emails[-1]["To"]).lower() == EMAIL.lower()
    assert send(client, "sign-in/code", code=code).status_code == 303
    assert is_in(client)


def test_a_second_click_lets_in_and_is_no_second_use_of_another_browser(
    client: FlaskClient, app: FundraiserApp, post: Post
) -> None:
    ask(client)
    ask(client)
    token, code = post.newest()
    assert len(post.postbox.emails) == 1
    for _click in range(2):
        assert send(client, "sign-in/link", link=token).status_code == 303
    other = app.test_client()
    answer = send(other, "sign-in/code", link=token, code=code)
    assert errors(answer) == ["error-used"]
    assert not is_in(other)


def test_another_browser_needs_the_code_as_well(
    client: FlaskClient, app: FundraiserApp, post: Post
) -> None:
    ask(client)
    token, code = post.newest()
    telephone = app.test_client()
    answer = send(telephone, "sign-in/link", link=token)
    assert "other-browser" in PageText.of(answer).marks
    assert not is_in(telephone)
    assert errors(send(telephone, "sign-in/code", code=code)) == ["error-not-asked"]
    assert send(telephone, "sign-in/code", link=token, code=code).status_code == 303
    assert is_in(telephone)
    assert not is_in(client)


def test_known_and_unknown_addresses_get_the_same_answers_and_leave_the_same_rows(
    app: FundraiserApp, database: Database, post: Post
) -> None:
    answers = []
    for email in (EMAIL, "nobody@example.org"):
        browser = app.test_client()
        asked = ask(browser, email)
        post.send()
        page = PageText.of(browser.get("/account/sign-in/code", headers=OURS)).replace(email, "…")
        wrong = send(browser, "sign-in/code", code="000000")
        shape = (asked.status_code, sorted(asked.headers.keys()), page)
        answers.append((*shape, wrong.status_code, PageText.of(wrong).replace(email, "…")))
    assert answers[0] == answers[1]
    known, unknown = checks(database)
    for name in ("enqueued_at", "token_hash", "code_hash", "ends_at", "tries"):
        assert bool(getattr(known, name)) == bool(getattr(unknown, name)), name
    assert [message["To"] for message in post.postbox.emails] == ["Olena@Example.org"]


def test_wrong_codes_are_counted_though_their_answer_is_an_error(
    client: FlaskClient, database: Database, post: Post
) -> None:
    ask(client)
    token, code = post.newest()
    wrong = f"{(int(code) + 1) % 10**6:06}"
    for _try in range(MOST_TRIES):
        assert errors(send(client, "sign-in/code", code=wrong)) == ["error-wrong-code"]
    assert checks(database)[0].tries == MOST_TRIES
    assert errors(send(client, "sign-in/code", code=code)) == ["error-too-many"]
    assert not is_in(client)
    assert send(client, "sign-in/link", link=token).status_code == 303


def test_codes_guessed_at_the_same_time_are_counted_one_by_one(
    client: FlaskClient, app: FundraiserApp, database: Database, post: Post
) -> None:
    ask(client)
    post.newest()
    cookie = client.get_cookie("asking")
    assert cookie
    answers: list[list[str]] = []

    def guess(number: int) -> None:
        browser = app.test_client()
        browser.set_cookie("asking", cookie.value)
        answers.append(errors(send(browser, "sign-in/code", code=f"{number:06}")))

    hands = [threading.Thread(target=guess, args=(number,)) for number in range(12)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert checks(database)[0].tries == MOST_TRIES
    assert answers.count(["error-too-many"]) >= 12 - MOST_TRIES


def test_the_code_is_over_after_ten_minutes(client: FlaskClient, post: Post) -> None:
    ask(client)
    token, code = post.newest()
    with time_machine.travel(now() + timedelta(minutes=10, seconds=1), tick=True):
        assert errors(send(client, "sign-in/code", code=code)) == ["error-over"]
        assert errors(send(client, "sign-in/link", link=token)) == ["error-link"]
    assert not is_in(client)


@pytest.mark.parametrize("link", ["", "abc", "x" * 43, "%00"])
def test_a_link_cut_in_half_is_refused(client: FlaskClient, link: str) -> None:
    answer = send(client, "sign-in/link", link=link)
    assert answer.status_code == 422
    assert errors(answer) == ["error-link"]


@pytest.mark.parametrize("email", ["", "olena", "a b@c.de", "a@b", f"{'a' * 250}@example.org"])
def test_what_is_no_address_is_said_beside_the_field(client: FlaskClient, email: str) -> None:
    answer = send(client, "sign-in", email=email)
    assert answer.status_code == 422
    assert PageText.of(answer).wrong == ["email"]


def in_network(app: FundraiserApp, number: int) -> FlaskClient:
    """A browser in another network."""
    client = app.test_client()
    client.environ_base["REMOTE_ADDR"] = f"203.0.{number}.7"
    return client


def test_a_network_asks_for_five_e_mails_an_hour_to_an_address(
    app: FundraiserApp, database: Database
) -> None:
    for _browser in range(5):
        ask(in_network(app, 1))
    answer = send(in_network(app, 1), "sign-in", email=EMAIL.upper())
    assert answer.status_code == 429
    assert "limit-of-network" in PageText.of(answer).marks
    assert len(checks(database)) == 5


def test_a_stranger_who_used_up_five_e_mails_does_not_keep_the_member_out(
    app: FundraiserApp, post: Post
) -> None:
    for _browser in range(5):
        ask(in_network(app, 1))
    member = in_network(app, 2)
    ask(member)
    token, _code = post.newest()
    assert send(member, "sign-in/link", link=token).headers["Location"] == "/account"


def test_strangers_in_many_networks_keep_a_member_waiting_ten_minutes_at_most(
    app: FundraiserApp, database: Database, post: Post
) -> None:
    for number in range(10):
        ask(in_network(app, number))
    member = in_network(app, 100)
    answer = send(member, "sign-in", email=EMAIL)
    assert answer.status_code == 429
    assert "just-emailed" in PageText.of(answer).marks
    assert len(checks(database)) == 10
    token, code = post.newest()
    assert "other-browser" in PageText.of(send(member, "sign-in/link", link=token)).marks
    assert send(member, "sign-in/code", link=token, code=code).headers["Location"] == "/account"
    with database.transaction() as session:
        session.execute(
            update(AddressCheck).values(created_at=AddressCheck.created_at - timedelta(minutes=10))
        )
    ask(member)


def test_tokens_and_codes_are_kept_nowhere(
    client: FlaskClient, database: Database, post: Post
) -> None:
    ask(client)
    token, code = post.newest()
    send(client, "sign-in/link", link=token)
    cookie = client.get_cookie("member")
    assert cookie
    with database.transaction() as session:
        email = session.scalars(select(Email).where(Email.kind == "sign_in")).one()
        kept = [email, *session.scalars(select(AddressCheck))]
        kept += session.scalars(select(MemberSession))
        rows = " ".join(str(vars(row)) for row in kept)
    assert not {secret for secret in (token, cookie.value) if secret in rows}
    assert f"'{code}'" not in rows


def test_an_email_that_waited_too_long_is_not_sent(
    client: FlaskClient, database: Database, post: Post
) -> None:
    ask(client)
    with time_machine.travel(now() + timedelta(hours=2), tick=True):
        post.send()
    assert post.postbox.emails == []
    with database.transaction() as session:
        assert session.scalars(select(Email.state)).all() == ["withdrawn"]


def test_a_member_signs_out_here_or_everywhere(app: FundraiserApp, post: Post) -> None:
    browsers = [app.test_client() for _ in range(3)]
    for browser in browsers:
        ask(browser)
        token, _code = post.newest()
        send(browser, "sign-in/link", link=token)
        assert is_in(browser)
    send(browsers[0], "sign-out", token=form_token(browsers[0]))
    assert [is_in(browser) for browser in browsers] == [False, True, True]
    send(browsers[1], "sign-out", token=form_token(browsers[1]), where="everywhere")
    assert not any(is_in(browser) for browser in browsers)


def form_token(client: FlaskClient) -> str:
    page = BeautifulSoup(client.get("/account", headers=OURS).text, "html.parser")
    field = page.select_one("input[name=token]")
    assert field
    return str(field["value"])


def test_a_form_needs_our_origin_and_the_sessions_own_token(
    client: FlaskClient, app: FundraiserApp, post: Post
) -> None:
    ask(client)
    send(client, "sign-in/link", link=post.newest()[0])
    other = app.test_client()
    ask(other, "petro@example.org")
    send(other, "sign-in/link", link=post.newest()[0])
    assert send(client, "sign-out", token=form_token(other)).status_code == 403
    assert send(client, "sign-out").status_code == 403
    from_elsewhere = client.post(
        "/account/sign-out",
        data={"token": form_token(client)},
        headers={"Origin": "https://evil.example"},
    )
    assert from_elsewhere.status_code == 403
    assert is_in(client)


def test_every_page_of_a_member_needs_a_members_session(
    app: FundraiserApp, client: FlaskClient
) -> None:
    open_to_all = {"/account/sign-in", "/account/sign-in/code", "/account/sign-in/link"}
    open_to_all |= {"/account/letter/<key>", "/account/payment/<key>", "/account/erased"}
    open_to_all |= {"/account/email/undo/<key>", "/account/withdrawal"}
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/account") or rule.rule in open_to_all:
            continue
        path = re.sub(r"<[^>]+>", "1", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            answer = client.open(path, method=method, headers=OURS)
            assert answer.headers.get("Location") == "/account/sign-in", (method, path)


def test_a_session_ends_after_a_month(client: FlaskClient, database: Database, post: Post) -> None:
    ask(client)
    send(client, "sign-in/link", link=post.newest()[0])
    assert is_in(client)
    with database.transaction() as session:
        session.execute(update(MemberSession).values(ends_at=now()))
    assert not is_in(client)
