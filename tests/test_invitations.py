"""Invitations: a link that says nothing, the way it takes to the count, and who is not counted."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import select

from fundraiser.account.erasure import erase
from fundraiser.db import now
from fundraiser.members.consents import note_consent
from fundraiser.members.invitations import count_invited, drop_link, make_link
from fundraiser.members.models import Consent, ConsentKind, Member, Membership
from fundraiser.payments.stripe.member_gateway import member_gateway
from tests.members import sign_in
from tests.staff import hire, names, read, shown, sign_in as sign_in_as_staff

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from tests.factories import Stripe

OURS = {"Origin": "http://127.0.0.1:8000", "Accept": "text/html"}
PATH = "/account/invitation"


@pytest.fixture
def olena(stripe: Stripe) -> int:
    """A member with a link, who lets nobody read her name."""
    stripe.open_shop()
    member = stripe.settle(stripe.join("olena@example.org"))
    assert member
    with stripe.app.database.transaction() as session:
        make_link(session.get_one(Member, member.id))
    return member.id


def code_of(stripe: Stripe, member_id: int) -> str:
    with stripe.app.database.transaction() as session:
        return session.get_one(Member, member_id).invite_code or ""


def invited(stripe: Stripe, member_id: int) -> int:
    with stripe.app.database.transaction() as session:
        return count_invited(session, session.get_one(Member, member_id))


def page_of(client: FlaskClient, path: str) -> BeautifulSoup:
    return BeautifulSoup(client.get(path, headers=OURS).text, "html.parser")


def join_by(client: FlaskClient, stripe: Stripe, address: str, email: str) -> int:
    """From the campaign page to the join page and Stripe's, as a reader without scripts does."""
    campaign = page_of(client, address)
    chosen = campaign.select("form[action^='/join'] [type=hidden], [name=tier][checked]")
    query = urlencode({str(field["name"]): str(field["value"]) for field in chosen})
    form = page_of(client, f"/join?{query}").select_one("#join")
    assert form
    fields = form.select("input[type=hidden], input[checked]")
    data = {str(field["name"]): str(field.get("value", "")) for field in fields}
    answer = client.post("/join", data=data, headers=OURS)
    assert answer.status_code == 303, answer.text
    stripe.pay(answer.location, email)
    member = stripe.settle(stripe.customer_of(answer.location))
    assert member
    return member.id


def test_a_link_survives_the_way_from_the_campaign_over_stripe_to_the_count(
    client: FlaskClient, stripe: Stripe, olena: int
) -> None:
    petro = join_by(client, stripe, f"/?invite={code_of(stripe, olena)}", "petro@example.org")
    assert invited(stripe, olena) == 1
    with stripe.app.database.transaction() as session:
        assert session.get_one(Member, petro).invited_by == olena
        refs = session.scalars(select(Membership.ref).order_by(Membership.id)).all()
        assert refs == [None, "invitation"]
    sign_in(client, stripe.app.database, olena)
    for path in ("/account", PATH):
        assert shown(page_of(client, path), "joined").startswith("1 ")


def test_staff_see_who_came_by_an_invitation_and_whose(
    client: FlaskClient, stripe: Stripe, olena: int
) -> None:
    petro = join_by(client, stripe, f"/?invite={code_of(stripe, olena)}", "petro@example.org")
    sign_in_as_staff(client, hire(stripe.app.database))
    page = read(client, f"/staff/members/{petro}")
    assert "invited" in names(page)
    assert page.select(f'.desk-head a[href="/staff/members/{olena}"]')
    assert shown(read(client, f"/staff/members/{olena}"), "has-invited").startswith("1 ")
    assert "invited" in names(read(client, "/staff"))


def test_who_comes_back_from_the_payment_page_is_still_invited(
    client: FlaskClient, stripe: Stripe, olena: int
) -> None:
    code = code_of(stripe, olena)
    page = stripe.checkout(invite=code)
    session_id = page.rsplit("/", 1)[1]
    canceled = stripe.call("GET", f"checkout/sessions/{session_id}")["cancel_url"]
    back = page_of(client, canceled.removeprefix("http://127.0.0.1:8000"))
    field = back.select_one("#join [name=invite]")
    assert field
    assert field["value"] == code


def test_a_name_is_shown_only_where_the_member_agreed_and_counts(
    client: FlaskClient, stripe: Stripe, olena: int
) -> None:
    address = f"/?invite={code_of(stripe, olena)}"
    assert "unnamed" in names(page_of(client, address))
    assert "Olena" not in client.get(address, headers=OURS).text
    with stripe.app.database.transaction() as session:
        member = session.get_one(Member, olena)
        note_consent(session, member, ConsentKind.INVITER, "My name may be read.", given=True)
    for path in (address, address.replace("/?", "/join?")):
        assert "Olena Hrytsenko" in shown(page_of(client, path), "invited")
    with stripe.app.database.transaction() as session:
        session.get_one(Member, olena).supporter_closed_at = now()
    assert "Olena" not in client.get(address, headers=OURS).text
    with stripe.app.database.transaction() as session:
        member = session.get_one(Member, olena)
        member.supporter_closed_at, member.counting = None, False
    assert "Olena" not in client.get(address, headers=OURS).text


def test_nobody_is_counted_for_inviting_themselves_or_who_was_there_before(
    client: FlaskClient, stripe: Stripe, olena: int
) -> None:
    address = f"/?invite={code_of(stripe, olena)}"
    join_by(client, stripe, address, "OLENA@example.org")
    stripe.settle(stripe.join("petro@example.org"))
    join_by(client, stripe, address, "petro@example.org")
    assert invited(stripe, olena) == 0


@pytest.mark.parametrize("code", ["", "nonsense", "0" * 16, "x" * 5000, "%00"])
def test_a_link_that_is_nobodys_leads_to_the_campaign_like_any_other(
    client: FlaskClient, stripe: Stripe, code: str
) -> None:
    stripe.open_shop()
    answer = client.get(f"/?invite={code}", headers=OURS)
    assert answer.status_code == (400 if code == "%00" else 200)
    assert "invites you" not in answer.text
    assert not BeautifulSoup(answer.text, "html.parser").select("main [name=invite]")


def test_a_member_makes_the_link_once_and_switches_it_off(
    client: FlaskClient, stripe: Stripe, olena: int
) -> None:
    database = stripe.app.database
    with database.transaction() as session:
        drop_link(session.get_one(Member, olena))
    sign_in(client, database, olena)
    token = page_of(client, PATH).select_one("[name=token]")
    assert token
    form = {"token": str(token["value"])}
    for _ in range(2):
        assert client.post(PATH, data=form | {"inviter": "yes"}, headers=OURS).status_code == 303
    code = code_of(stripe, olena)
    assert len(code) == 16
    assert page_of(client, PATH).select_one(f'#link[value$="/?invite={code}"]')
    with database.transaction() as session:
        (consent,) = session.scalars(select(Consent)).all()
        box = page_of(client, PATH).select_one("label:has([name=inviter])")
        assert box
        assert consent.text == box.get_text(strip=True), "what was agreed to, word by word"
    # Who had opened the link before, and pays after it was switched off, is counted for nobody.
    late = stripe.join("late@example.org", invite=code)
    assert client.post(f"{PATH}/removal", data=form, headers=OURS).status_code == 303
    stripe.settle(late)
    assert code_of(stripe, olena) == ""
    assert invited(stripe, olena) == 0
    assert "invites you" not in client.get(f"/?invite={code}", headers=OURS).text
    assert client.post(PATH, data={}, headers=OURS).status_code == 403


def test_an_erased_member_invites_nobody_and_is_still_counted_for_who_invited(
    client: FlaskClient, stripe: Stripe, olena: int
) -> None:
    code = code_of(stripe, olena)
    petro = join_by(client, stripe, f"/?invite={code}", "petro@example.org")
    for member_id in (petro, olena):
        with stripe.app.database.transaction() as session:
            erase(session, member_gateway(), session.get_one(Member, member_id))
    assert invited(stripe, olena) == 1
    assert code_of(stripe, olena) == ""
    assert "invites you" not in client.get(f"/?invite={code}", headers=OURS).text
