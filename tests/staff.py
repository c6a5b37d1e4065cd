"""Staff who sign in: shared by the tests of their pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from bs4 import BeautifulSoup

from fundraiser.db import now
from fundraiser.members.ledger import append
from fundraiser.members.models import Cause, Member
from fundraiser.newsroom.models import Role, Staff
from fundraiser.newsroom.staff import add_staff, find_staff
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus
from fundraiser.security import CookieInterface
from tests.factories import make_member, make_membership

if TYPE_CHECKING:
    from datetime import datetime

    from bs4 import Tag
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session
    from werkzeug.test import TestResponse

    from fundraiser.db import Database
    from fundraiser.members.models import Member

PASSWORD, NEW_PASSWORD = "correct horse battery", "a battery of new horses"
LONDON = ZoneInfo("Europe/London")
PAGE = {"Accept": "text/html"}


def hire(database: Database, role: Role = Role.MANAGER) -> str:
    """A new person of the staff; returns the address, which no other test uses."""
    email = f"Iryna-{uuid4().hex[:8]}@example.org"
    with database.transaction() as session:
        add_staff(session, email=email, name="Iryna Bondar", role=role, password=PASSWORD)
    return email


def csrf_token(client: FlaskClient, path: str = "/staff/sign-in") -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path, headers=PAGE).text)
    assert found
    return found[1]


def sign_in(client: FlaskClient, email: str, password: str = PASSWORD, **form: str) -> TestResponse:
    form |= {"email": email, "password": password, "csrf_token": csrf_token(client)}
    return client.post("/staff/sign-in", data=form, headers=PAGE)


def cookie_of(client: FlaskClient) -> str:
    """What the staff's cookie says; anybody who has the browser can read it."""
    app = client.application
    kept, signer = client.get_cookie("staff"), CookieInterface().get_signing_serializer(app)
    assert signer
    return str(signer.loads(kept.value)) if kept else ""


def read(client: FlaskClient, path: str, *, status: int = 200, **options: Any) -> BeautifulSoup:
    """A page as it is answered with this status."""
    answer = client.get(path, headers=PAGE, **options)
    assert answer.status_code == status, answer.text
    return BeautifulSoup(answer.text, "html.parser")


def words(page: BeautifulSoup | Tag, selector: str = "main") -> str:
    """What a part of a page says."""
    found = page.select_one(selector)
    assert found
    return " ".join(found.get_text(" ").split())


def parse(answer: TestResponse) -> BeautifulSoup:
    """The page of an answer."""
    return BeautifulSoup(answer.text, "html.parser")


def day_of(at: datetime | None) -> str:
    """A day as pages write it, in the newsroom's time zone: after eleven it may be the next."""
    assert at
    return f"{at.astimezone(LONDON):%-d %B %Y}"


def names(page: BeautifulSoup | Tag) -> set[str]:
    """The names (``data-test``) of all that a page shows."""
    return {str(found["data-test"]) for found in page.select("[data-test]")}


def shown(page: BeautifulSoup | Tag, name: str) -> str:
    """What the element of this name says, the first if there are several."""
    found = page.select_one(f"[data-test={name}]")
    assert found, (name, names(page))
    return " ".join(found.get_text(" ").split())


def wrong(page: BeautifulSoup) -> dict[str, str]:
    """The errors by field, above the form or beside it."""
    found = {str(link["href"]).removeprefix("#"): link for link in page.select("#errors a[href]")}
    found |= {str(each["id"]).removesuffix("-error"): each for each in page.select("[id$=-error]")}
    return {name: " ".join(each.get_text(" ").split()) for name, each in found.items()}


def count(session: Session, member: Member, reason: str = "paid", **values: Any) -> None:
    """Turn the person in the ledger."""
    fields = {"cause": Cause.STRIPE, "cause_ref": None, "happened_at": now()} | values
    append(session, member, reason=reason, **fields)


def join(session: Session, **values: Any) -> Member:
    """Somebody who pays and counts."""
    member = make_member(session, **values)
    session.add(make_membership(member))
    count(session, member)
    return member


@pytest.fixture
def admin(client: FlaskClient, database: Database) -> FlaskClient:
    """A browser in which an administrator is signed in."""
    sign_in(client, hire(database, Role.ADMIN))
    return client


def post(client: FlaskClient, path: str, page: str = "/staff/team", **form: str) -> TestResponse:
    token = csrf_token(client, page)
    return client.post(path, data={"csrf_token": token, **form}, headers=PAGE)


def staff_of(database: Database, email: str) -> Staff:
    with database.transaction() as session:
        found = find_staff(session, email)
    assert found
    return found


@pytest.fixture
def staff(client: FlaskClient, database: Database) -> FlaskClient:
    """A browser in which somebody of the staff is signed in."""
    sign_in(client, hire(database))
    return client


def contribute(session: Session, member: Member, charge: str, **values: Any) -> None:
    fields = {
        "customer_id": "cus_1",
        "kind": CheckoutKind.CONTRIBUTION,
        "status": PaymentStatus.SUCCEEDED,
        "amount": 2000,
        "refunded": 0,
        "currency": "GBP",
        "paid_at": now(),
    }
    session.add(Payment(charge_id=charge, member_id=member.id, **fields | values))
    session.flush()
