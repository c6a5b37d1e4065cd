"""The overdue desk, and that nothing untrue is said of people whose payment is overdue."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from fundraiser.dashboard.members.filters import Filters
from fundraiser.dashboard.members.listing import list_members
from fundraiser.dashboard.members.preview import of_ending, of_refund
from fundraiser.dashboard.members.profile import Person
from fundraiser.dashboard.models import DailyFigure, Topic
from fundraiser.dashboard.overview.daily import refresh
from fundraiser.db import now
from fundraiser.members.models import Dues, Interval, Member, Membership, Source, Status
from fundraiser.members.overdue import IS_OVERDUE, is_overdue
from fundraiser.newsroom.models import Role
from fundraiser.outbox import Email, EmailState
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus
from tests.factories import GRACE, Stripe, make_member, make_membership
from tests.staff import LONDON, count, hire, join, names, read, shown, sign_in, words

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database

DAY = timedelta(days=1)


def overdue(session: Session, days: float, **values: Any) -> Member:
    """Somebody whose payment failed first so many days ago."""
    since = now() - days * DAY
    member = make_member(session, recount_at=since + GRACE, name=f"Overdue for {days}")
    fields = {
        "status": Status.PAST_DUE,
        "payment_status": Dues.OVERDUE,
        "grace_from": since,
        "period_end": since + 30 * DAY,
        "paid_until": since,
        "due": 1200,
    }
    session.add(make_membership(member, **fields | values))
    count(session, member)
    if since + GRACE <= now():
        member.recount_at = None
        count(session, member, "grace_over")
    session.flush()
    return member


def pay(
    session: Session, member: Member, status: PaymentStatus, at: datetime, **values: Any
) -> None:
    fields = {
        "charge_id": f"ch_{member.id}_{at.timestamp()}",
        "customer_id": "cus_1",
        "kind": CheckoutKind.MEMBERSHIP,
        "subscription_id": f"sub_of_{member.id}",
        "amount": 1000,
        "currency": "GBP",
        "paid_at": at,
    }
    session.add(Payment(member_id=member.id, status=status, **fields | values))
    session.flush()


def row_of(page: BeautifulSoup, member: Member) -> str:
    return words(page, f"tr[data-member='{member.id}']")


def test_the_desk_says_who_leaves_when_and_how_to_pay(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        late = overdue(session, 3, pay_url="https://pay.example.org/in_1")
        later = overdue(session, 10, next_attempt_at=now() + DAY, currency="EUR", due=None)
        gone = overdue(session, 20)
        join(session)
        email = {
            "kind": "payment_failed_day_0",
            "context": {},
            "state": EmailState.SENT,
            "due_at": now(),
            "attempts": 1,
            "urgent": True,
        }
        for cycle, ago in (("old", 40), ("new", 3)):
            at = now() - ago * DAY + timedelta(minutes=1)
            session.add(Email(member_id=late.id, key=cycle, created_at=at, sent_at=at, **email))
    page = read(staff, "/staff/overdue")
    rows = [row["data-member"] for row in page.select("[data-test=overdue] tr[data-member]")]
    assert rows == [str(later.id), str(late.id)]  # who leaves first stands first
    assert {row.get_text(" ").strip() for row in page.select("[data-test=sums] tbody th")} == {
        "GBP",
        "EUR",
    }
    assert "£12" in words(page, "[data-test=sums]")
    assert "€10" in words(page, "[data-test=sums]")  # nothing said what is due: the price
    said = row_of(page, late)
    link = page.select_one(f"tr[data-member='{late.id}'] a[rel=noreferrer]")
    assert link
    assert link["href"] == "https://pay.example.org/in_1"
    assert late.recount_at
    assert f"{late.recount_at.astimezone(LONDON).day} " in said
    emails = page.select_one(f"tr[data-member='{late.id}'] [data-test=emails]")
    assert emails
    assert len(emails.select(".detail")) == 1
    tries = page.select(f"tr[data-member='{later.id}'] [data-test=next-try] ")
    assert str((now() + DAY).astimezone(LONDON).day) in tries[0].get_text()
    beyond = read(staff, "/staff/overdue?counted=no")
    assert [row["data-member"] for row in beyond.select("tr[data-member]")] == [str(gone.id)]


def test_somebody_with_another_membership_does_not_leave(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        member = overdue(session, 3)
        member.recount_at = None
        session.add(make_membership(member))
    page = read(staff, "/staff/overdue")
    assert not re.search(r"\d", shown(page, "leaves")), "no day on which they leave"


def test_everybody_overdue_is_on_some_page(staff: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        ids = {overdue(session, 1 + place / 100).id for place in range(60)}
        # Stripe calls these active, or has no invoice that failed: they are overdue all the same.
        ids.add(overdue(session, 2, status=Status.ACTIVE).id)
        ids.add(overdue(session, 2, payment_status=Dues.PAID, grace_from=None).id)
    shown: list[str] = []
    path: str | None = "/staff/overdue"
    while path:
        page = read(staff, path)
        shown += [str(row["data-member"]) for row in page.select("tr[data-member]")]
        onward = page.select_one("nav.more a[rel=next]")
        path = str(onward["href"]) if onward else None
    assert len(shown) == len(ids) == 62
    assert {int(name) for name in shown} == ids


@pytest.mark.parametrize("after", ["x", "-1", "9" * 40, "²", "0", "17"])
def test_a_page_that_makes_no_sense_stands(staff: FlaskClient, after: str) -> None:
    assert read(staff, f"/staff/overdue?after={after}&counted=what")


def test_finance_sees_the_desk_without_the_e_mails(client: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        overdue(session, 3)
    sign_in(client, hire(database, Role.FINANCE))
    page = read(client, "/staff/overdue")
    assert page.select_one("[data-test=overdue]")
    assert not page.select_one("[data-test=emails]")


def test_the_query_and_the_property_agree(session: Session) -> None:
    for status in Status:
        for payment_status in Dues:
            for ended_at in (None, now()):
                session.add(
                    make_membership(
                        make_member(session),
                        status=status,
                        payment_status=payment_status,
                        ended_at=ended_at,
                    )
                )
    session.flush()
    from_query = set(session.scalars(select(Membership).where(IS_OVERDUE)))
    everything = session.scalars(select(Membership)).all()
    assert from_query == {one for one in everything if is_overdue(one)}
    assert len(from_query) == 6


def test_the_overview_says_that_payments_are_overdue(
    staff: FlaskClient, database: Database
) -> None:
    assert not read(staff, "/staff").select_one("[data-test=overdue]")
    with database.transaction() as session:
        overdue(session, 3)
        overdue(session, 20)  # is no longer counted: nothing is at risk
    page = read(staff, "/staff")
    said = words(page, "[data-test=overdue]")
    assert said.startswith("1 ")
    assert "£12" in said
    assert "all-well" not in names(page)


def test_what_failed_today_is_listed(staff: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        member = make_member(session, name="Taras Melnyk")
        pay(session, member, PaymentStatus.FAILED, now(), failure="insufficient_funds")
        pay(session, member, PaymentStatus.FAILED, now() - 2 * DAY, failure="expired_card")
    page = read(staff, "/staff/overdue")
    rows = page.select("[data-test=failed-today] tbody tr")
    assert len(rows) == 1
    assert "Taras Melnyk Not enough money £10" in " ".join(rows[0].get_text(" ").split())


def test_recoveries_are_kept_by_month_and_cause(staff: FlaskClient, database: Database) -> None:
    """Of three that failed in one month two were paid in time; of those of today nobody knows."""
    paid, failed = PaymentStatus.SUCCEEDED, PaymentStatus.FAILED
    begun = now() - 40 * DAY
    with database.transaction() as session:
        for cause, days in (("expired_card", 3), ("expired_card", None), ("insufficient_funds", 1)):
            member = make_member(session)
            pay(session, member, paid, begun - 30 * DAY)
            pay(session, member, failed, begun, failure=cause)
            if days:
                pay(session, member, paid, begun + days * DAY)
        open_one = make_member(session)
        pay(session, open_one, paid, now() - 35 * DAY)
        pay(session, open_one, failed, now() - 5 * DAY, failure="expired_card")
        for _ in range(2):  # made again, nothing is there twice
            refresh(session, LONDON, GRACE)
        kept = session.scalars(select(DailyFigure).where(DailyFigure.topic == Topic.RECOVERED))
        assert {(row.key, row.people, row.amount) for row in kept} == {
            ("expired_card", 1, 1000),
            ("insufficient_funds", 1, 1000),
        }
    page = read(staff, "/staff/overdue")
    month = begun.astimezone(LONDON).strftime("%Y-%m")
    assert "3 2 67%" in words(page, f"[data-test=recovered] tr[data-month='{month}']")
    said = words(page, "[data-test=recovered]")
    assert "Card expired 2 1 50% £10 of £20" in said


def test_paid_until_is_the_day_that_is_paid(staff: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        member = overdue(session, 3)
        since = (now() - 3 * DAY).astimezone(LONDON)
    shown = words(read(staff, f"/staff/members/{member.id}"), "[data-test=paid-until]")
    assert shown.startswith(f"{since.day} ")


@pytest.fixture
def olena(app: FundraiserApp) -> Any:
    """Somebody overdue for three days, in a request whose language is known."""
    with app.test_request_context():
        since = now() - 3 * DAY
        membership = make_membership(
            id=1,
            reference="sub_1",
            status=Status.PAST_DUE,
            payment_status=Dues.OVERDUE,
            interval=Interval.MONTH,
            grace_from=since,
            period_end=since + 30 * DAY,
            due=1200,
        )
        member = Member(
            id=1, email="o@example.org", language="en", counting=True, recount_at=since + GRACE
        )
        payment = Payment(
            id=1,
            charge_id="ch_1",
            kind=CheckoutKind.MEMBERSHIP,
            subscription_id="sub_1",
            status=PaymentStatus.SUCCEEDED,
            amount=1000,
            refunded=0,
            currency="GBP",
            paid_at=since - 30 * DAY,
        )
        yield Person(member, [], {}, [membership], [payment], [], [], [], None, 0, []), payment


def test_ending_somebody_overdue_says_when_they_leave_and_what_is_due(olena: Any) -> None:
    person, _payment = olena
    later, at_once = of_ending(person, person.memberships[0], GRACE)
    leaves = person.member.recount_at.astimezone(LONDON)
    assert f"{leaves.day} " in later.number
    assert "goes on counting" not in later.number
    assert "£12" in later.money
    assert "£12" in at_once.money


def test_refunding_somebody_overdue_does_not_speak_of_the_next_payment(olena: Any) -> None:
    person, payment = olena
    whole, part = of_refund(person, payment, 1000, GRACE)
    since = person.memberships[0].grace_from.astimezone(LONDON)
    for said in (whole.money, part.money):
        assert "£12" in said
        assert f"since {since.day} " in said
    assert "goes on counting" not in part.number


def test_the_next_try_is_stripes(stripe: Stripe) -> None:
    """A card that fails at the renewal: Stripe says when it tries again, and we keep it."""
    stripe.open_shop()
    customer = stripe.join("late@example.org")
    stripe.settle(customer)
    stripe.change_card(customer, "4000000000000341")
    stripe.advance(days=32)
    member = stripe.settle(customer)
    assert member
    with stripe.app.database.transaction() as session:
        found = session.scalars(select(Membership).where(Membership.member_id == member.id)).one()
        assert found.status is Status.PAST_DUE
        assert found.next_attempt_at
        assert found.next_attempt_at > now()


@pytest.mark.parametrize("state", ["overdue", "gift"])
def test_to_sort_by_who_leaves_hides_nobody(session: Session, state: str) -> None:
    """Neither the overdue nor those with a gift have cancelled, and all of them leave."""
    late = [overdue(session, days).id for days in (3, 9, 6)]
    session.add(
        make_membership(make_member(session), status=Status.PAST_DUE, ended_at=now())
    )  # over: nobody to remind
    gifts = []
    for days in (30, 10, None):
        member = make_member(session)
        ends = now() + days * DAY if days else None
        session.add(make_membership(member, source=Source.GIFT, interval=None, counts_until=ends))
        gifts.append(member.id)
    session.flush()
    expected = {"overdue": [late[1], late[2], late[0]], "gift": [gifts[1], gifts[0], gifts[2]]}
    shown: list[int] = []
    after = ""
    for _ in range(3):  # page by page
        page = list_members(session, Filters(state=state, sort="leaving"), LONDON, after, most=1)
        shown += [row.member.id for row in page.rows]
        after = str(page.rows[-1].member.id)
    assert shown == expected[state]
