"""A signed-in member in tests: her browser, and what we and Stripe know of her."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import select

from fundraiser.account.models import MemberSession
from fundraiser.db import now
from fundraiser.emails.kinds import KINDS
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Membership
from fundraiser.outbox import Email
from fundraiser.security import digest
from tests.pages import PageText

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.db import Database
    from fundraiser.emails.parts.body import Body
    from tests.factories import Stripe


OURS = {"Origin": "http://127.0.0.1:8000", "Accept": "text/html"}


@pytest.fixture
def olena(stripe: Stripe, client: FlaskClient) -> Olena:
    """A member of £10 a month, signed in."""
    stripe.open_shop()
    return Olena(stripe, client)


class Olena:
    """A member, her browser, and what we and Stripe know of her."""

    def __init__(
        self, stripe: Stripe, client: FlaskClient, email: str = "olena@example.org"
    ) -> None:
        self.stripe, self.client, self.database = stripe, client, stripe.app.database
        self.email, self.customer = email, stripe.join(email)
        member = stripe.settle(self.customer)
        assert member
        self.member_id = member.id
        sign_in(client, self.database, member.id)

    @property
    def membership(self) -> Membership:
        with self.database.transaction() as session:
            return session.scalars(
                select(Membership)
                .where(Membership.member_id == self.member_id)
                .order_by(Membership.id.desc())
                .limit(1)
            ).one()

    def body_of(self, kind: str, **changes: Any) -> Body:
        """What an e-mail says of the membership as it would be; nothing of it is kept."""
        with self.database.transaction() as session:
            membership = session.get_one(Membership, self.membership.id)
            for name, value in changes.items():
                setattr(membership, name, value)
            email = Email(kind=kind, context={"membership": membership.reference})
            body = KINDS[kind].body(session, email)
            session.rollback()
        return body

    def at_stripe(self) -> Any:
        return self.stripe.call("GET", f"subscriptions/{self.membership.reference}")

    def taken(self) -> list[int]:
        """What was charged, newest first."""
        charges = self.stripe.call("GET", "charges", customer=self.customer)["data"]
        return [charge["amount"] for charge in charges]

    def path(self, what: str) -> str:
        return f"/account/memberships/{self.membership.id}/{what}"

    def open(self, path: str, **query: str) -> BeautifulSoup:
        answer = self.client.get(path, query_string=query, headers=OURS)
        return BeautifulSoup(answer.text, "html.parser")

    def form(self, path: str, action: str, **query: str) -> dict[str, str]:
        """What a form of a page carries as it stands."""
        page = self.open(path, **query)
        form = page.select_one(f"form[method=post][action='{action}']")
        assert form, page.get_text(" ", strip=True)
        fields = form.select("input[type=hidden], input[checked]")
        return {str(field["name"]): str(field.get("value", "")) for field in fields}

    def send(self, path: str, form: dict[str, str], **more: str) -> TestResponse:
        return self.client.post(path, data=form | more, headers=OURS)

    def action(self, what: str, **more: str) -> PageText:
        """Fill in the page of an act and send it; returns what the overview then says."""
        answer = self.send(self.path(what), self.form(self.path(what), self.path(what)), **more)
        assert answer.status_code == 303, answer.text
        return self.overview()

    def overview(self) -> PageText:
        return PageText.of(self.open("/account"))

    def resume(self) -> PageText:
        action = self.path("resumption")
        answer = self.send(action, self.form("/account", action))
        assert answer.status_code == 303, answer.text
        return self.overview()

    def number(self) -> int:
        with self.database.transaction() as session:
            return read_balance(session).members


def sign_in(client: FlaskClient, database: Database, member_id: int) -> None:
    with database.transaction() as session:
        at = now()
        token = f"token-of-{member_id}"
        session.add(
            MemberSession(
                member_id=member_id,
                token_hash=digest(token),
                created_at=at,
                ends_at=at + timedelta(days=9 * 365),
            )
        )
    client.set_cookie("member", token)
