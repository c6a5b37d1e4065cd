"""A member's page adds up what the person has paid, and says what happens next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from fundraiser.dashboard.members.giving import lifetime, monthly, read_years
from fundraiser.db import now
from fundraiser.members.models import Dues, Interval, Source, Status
from fundraiser.outbox import enqueue
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus
from tests.factories import make_member, make_membership
from tests.staff import read, shown

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session

    from fundraiser.db import Database

KYIV = ZoneInfo("Europe/Kyiv")


def pay(session: Session, member_id: int, paid_at: datetime, amount: int, **values: object) -> None:
    payment = {
        "charge_id": f"ch_{paid_at.isoformat()}_{amount}",
        "member_id": member_id,
        "customer_id": "cus_1",
        "kind": CheckoutKind.MEMBERSHIP,
        "status": PaymentStatus.SUCCEEDED,
        "amount": amount,
        "refunded": 0,
        "currency": "GBP",
        "paid_at": paid_at,
    }
    session.add(Payment(**payment | values))
    session.flush()


def test_payments_add_up_by_year_and_currency_less_what_went_back(session: Session) -> None:
    member = make_member(session)
    other = make_member(session)
    new_year = datetime(2025, 12, 31, 22, 30, tzinfo=UTC)  # 00:30 on 1 January in Kyiv
    pay(session, member.id, new_year, 1000, refunded=250)
    pay(session, member.id, new_year - timedelta(hours=1), 700)
    pay(session, member.id, new_year + timedelta(days=40), 500, dispute="lost")
    pay(session, member.id, new_year + timedelta(days=41), 300, dispute="won")
    pay(session, member.id, new_year + timedelta(days=50), 900, status=PaymentStatus.FAILED)
    pay(session, member.id, new_year + timedelta(days=60), 4000, currency="UAH")
    pay(session, other.id, new_year, 12345)
    years = read_years(session, member.id, KYIV)
    assert [(one.year, one.currency, one.count, one.paid, one.kept) for one in years] == [
        (2026, "GBP", 3, 1800, 1050),
        (2026, "UAH", 1, 4000, 4000),
        (2025, "GBP", 1, 700, 700),
    ]
    assert lifetime(years) == {"GBP": 1750, "UAH": 4000}


def test_income_a_month_is_of_what_is_paid_again(session: Session) -> None:
    member = make_member(session)
    memberships = [
        make_membership(member, amount=1000, interval=Interval.MONTH),
        make_membership(member, amount=6000, interval=Interval.YEAR),
        make_membership(member, amount=900, interval=Interval.MONTH, interval_count=3),
        make_membership(member, amount=700, ended_at=now()),
        make_membership(member, amount=9000, interval=Interval.YEAR, source=Source.GIFT),
        make_membership(member, amount=0, interval=None, source=Source.COMPLIMENTARY),
    ]
    session.add_all(memberships)
    session.flush()
    assert monthly(memberships) == {"GBP": 1000 + 500 + 300}


def test_the_page_says_what_happens_next_and_when(staff: FlaskClient, database: Database) -> None:
    due = now() + timedelta(days=9)
    with database.transaction() as session:
        renewing, leaving, overdue = (make_member(session) for _ in range(3))
        session.add(make_membership(renewing, period_end=due))
        enqueue(session, "welcome", to=renewing.id, key="member 1")
        session.add(make_membership(leaving, period_end=due, cancel_at=due + timedelta(days=1)))
        session.add(
            make_membership(
                overdue,
                status=Status.PAST_DUE,
                payment_status=Dues.OVERDUE,
                grace_from=now() - timedelta(days=4),
                next_attempt_at=due,
            )
        )
        pay(session, renewing.id, now(), 1000)
        paths = [f"/staff/members/{one.id}" for one in (renewing, leaving, overdue)]
    pages = [read(staff, path) for path in paths]
    dates = [
        [str(time["datetime"]) for time in page.select("[data-test=next] time")] for page in pages
    ]
    assert [len(found) for found in dates] == [2, 1, 2]
    assert dates[0][1] == dates[2][0] == due.isoformat()
    assert dates[1] == [(due + timedelta(days=1)).isoformat()]
    assert shown(pages[0], "lifetime") == "£10"
    assert "£10" in shown(pages[0], "monthly")
    assert "1" in shown(pages[0], "years")


def test_the_other_record_of_a_person_is_found_from_the_page(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        one, two, three = (make_member(session, name=name) for name in ("Anna", "Anna", "Olena"))
        path = f"/staff/members/{one.id}/merge"
    page = read(staff, f"{path}/other")
    assert [str(a["href"]) for a in page.select("[data-test=others] td a")] == [
        f"{path}?other={two.id}"
    ]
    page = read(staff, f"{path}/other?q=len")
    assert [str(a["href"]) for a in page.select("[data-test=others] td a")] == [
        f"{path}?other={three.id}"
    ]
