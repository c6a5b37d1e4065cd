"""The overview's figures: kept day by day, added up in one currency, and few to read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, select, update

from fundraiser import jobs
from fundraiser.dashboard.models import DailyFigure, Topic
from fundraiser.dashboard.overview.daily import refresh, refresh_if_due
from fundraiser.dashboard.overview.figures import read_days, sum_flows
from fundraiser.db import now
from fundraiser.jobs import Heartbeat
from fundraiser.members.history import Mark
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import (
    Cause,
    Dues,
    Interval,
    LedgerEntry,
    Membership,
    Source,
    Status,
)
from fundraiser.newsroom.models import AuditEntry, Role
from fundraiser.payments import queue
from tests.factories import (
    GRACE,
    NOON,
    make_campaign,
    make_member,
    make_membership,
    make_tiers,
    sync_request,
)
from tests.staff import (
    LONDON,
    PAGE,
    contribute,
    count,
    csrf_token,
    hire,
    join,
    names,
    read,
    shown,
    sign_in,
    words,
)

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session

    from fundraiser.db import Database


def kept(session: Session, topic: Topic) -> dict[Any, tuple[int, int, int]]:
    """A topic's figures: people, recent and amount by key, and currency if there is one."""
    rows = session.scalars(select(DailyFigure).where(DailyFigure.topic == topic))
    return {
        (row.key, row.currency) if row.currency else row.key: (row.people, row.recent, row.amount)
        for row in rows
    }


def test_people_are_cut_by_the_first_membership_that_counts(session: Session) -> None:
    make_tiers(session)
    first = make_member(session, country="UA")
    gift = make_member(session, country=None)
    left = make_member(session, country="UA")
    session.add_all(
        [
            make_membership(first, tier="reader", ref="friday-letter", campaign="25000"),
            make_membership(first, tier="patron", started_at=NOON, interval=Interval.YEAR),
            make_membership(gift, tier="member", source=Source.GIFT, interval=None),
            make_membership(left, tier="member", status=Status.CANCELED, ended_at=NOON),
        ]
    )
    count(session, first, happened_at=now() - timedelta(days=40))
    count(session, gift)
    refresh(session, LONDON, GRACE)
    assert kept(session, Topic.TIER) == {"reader": (1, 0, 0), "member": (1, 1, 0)}
    assert kept(session, Topic.INTERVAL) == {"month": (1, 0, 0), "": (1, 1, 0)}
    assert kept(session, Topic.COUNTRY) == {"UA": (1, 0, 0), "": (1, 1, 0)}
    assert kept(session, Topic.SOURCE) == {"friday-letter": (1, 0, 0), "gift": (1, 1, 0)}
    assert kept(session, Topic.CAMPAIGN) == {"25000": (1, 0, 0), "": (1, 1, 0)}
    # Both of her memberships pay; a gift was paid once, by somebody else.
    assert kept(session, Topic.INCOME) == {
        ("month", "GBP"): (1, 0, 1000),
        ("year", "GBP"): (1, 0, 1000),
    }


def test_of_what_readers_write_themselves_the_largest_are_kept(session: Session) -> None:
    for number in range(45):
        member = make_member(session)
        session.add(make_membership(member, ref=f"ref-{number:02}"))
        count(session, member)
    refresh(session, LONDON, GRACE)
    found = kept(session, Topic.SOURCE)
    assert len(found) == 41
    assert found["*"] == (5, 5, 0)


def test_who_is_known_to_leave_is_kept_by_day_and_reason(session: Session) -> None:
    at = now()
    soon, later = at + timedelta(days=3), at + timedelta(days=9)
    for recount_at, membership in (
        (soon, {"cancel_at": soon}),
        (soon, {"cancel_at": soon}),
        (later, {"status": Status.PAST_DUE, "grace_from": later - GRACE}),
        (later, {"source": Source.GIFT, "counts_until": later, "cancel_at": later}),
    ):
        member = join(session, recount_at=recount_at)
        session.execute(
            update(Membership).where(Membership.member_id == member.id).values(membership)
        )
    make_member(session, recount_at=soon)  # does not count: can't leave
    refresh(session, LONDON, GRACE)
    rows = session.scalars(select(DailyFigure).where(DailyFigure.topic == Topic.LEAVING))
    assert {(row.day, row.key, row.people) for row in rows} == {
        (soon.astimezone(LONDON).date(), "canceled", 2),
        (later.astimezone(LONDON).date(), "past_due", 1),
        (later.astimezone(LONDON).date(), "runs_out", 1),
    }


def test_a_card_that_expires_before_a_payment_is_a_loss_when_the_grace_is_over(
    session: Session,
) -> None:
    """A month's payments go on until the card's last; a year's one payment may come before it."""
    day = timedelta(days=1)
    first = (now() + 60 * day).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    month: dict[str, Any] = {"interval": Interval.MONTH, "card_expires_at": first}
    year: dict[str, Any] = {"interval": Interval.YEAR, "card_expires_at": first}
    for values in (
        month | {"period_end": (first - day).replace(day=12)},  # the twelfth: eleven days after
        month | {"period_end": first + 11 * day},
        year | {"period_end": first + 3 * day},
        year | {"period_end": first - 3 * day},  # is charged once more before
        year | {"period_end": first, "card_expires_at": first + 500 * day},  # too far away
        month | {"period_end": first, "card_expires_at": None},
        month
        | {
            "period_end": first,
            "status": Status.PAST_DUE,
            "payment_status": Dues.OVERDUE,
        },
    ):
        member = make_member(session, counting=True, sequence=1)
        session.add(make_membership(member, **values))
    leaving = make_member(session, counting=True, sequence=1, recount_at=first)
    session.add(make_membership(leaving, **month, period_end=first, cancel_at=first))
    session.flush()
    refresh(session, LONDON, GRACE)
    rows = session.scalars(select(DailyFigure).where(DailyFigure.key == "card"))
    assert {(row.day, row.people) for row in rows} == {
        ((first + 11 * day + GRACE).date(), 2),
        ((first + 3 * day + GRACE).date(), 1),
        ((first + 362 * day + GRACE).date(), 1),
    }


def test_who_stopped_is_kept_by_choice_or_not_and_what_moved_apart(session: Session) -> None:
    at = now()
    for reason, values, cause in (
        ("ended", {"status": Status.CANCELED, "ended_at": at}, Cause.STRIPE),
        ("refunded", {"refunded_at": at}, Cause.STRIPE),
        ("grace_over", {"status": Status.PAST_DUE}, Cause.CLOCK),
        (
            "ended",
            {
                "status": Status.CANCELED,
                "ended_at": at,
                "payment_status": Dues.OVERDUE,
            },
            Cause.STRIPE,
        ),
        ("no_membership", {"ended_at": at}, Cause.MERGE),
    ):
        member = join(session)
        session.execute(update(Membership).where(Membership.member_id == member.id).values(values))
        count(session, member, reason, happened_at=at, cause=cause)
    imported = make_member(session)
    count(session, imported, cause=Cause.IMPORT)
    refresh(session, LONDON, GRACE)
    assert kept(session, Topic.CHURN) == {"voluntary": (2, 0, 0), "involuntary": (2, 0, 0)}
    assert kept(session, Topic.MOVED) == {"joined": (1, 0, 0), "stopped": (1, 0, 0)}


def test_people_of_a_list_did_not_join_on_the_day_it_was_imported(
    session: Session, client: FlaskClient, database: Database
) -> None:
    make_campaign(session)
    join(session)
    brought, undone = (make_member(session, name=f"Brought {number}") for number in range(2))
    long_ago = now() - timedelta(days=300)
    for member in (brought, undone):
        count(session, member, cause=Cause.IMPORT, happened_at=long_ago)
    count(session, undone, "no_membership", cause=Cause.IMPORT, happened_at=long_ago)
    balance = read_balance(session)
    days = read_days(session, LONDON, Mark(balance.version, balance.members))
    assert balance.members == 2
    assert sum(day.joined for day in days) == 1
    for flow in sum_flows(days):
        assert (flow.joined, flow.stopped, flow.net, flow.imported) == (1, 0, 1, 1)
    session.commit()
    sign_in(client, hire(database))
    page = read(client, "/staff")
    assert "1" in shown(page, "imported-today")
    assert "Brought 0" not in words(page, "section:has(#newest)")


def test_people_of_a_list_joined_and_left_on_the_day_on_which_they_did(session: Session) -> None:
    today, days_ago = now(), now() - timedelta(days=3)
    at_last, lately, undone, gone = (make_member(session, name=str(one)) for one in range(4))
    count(session, at_last, cause=Cause.IMPORT, happened_at=today)
    count(session, lately, cause=Cause.IMPORT, happened_at=days_ago)
    for reason in ("imported", "no_membership"):
        count(session, undone, reason, cause=Cause.IMPORT, happened_at=today)
    count(session, gone, cause=Cause.IMPORT, happened_at=today - timedelta(days=300))
    count(session, gone, "no_membership", cause=Cause.IMPORT, happened_at=days_ago)
    balance = read_balance(session)
    days = read_days(session, LONDON, Mark(balance.version, balance.members))
    assert [(day.joined, day.stopped) for day in days if day.joined or day.stopped] == [
        (1, 1),
        (1, 0),
    ]
    today_so_far, week, month = sum_flows(days)
    assert (today_so_far.net, today_so_far.imported) == (1, 1)
    for flow in (week, month):
        assert (flow.joined, flow.stopped, flow.imported) == (2, 1, 1)


def test_a_days_last_figures_stay_and_todays_are_made_again(session: Session) -> None:
    join(session)
    refresh(session, LONDON, GRACE)
    session.execute(update(DailyFigure).values(day=DailyFigure.day - 1))
    join(session)
    refresh(session, LONDON, GRACE)
    refresh(session, LONDON, GRACE)
    rows = session.scalars(
        select(DailyFigure).where(DailyFigure.topic == Topic.INTERVAL).order_by(DailyFigure.day)
    )
    assert [row.people for row in rows] == [1, 2]


def test_they_are_made_every_five_minutes_however_often_it_is_asked(session: Session) -> None:
    assert refresh_if_due(session, LONDON, GRACE)
    assert not refresh_if_due(session, LONDON, GRACE)
    session.execute(update(Heartbeat).values(beat_at=now() - timedelta(minutes=6)))
    assert refresh_if_due(session, LONDON, GRACE)


def rest(session: Session, how_many: int) -> None:
    for number in range(how_many):
        sync = sync_request(customer_id=f"cus_{number:03}")
        sync.due_at, sync.error = None, "ValueError: The books disagree."
        session.add(sync)
        session.flush()


def test_all_customers_that_rest_can_be_reached_and_settled_again(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        rest(session, 53)
    page = read(staff, "/staff")
    assert " 53 " in shown(page, "failed-syncs")
    first = read(staff, "/staff/failed-syncs")
    onward = first.select_one("nav.more a[rel=next]")
    assert onward
    second = read(staff, str(onward["href"]))
    rows = [str(row) for page in (first, second) for row in page.select("tbody tr")]
    assert len(rows) == 53
    assert all(f"cus_{number:03}" in row for number, row in enumerate(rows))
    token = csrf_token(staff, "/staff/failed-syncs")
    for settled in ("53", "0"):
        answer = staff.post("/staff/failed-syncs/retry", data={"csrf_token": token}, headers=PAGE)
        assert answer.status_code == 303
        page = read(staff, "/staff/failed-syncs")
        assert f" {settled} " in shown(page, "notice-synced-again")
    with database.transaction() as session:
        assert not queue.failed_requests(session)
        acts = session.scalars(
            select(AuditEntry.subject).where(AuditEntry.action == "settled_all_again")
        )
        assert acts.all() == ["customers 53"]


@pytest.mark.parametrize("after", ["x", "-1", "9" * 40, "²"])
def test_a_page_of_resting_customers_that_makes_no_sense_stands(
    staff: FlaskClient, after: str
) -> None:
    assert "in-sync" in names(read(staff, f"/staff/failed-syncs?after={after}"))


def test_support_settles_and_finance_does_not(client: FlaskClient, database: Database) -> None:
    sign_in(client, hire(database, Role.FINANCE))
    with database.transaction() as session:
        rest(session, 1)
    path = "/staff/failed-syncs/retry"
    assert read(client, "/staff/failed-syncs").select(f'form[action="{path}"]') == []
    form = {"csrf_token": csrf_token(client, "/staff")}
    assert client.post("/staff/failed-syncs/retry", data=form, headers=PAGE).status_code == 403


def test_a_dispute_needs_somebody_until_it_is_decided(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        member = make_member(session, name="Hanna Shevchuk")
        contribute(session, member, "ch_1", dispute="needs_response")
        contribute(session, member, "ch_2", dispute="lost")
        contribute(session, member, "ch_3", dispute="under_review")
        contribute(session, member, "ch_4", dispute="warning_under_review")
    page = read(staff, "/staff")
    assert shown(page, "disputed").startswith("1 ")
    assert " 2 " in shown(page, "answered-disputes")
    row = words(page, "#needs-you ~ table tbody")
    assert "Hanna Shevchuk" in row
    assert "needs_response" not in row
    assert "ch_1" in row
    assert not any(
        one in words(page, "section:has(#needs-you)") for one in ("ch_2", "ch_3", "ch_4")
    )


def queries_of(client: FlaskClient, database: Database, path: str) -> int:
    seen: list[str] = []

    def note(*args: Any) -> None:
        seen.append(args[2])

    event.listen(database.engine, "before_cursor_execute", note)
    read(client, path)
    event.remove(database.engine, "before_cursor_execute", note)
    return len(seen)


def test_the_overview_asks_as_often_for_many_members_as_for_few(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
        join(session)
        rest(session, 1)
        jobs.beat(session, "worker")
        refresh(session, LONDON, GRACE)
    few = queries_of(staff, database, "/staff")
    with database.transaction() as session:
        for _ in range(30):
            join(session)
        refresh(session, LONDON, GRACE)
    assert queries_of(staff, database, "/staff") == few
    assert few <= 37


def test_midnight_is_the_newsrooms(session: Session) -> None:
    """Half past eleven in the evening in London is the next day's beginning in UTC, in summer."""
    member = join(session)
    connection = session.connection()
    connection.exec_driver_sql("ALTER TABLE ledger DISABLE TRIGGER USER")
    late = (now() - timedelta(days=1)).astimezone(LONDON).replace(hour=23, minute=30)
    count(session, member, "ended")
    session.execute(update(LedgerEntry).where(LedgerEntry.sequence == 2).values(recorded_at=late))
    refresh(session, LONDON, GRACE)
    row = session.scalars(select(DailyFigure).where(DailyFigure.topic == Topic.CHURN)).one()
    assert row.day == late.date()
    assert datetime.now(UTC).date() >= row.day
