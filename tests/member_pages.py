"""A member whom staff change in the dashboard, and the dashboard's forms."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from fundraiser.db import now
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Member, Membership
from fundraiser.newsroom.models import AuditEntry
from fundraiser.payments.models import Payment
from tests.staff import PAGE, read

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from tests.factories import Stripe


@pytest.fixture
def taras(stripe: Stripe) -> Taras:
    """A member who pays £10 a month."""
    stripe.open_shop()
    email = f"taras-{threading.get_ident()}-{now().timestamp()}@example.org"
    customer = stripe.join(email)
    member = stripe.settle(customer)
    assert member
    assert member.counting
    return Taras(stripe, member.id, customer, email)


class Taras:
    """The member, his address in the dashboard, and how he stands."""

    def __init__(self, stripe: Stripe, member_id: int, customer: str, email: str) -> None:
        self.stripe, self.id, self.customer, self.email = stripe, member_id, customer, email
        self.path = f"/staff/members/{member_id}"
        self.database = stripe.app.database
        with self.database.transaction() as session:
            self.membership_id = session.scalars(select(Membership.id)).one()
            self.payment = session.scalars(select(Payment)).one()
        self.refund = f"{self.path}/payments/{self.payment.id}/refund"
        self.end = f"{self.path}/memberships/{self.membership_id}/end"

    def counts(self) -> bool:
        with self.database.transaction() as session:
            assert read_balance(session).members == int(session.get_one(Member, self.id).counting)
            return session.get_one(Member, self.id).counting

    def refunds(self) -> list[int]:
        found = self.stripe.call("GET", "refunds", charge=self.payment.charge_id)["data"]
        return [refund["amount"] for refund in found]

    def acts(self) -> list[tuple[str, list[str], dict[str, Any]]]:
        with self.database.transaction() as session:
            return [
                (entry.action, entry.fields, entry.details)
                for entry in session.scalars(
                    select(AuditEntry)
                    .where(AuditEntry.subject == f"member {self.id}")
                    .order_by(AuditEntry.id)
                )
            ]


def filled(client: FlaskClient, path: str, **values: str) -> dict[str, str]:
    """A page's form as it stands, with these values."""
    page = read(client, path)
    hidden = page.select("form.act input[type=hidden]")
    return {str(field["name"]): str(field["value"]) for field in hidden} | values


def send(client: FlaskClient, path: str, form: dict[str, str]) -> TestResponse:
    return client.post(path, data=form, headers=PAGE)
