"""What feeds the forecast, how it is kept, and what the overview says of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from fundraiser.campaigns.forecast import MONTH, YEAR, Outcomes
from fundraiser.dashboard.models import ShownForecast
from fundraiser.dashboard.overview.daily import refresh
from fundraiser.dashboard.overview.forecasts import read_records, record_of
from fundraiser.dashboard.overview.outlook import read_outlook, read_rates
from fundraiser.db import now
from fundraiser.members.models import (
    Cause,
    Dues,
    Interval,
    LedgerEntry,
    Member,
    Membership,
    Source,
    Status,
)
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus
from tests.factories import GRACE, make_campaign, make_member, make_membership
from tests.staff import LONDON, count, join, read, words

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session

    from fundraiser.db import Database

DAY = timedelta(days=1)


def at_noon() -> datetime:
    """A moment that no test meets midnight at."""
    return now().replace(hour=12, minute=0, second=0, microsecond=0)


def counted(session: Session, **values: Any) -> Member:
    """Somebody who is counted, with a membership of these values."""
    at = values.pop("recount_at", None)
    member = make_member(session, recount_at=at)
    session.add(make_membership(member, **values))
    count(session, member)
    return member


def spread_ledger(session: Session, days: int) -> None:
    """As if the ledger's rows had come one after the other, over so many days until now."""
    versions = session.scalars(select(LedgerEntry.version).order_by(LedgerEntry.version)).all()
    connection = session.connection()
    connection.exec_driver_sql("ALTER TABLE ledger DISABLE TRIGGER USER")
    for place, version in enumerate(versions):
        recorded_at = now() - days * DAY * (1 - place / len(versions))
        session.execute(
            update(LedgerEntry)
            .where(LedgerEntry.version == version)
            .values(recorded_at=recorded_at, happened_at=recorded_at)
        )
    connection.exec_driver_sql("ALTER TABLE ledger ENABLE TRIGGER USER")


def test_nobody_is_in_two_terms(session: Session) -> None:
    at = at_noon()
    month = {"interval": Interval.MONTH, "started_at": at - 45 * DAY, "period_end": at + 16 * DAY}
    counted(session, **month)
    leaves = at + 16 * DAY
    counted(session, **month, cancel_at=leaves, recount_at=leaves)
    over = at + 3 * DAY
    counted(
        session,
        **month | {"status": Status.PAST_DUE, "payment_status": Dues.OVERDUE},
        grace_from=over - GRACE,
        recount_at=over,
    )
    counted(  # the same where Stripe still calls it active
        session,
        **month | {"payment_status": Dues.OVERDUE},
        grace_from=over - GRACE,
        recount_at=over,
    )
    ends = at + 7 * DAY
    counted(session, source=Source.GIFT, interval=None, counts_until=ends, recount_at=ends)
    counted(
        session,
        interval=Interval.YEAR,
        started_at=at - 400 * DAY,
        period_end=at + 330 * DAY,
    )
    found = read_outlook(session, LONDON, GRACE, at)
    assert found.members == 6
    assert found.canceled == {16: 1}
    assert found.overdue == {3: 2}
    assert found.ending == {7: 1}
    assert found.due == {(MONTH, 2): {16: 1}, (YEAR, 2): {330: 1}}
    assert found.joining == {MONTH: 1}


def test_joins_are_those_of_readers_by_whole_day(session: Session) -> None:
    for _ in range(40):
        join(session)
    for _ in range(5):
        count(session, make_member(session), cause=Cause.IMPORT)
    spread_ledger(session, 9)
    found = read_outlook(session, LONDON, GRACE, now()).joined
    assert len(found) == 8
    assert 30 < sum(found) <= 40  # of the first day and of today, which is not over, some are left


def test_renewals_of_a_year_and_how_they_ended(session: Session) -> None:
    at = at_noon()
    stays = {"interval": Interval.YEAR, "has_paid": True}
    session.add_all(
        make_membership(make_member(session), **values)
        for values in (
            stays | {"started_at": at - 500 * DAY},  # renewed 135 days ago
            stays | {"started_at": at - 1000 * DAY},  # the second renewal 270 days ago
            stays | {"started_at": at - 200 * DAY},  # has faced none
            stays
            | {
                "started_at": at - 400 * DAY,
                "ended_at": at - 35 * DAY,
                "canceled_at": at - 55 * DAY,
                "status": Status.CANCELED,
            },
            stays
            | {
                "started_at": at - 395 * DAY,
                "grace_from": at - 30 * DAY,
                "ended_at": at - 16 * DAY,
                "status": Status.CANCELED,
                "payment_status": Dues.OVERDUE,
            },
            # May still pay: nothing is known of the renewal.
            stays
            | {
                "started_at": at - 370 * DAY,
                "grace_from": at - 5 * DAY,
                "status": Status.PAST_DUE,
                "payment_status": Dues.OVERDUE,
            },
            {
                "interval": Interval.MONTH,
                "has_paid": True,
                "started_at": at - 75 * DAY,
                "ended_at": at - 40 * DAY,  # in the middle of the second month
                "canceled_at": at - 40 * DAY,
                "status": Status.CANCELED,
            },
        )
    )
    session.flush()
    found = read_rates(session, GRACE, at)
    assert found.renewals == {
        (YEAR, 1): Outcomes(3, 1, 1),
        (YEAR, 2): Outcomes(1, 0, 0),
        (MONTH, 1): Outcomes(1, 0, 0),
        (MONTH, 2): Outcomes(1, 1, 0),
    }
    assert found.grace == 14
    assert {period: sum(counts) for period, counts in found.notice.items()} == {MONTH: 1, YEAR: 1}
    assert found.notice[YEAR][20] == found.notice[MONTH][0] == 1


def test_recoveries_are_counted_from_the_first_failure_of_a_row(session: Session) -> None:
    at = at_noon()
    member = make_member(session)

    def pay(subscription: str, *days: tuple[int, PaymentStatus]) -> None:
        for ago, status in days:
            session.add(
                Payment(
                    charge_id=f"ch_{subscription}_{ago}",
                    member_id=member.id,
                    customer_id="cus_1",
                    kind=CheckoutKind.MEMBERSHIP,
                    subscription_id=subscription,
                    status=status,
                    amount=1000,
                    currency="GBP",
                    paid_at=at - ago * DAY,
                )
            )

    paid, failed = PaymentStatus.SUCCEEDED, PaymentStatus.FAILED
    pay("sub_recovers", (70, paid), (40, failed), (37, failed), (35, paid))
    pay("sub_never", (70, paid), (40, failed), (37, failed))
    pay("sub_too_late", (70, paid), (40, failed), (20, paid))
    pay("sub_first_ever", (40, failed), (39, paid))  # had never paid: was never overdue
    pay("sub_still_open", (40, paid), (10, failed), (9, paid))
    session.flush()
    recoveries = read_rates(session, GRACE, at).recoveries
    assert len(recoveries) == 15
    assert recoveries[0] == recoveries[5] == (3, 1)
    assert recoveries[6] == recoveries[14] == (2, 0)


def prepare(session: Session, *, members: int = 120, days: int = 60) -> None:
    make_campaign(
        session, starts_at=now() - days * DAY, deadline=now() + 20 * DAY, slug="25000"
    ).goals[0].members = 130
    for _ in range(members):
        join(session)
    spread_ledger(session, days)


def test_forecasts_are_kept_once_a_day_and_held_against_what_came(session: Session) -> None:
    prepare(session)
    refresh(session, LONDON, GRACE)
    refresh(session, LONDON, GRACE)
    rows = session.scalars(select(ShownForecast).order_by(ShownForecast.days)).all()
    assert [(row.campaign, row.days) for row in rows] == [
        ("25000", 0),
        ("", 7),
        ("", 14),
        ("", 28),
    ]
    for row in rows:
        assert row.members == 120
        assert row.low <= row.middle <= row.high
        assert row.came is None
    # Two a day carried on, as nobody has left.
    assert abs(rows[0].pace - 160) <= 3
    assert rows[0].goal == 130
    session.execute(update(ShownForecast).values(due_at=now()))
    count(session, make_member(session), cause=Cause.IMPORT)
    session.execute(update(ShownForecast).values(due_at=now()))
    refresh(session, LONDON, GRACE)
    session.expire_all()
    came = session.scalars(select(ShownForecast.came)).all()
    assert set(came) == {120} or set(came) == {None, 120}  # the import is nobody's forecast


def made(day: int, **values: Any) -> ShownForecast:
    """A forecast for a week, of so many days ago, that held."""
    fields = {
        "campaign": "",
        "days": 7,
        "day": (now() - day * DAY).date(),
        "made_at": now() - day * DAY,
        "due_at": now() - (day - 7) * DAY,
        "members": 100,
        "low": 90,
        "middle": 100,
        "high": 110,
        "chance": 0.0,
        "pace": 120,
        "came": 100,
        **dict.fromkeys(
            ("joins", "canceled", "overdue", "ending", "renewals", "rush_low", "rush_high"), 0
        ),
    }
    return ShownForecast(**fields | values)


def test_a_record_says_how_many_held_and_on_which_side_the_others_ended() -> None:
    rows = [made(7 * week, low=95, middle=101) for week in range(1, 9)]
    rows += [made(70, came=80), made(77, came=111), made(84, came=None)]
    found = record_of(7, rows)
    assert (found.held, found.below, found.above, found.total) == (8, 1, 1, 10)
    assert found.percent == 80
    assert not found.is_young
    assert record_of(7, rows[:9]).is_young
    assert found.better is not None
    assert found.better > 50
    worse = record_of(7, [made(7, pace=101)]).better
    assert worse is not None
    assert worse < 0


def test_of_forecasts_that_overlap_one_counts(session: Session) -> None:
    session.add_all(made(day) for day in range(7, 7 + 70))
    session.flush()
    assert read_records(session, now())[7].total == 10
    assert read_records(session, now())[28].total == 0


def test_the_overview_says_range_chance_record_and_scenario(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        prepare(session)
        over = now() + 3 * DAY
        late = session.scalars(select(Member).limit(1)).one()
        late.recount_at = over
        session.execute(
            update(Membership)
            .where(Membership.member_id == late.id)
            .values(status=Status.PAST_DUE, payment_status=Dues.OVERDUE, grace_from=over - GRACE)
        )
        refresh(session, LONDON, GRACE)
        session.add_all(made(day) for day in range(7, 7 + 84))
        row = session.scalars(select(ShownForecast).where(ShownForecast.campaign == "25000")).one()
    page = read(staff, "/staff")
    table = page.select_one("[data-test=forecast] tr[data-days=deadline]")
    assert table
    shown = " ".join(table.get_text(" ").split())
    assert f"{row.low} {row.middle} {row.high}" in shown
    assert "%" in shown
    records = page.select("[data-test=record]")
    assert len(records) == 3
    assert "12 of 12 were in range (100%)" in records[0].get_text()
    assert "12" not in records[1].get_text()
    assert page.select_one("[data-test=rush]")
    assert f"{row.low}–{row.high}" in words(page, ".chart")
    prevented = words(page, "[data-test=preventable]")
    assert "overdue 1 1" in prevented


@pytest.mark.parametrize("days", [0, 20])
def test_without_four_weeks_of_joins_it_is_too_young_to_say(
    staff: FlaskClient, database: Database, days: int
) -> None:
    with database.transaction() as session:
        prepare(session, members=5, days=days or 1)
        refresh(session, LONDON, GRACE)
    page = read(staff, "/staff")
    assert page.select_one("[data-test=too-young]")
    assert not page.select_one("[data-test=forecast]")


def test_an_import_is_nobodys_forecast(staff: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        make_campaign(session, starts_at=now() - 90 * DAY, deadline=now() + 10 * DAY)
        for _ in range(50):
            count(session, make_member(session), cause=Cause.IMPORT)
        spread_ledger(session, 60)
        refresh(session, LONDON, GRACE)
    assert read(staff, "/staff").select_one("[data-test=too-young]")
