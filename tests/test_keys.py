"""A new SECRET_KEY before the old one: nobody notices. Without the old one, everybody would."""

from __future__ import annotations

import base64
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pyotp
import pytest
from sqlalchemy import func, select

from fundraiser.app import create_app
from fundraiser.campaigns import outgoing_webhook
from fundraiser.emails.feedback import Report, allow_again, suppressed, take_in
from fundraiser.emails.links import Reference, address_of, read_token
from fundraiser.emails.models import Suppression, SuppressionReason
from fundraiser.errors import FundraiserError
from fundraiser.members.addresses import Purpose, ask, is_code, mint
from fundraiser.members.email_links import read_undo_link, undo_link
from fundraiser.members.forwarding import MOST_TO_AN_ADDRESS, forward
from fundraiser.members.gifts import Gift, code_of, hash_code, make_code
from fundraiser.newsroom import second_factor
from fundraiser.newsroom.secret_key import is_the_known_key
from fundraiser.newsroom.staff import find_staff
from fundraiser.payments.proofs import name_of_proof, new_challenge, new_ticket, seconds_to_wait
from tests.factories import make_campaign, make_member
from tests.joining import solve
from tests.members import sign_in as sign_in_member
from tests.staff import PAGE, csrf_token, hire, sign_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database

    Later = Callable[..., FundraiserApp]

NEW = "the-newest-key-0123456789-abcdefghijkl"


@pytest.fixture
def later(app: FundraiserApp) -> Iterator[Later]:
    """The app as it is started again with a new key, before the old one or in its place."""
    apps = []

    def start(*, keeps_the_old: bool) -> FundraiserApp:
        settings = app.extensions["settings"]
        older = settings.secret_keys if keeps_the_old else ()
        apps.append(create_app(replace(settings, secret_keys=(NEW, *older))))
        return apps[-1]

    yield start
    for one in apps:
        one.database.dispose()


both = pytest.mark.parametrize("keeps_the_old", [True, False], ids=["rotated", "lost"])


@both
def test_staff_stay_signed_in_and_their_open_forms_are_taken(
    app: FundraiserApp, database: Database, later: Later, *, keeps_the_old: bool
) -> None:
    before = app.test_client()
    sign_in(before, hire(database))
    token = csrf_token(before, "/staff")
    after = browser_of(before, later(keeps_the_old=keeps_the_old))
    stays = after.get("/staff", headers=PAGE).status_code == 200
    left = after.post("/staff/sign-out", data={"csrf_token": token}, headers=PAGE)
    assert (stays, left.status_code == 303) == (keeps_the_old, keeps_the_old)


def browser_of(client: FlaskClient, app: FundraiserApp) -> FlaskClient:
    """The same browser at the app that was started again."""
    browser = app.test_client()
    for name in ("staff", "device", "member"):
        if cookie := client.get_cookie(name):
            browser.set_cookie(name, cookie.value)
    return browser


@both
def test_a_members_open_form_is_taken(
    app: FundraiserApp, database: Database, later: Later, *, keeps_the_old: bool
) -> None:
    with database.transaction() as session:
        member = make_member(session).id
    before = app.test_client()
    sign_in_member(before, database, member)
    form = before.get("/account/details").text.partition('name="token" value="')[2]
    after = browser_of(before, later(keeps_the_old=keeps_the_old))
    sent = {"token": form.partition('"')[0], "name": "Olena Kovalenko", "language": "en"}
    answer = after.post("/account/details", data=sent, headers={"Origin": "http://127.0.0.1:8000"})
    assert (answer.status_code == 403) != keeps_the_old


@both
def test_codes_and_signatures_of_before_are_good(
    app: FundraiserApp, database: Database, later: Later, *, keeps_the_old: bool
) -> None:
    name = f"{uuid4().hex[:8]}@example.org"
    email = hire(database)
    gift = Gift(checkout_id=uuid4())
    gift.code_hash = hash_code(made := make_code(gift.checkout_id))
    with app.test_request_context(), database.transaction() as session:
        staff = find_staff(session, email)
        assert staff
        second_factor.begin(staff)
        shown = pyotp.TOTP(second_factor.secret_of(staff)).now()
        check = ask(session, Purpose.SIGN_IN, name, "a browser", network="a network")
        minted = mint(session, check.id)
        assert minted
        links = (
            address_of(Reference(member_id=7)).rpartition("/")[2],
            undo_link(7).rpartition("/")[2],
        )
        solution, ticket = solve(new_challenge()), new_ticket()

    def goes(what: Callable[[], object]) -> bool:
        try:
            return what() not in {None, False}
        except FundraiserError:
            return False

    with (
        later(keeps_the_old=keeps_the_old).test_request_context(),
        database.transaction() as session,
    ):
        staff = find_staff(session, email)
        assert staff
        found = {
            "authenticator": goes(lambda: second_factor.turn_on(session, staff, shown)),
            "six digits": is_code(session.merge(check), minted.code),
            "e-mail": goes(lambda: read_token(links[0])),
            "undo": goes(lambda: read_undo_link(links[1])),
            "gift": code_of(gift) == made,
            "proof": goes(lambda: name_of_proof(solution)),
            "ticket": goes(lambda: seconds_to_wait(ticket) is not None),
        }
    assert found == dict.fromkeys(found, keeps_the_old)


@both
def test_who_said_no_is_not_emailed(
    database: Database, later: Later, *, keeps_the_old: bool
) -> None:
    complaint = Report(f"{uuid4().hex[:8]}@example.org", SuppressionReason.COMPLAINT)
    with database.transaction() as session:
        take_in(session, complaint)
        for _ in range(MOST_TO_AN_ADDRESS):
            forward(session, f"member {uuid4().hex}", complaint.address)
    with later(keeps_the_old=keeps_the_old).app_context(), database.transaction() as session:
        assert (suppressed(session, complaint.address) is not None) == keeps_the_old
        if keeps_the_old:
            with pytest.raises(FundraiserError):
                forward(session, "somebody", complaint.address)
            take_in(session, complaint)
            assert session.scalar(select(func.count()).select_from(Suppression)) == 1
            assert allow_again(session, complaint.address)
            assert suppressed(session, complaint.address) is None


@both
def test_a_site_verifies_by_the_secret_that_it_was_told(
    database: Database,
    later: Later,
    monkeypatch: pytest.MonkeyPatch,
    *,
    keeps_the_old: bool,
) -> None:
    with database.transaction() as session:
        campaign = make_campaign(session)
        campaign.webhook_url, campaign.webhook_salt = "https://news.example.org", "salt"
        told = outgoing_webhook.secret_of(campaign)
    sent: list[tuple[bytes, dict[str, str]]] = []
    monkeypatch.setattr(outgoing_webhook, "_post", lambda _url, *what: sent.append(what))
    with later(keeps_the_old=keeps_the_old).app_context():
        outgoing_webhook.tell(campaign, "milestone", {"members": 25_000})
        assert outgoing_webhook.secret_of(campaign) != told
    body, headers = sent[0]
    signed = f"milestone.{headers['Webhook-Timestamp']}.".encode() + body
    key = base64.b64decode(told.removeprefix("whsec_"))
    right = f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"
    assert (right in headers["Webhook-Signature"].split()) == keeps_the_old


def test_a_key_that_was_in_use_is_missed_when_it_is_gone(
    app: FundraiserApp, database: Database
) -> None:
    settings = app.extensions["settings"]
    (first,) = settings.secret_keys

    def known(*keys: str) -> bool:
        return is_the_known_key(replace(settings, secret_keys=keys), database)

    assert known(first)
    assert not known(NEW)
    assert known(NEW, first)
    assert known(first, NEW)
    assert not known(first), "hashes were made with the newer one meanwhile"
    assert not known(NEW)
