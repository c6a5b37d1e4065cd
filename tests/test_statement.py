"""A member's yearly statement: what was paid in a year and what went back, for member and staff."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from fundraiser.config import load_settings
from fundraiser.db import now
from fundraiser.money import Money, tax_included
from fundraiser.newsroom.models import Role
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus
from tests.factories import make_member
from tests.mail import add_member, deliver, emails_in, text_of
from tests.members import OURS, sign_in as sign_in_member
from tests.staff import PAGE, hire, names, parse, read, sign_in, words

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session

    from fundraiser.config import Settings
    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from fundraiser.members.models import Member
    from tests.mail import Postbox


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


# What the law may ask of receipts and pages


def test_a_receipt_shows_the_tax_that_the_price_includes(
    client: FlaskClient, database: Database, settings: Settings
) -> None:
    with database.transaction() as session:
        member = make_member(session)
        pay(session, member, "ch_1", now(), amount=1070)
        pay(session, member, "ch_2", now(), kind=CheckoutKind.CONTRIBUTION)
    sign_in_member(client, database, member.id)
    assert "vat" not in names(read(client, "/account/payments/1"))
    with_tax = replace(settings, vat_rate=Decimal(7), vat_number="GB123456789")
    client.application.extensions["settings"] = with_tax
    page = read(client, "/account/payments/1")
    assert {"£0.70", "7", "GB123456789"} <= set(
        re.findall(r"£[\d.]+|GB\d+|\d+", words(page, "[data-test=vat] dd"))
    )
    assert "Harbour" in page.get_text(), "the newsroom's postal address"
    assert "vat" not in names(read(client, "/account/payments/2")), "a gift of money buys nothing"


@pytest.mark.parametrize(
    ("amount", "currency", "rate", "tax"),
    [
        (1070, "EUR", "7", 70),
        (1000, "GBP", "20", 167),
        (1055, "EUR", "5.5", 55),
        (500, "JPY", "10", 45),
        (1, "EUR", "19", 0),
        (0, "EUR", "19", 0),
        (1000, "EUR", "0", 0),
    ],
)
def test_the_tax_in_an_amount_is_rounded_to_its_smallest_unit(
    amount: int, currency: str, rate: str, tax: int
) -> None:
    assert tax_included(Money(amount, currency), Decimal(rate)) == Money(tax, currency)


def test_every_page_leads_to_the_privacy_notice_and_the_imprint_if_there_are_any(
    client: FlaskClient, settings: Settings
) -> None:
    there: Any = {
        "privacy_url": "https://a.example/privacy",
        "imprint_url": "https://a.example/imprint",
    }
    for path in ("/terms", "/how-we-count", "/account/sign-in"):
        assert not read(client, path).select("footer a[href^='https://a.example/']")
    client.application.extensions["settings"] = replace(settings, **there)
    for path in ("/terms", "/how-we-count", "/account/sign-in"):
        page = read(client, path)
        found = page.select("footer a[href^='https://a.example/']")
        assert [link["href"] for link in found] == list(there.values())
        assert page.select_one("footer a[href='/terms']")
        assert page.select_one("footer a[href='/account']")
    assert "1 Harbour" in words(read(client, "/terms"))


def test_a_member_withdraws_without_signing_in_and_everybody_concerned_is_told_once(
    client: FlaskClient, database: Database, postbox: Postbox, mail_server: MailServer
) -> None:
    for role in (Role.ADMIN, Role.MANAGER, Role.SUPPORT):
        hire(database, role)
    with database.transaction() as session:
        add_member(session, email="Olena@example.org")
    assert read(client, "/").select_one("footer a[href='/account/withdrawal']")
    for address in ("olena@Example.org ", "olena@example.org", "nobody@example.org"):
        answer = client.post("/account/withdrawal", data={"email": address}, headers=OURS)
        assert answer.location == "/account/withdrawal?done=yes"
    assert "withdrawn" in names(read(client, "/account/withdrawal?done=yes"))
    with client.application.app_context():
        deliver(database, mail_server)
    emails = [(email.kind, email.member_id is not None) for email in emails_in(database)]
    assert sorted(emails) == [("to_staff", False)] * 2 + [("withdrawal", True)]
    told = [text_of(message) for message in postbox.emails]
    assert len(told) == 3
    assert sum("/staff/members/" in text for text in told) == 2
    assert [message["To"] for message in postbox.emails].count("Olena@example.org") == 1


def test_a_withdrawal_that_is_not_received_says_why(
    client: FlaskClient, database: Database
) -> None:
    for typed in ("", "olena", "olena@", "a" * 300 + "@example.org"):
        answer = client.post("/account/withdrawal", data={"email": typed}, headers=OURS | PAGE)
        assert answer.status_code == 422
        page = parse(answer)
        assert "no-address" in names(page)
        field = page.select_one("input[name=email][aria-invalid]")
        assert field
        assert field["value"] == typed
    foreign = OURS | {"Origin": "https://evil.example"}
    sent = {"email": "olena@example.org"}
    assert client.post("/account/withdrawal", data=sent, headers=foreign).status_code == 403
    assert emails_in(database) == []
