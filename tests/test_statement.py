"""A member's yearly statement: what was paid in a year and what went back, for member and staff."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fundraiser.config import load_settings
from fundraiser.newsroom.models import Role
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus
from tests.factories import make_member
from tests.members import sign_in as sign_in_member
from tests.staff import PAGE, hire, names, read, sign_in, words

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session

    from fundraiser.config import Settings
    from fundraiser.db import Database
    from fundraiser.members.models import Member


@pytest.fixture
def settings(environment: dict[str, str], database_url: str) -> Settings:
    """A newsroom where the year begins eight hours after midnight in UTC, with an address."""
    told = {"NEWSROOM_TIMEZONE": "America/Los_Angeles", "NEWSROOM_ADDRESS": r"1 Harbour\nBergen"}
    return load_settings(environment | {"DATABASE_URL": database_url} | told)


def pay(session: Session, member: Member, name: str, at: datetime, **values: Any) -> None:
    row = {
        "charge_id": name,
        "member_id": member.id,
        "customer_id": "cus_1",
        "kind": CheckoutKind.MEMBERSHIP,
        "status": PaymentStatus.SUCCEEDED,
        "amount": 1000,
        "currency": "GBP",
        "paid_at": at,
    }
    session.add(Payment(**row | values))


def test_a_statement_has_the_payments_of_the_newsrooms_year_and_what_went_back(
    client: FlaskClient, database: Database, settings: Settings
) -> None:
    assert settings.newsroom_address == "1 Harbour\nBergen"
    with database.transaction() as session:
        member = make_member(session, name="Olena Koval", number=7)
        other = make_member(session, name="Petro Lys")
        begin = datetime(2025, 1, 1, 8, tzinfo=UTC)
        pay(session, member, "ch_before", begin - timedelta(seconds=1))
        pay(session, member, "ch_part", begin, refunded=350)
        pay(session, member, "ch_failed", begin, status=PaymentStatus.FAILED)
        pay(session, member, "ch_lost", begin, currency="EUR", amount=2500, dispute="lost")
        pay(session, member, "ch_won", begin, kind=CheckoutKind.CONTRIBUTION, dispute="won")
        pay(session, member, "ch_after", begin + timedelta(days=365))
        pay(session, other, "ch_other", begin)
    sign_in_member(client, database, member.id)
    links = [str(link["href"]) for link in read(client, "/account").select(".ways a")]
    assert [link for link in links if "statements" in link] == [
        f"/account/statements/{year}" for year in (2026, 2025, 2024)
    ]
    page = read(client, "/account/statements/2025")
    paid = [row.get_text(" ", strip=True) for row in page.select(".table-scroll tbody tr")]
    assert len(paid) == 3
    sums = [cell.get_text() for cell in page.select(".adds-up td")]
    assert sums == [
        *("€25.00", "\N{MINUS SIGN}€25.00", "€0.00"),
        *("£20.00", "\N{MINUS SIGN}£3.50", "£16.50"),
    ]
    assert "1 Harbour" in words(page)
    assert "Olena Koval" in words(page)
    assert read(client, "/account/statements/2025?lang=uk").select("html[lang=uk] td")
    assert "no-payments" in names(read(client, "/account/statements/2020"))
    read(client, "/account/statements/2999", status=404)

    sign_in(client, hire(database, Role.SUPPORT))
    theirs = read(client, f"/staff/members/{member.id}/statements/2025")
    assert [cell.get_text() for cell in theirs.select(".adds-up td")] == sums
    link = read(client, f"/staff/members/{member.id}").select_one("a[href$='statements/2025']")
    assert link
    assert client.get("/staff/members/99999/statements/2025", headers=PAGE).status_code == 404
