"""The staff's pages: the figures, the list, a person, and what needs somebody."""

from __future__ import annotations

import csv
import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from fundraiser import jobs
from fundraiser.campaigns.chart import line_chart, nice_scale
from fundraiser.campaigns.models import Counts, Goal
from fundraiser.dashboard.chart_marks import Mark, place, read_marks
from fundraiser.dashboard.members import profile
from fundraiser.dashboard.overview.daily import refresh
from fundraiser.db import now
from fundraiser.emails.kinds import label_of
from fundraiser.emails.mailings import begin_mailing
from fundraiser.members.history import sample_times, start_of_day
from fundraiser.members.models import Interval, Status
from fundraiser.newsroom.models import AuditEntry, Role
from fundraiser.outbox import Email, EmailState, enqueue
from fundraiser.payments.models import (
    Customer,
    Event,
    OldPrice,
    PaymentStatus,
    SyncRequest,
    Tier,
)
from tests.factories import (
    GRACE,
    make_campaign,
    make_member,
    make_membership,
    make_tiers,
    sync_request,
)
from tests.staff import (
    PAGE,
    contribute,
    count,
    csrf_token,
    hire,
    join,
    names,
    parse,
    read,
    shown,
    sign_in,
    words,
)

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.db import Database

LONDON = ZoneInfo("Europe/London")
MONTH = timedelta(days=30)


def test_the_overview_says_how_far_the_campaign_is(staff: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        goal = Goal(members=10, set_at=now())
        make_campaign(session, deadline=now() + timedelta(days=4, hours=1), goals=[goal])
        members = [join(session) for _ in range(3)]
        count(session, members[0], "ended")
        jobs.beat(session, "worker")
    page = read(staff, "/staff")
    figures = [words(each, "dd") for each in page.select(".figures > div")]
    assert figures[:4] == ["2", "2", "+2", "+2"]
    details = [words(each, "dd + dd") for each in page.select(".figures > div")]
    for detail, values in zip(details, (["10", "20%"], ["5"], ["3", "1"], ["+0.3"]), strict=False):
        assert [value for value in values if value not in detail] == []
    assert "all-well" in names(page)
    assert page.select_one("svg polyline")


def test_the_overview_stands_before_any_campaign_and_any_member(staff: FlaskClient) -> None:
    page = read(staff, "/staff")
    assert {"no-campaign", "nobody-joined"} <= names(page)


@pytest.mark.parametrize(
    ("begins", "ends", "name", "value"), [(-20, -10, "over", "0"), (5, 10, "needed-a-day", "2,500")]
)
def test_the_overview_stands_after_a_campaign_and_before_it(  # noqa: PLR0917 - parameters
    staff: FlaskClient, database: Database, begins: int, ends: int, name: str, value: str
) -> None:
    with database.transaction() as session:
        times = (now() + timedelta(days=begins), now() + timedelta(days=ends))
        make_campaign(session, starts_at=times[0], deadline=times[1])
    assert value in shown(read(staff, "/staff"), name)


def test_a_campaign_of_new_members_is_drawn_from_its_own_start(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        join(session)
    with database.transaction() as session:
        make_campaign(session, starts_at=now(), counts=Counts.NEW)
        join(session)
    page = read(staff, "/staff")
    table = words(page, "#over-time ~ details table")
    assert re.findall(r"\d{4} (\d+)", table) == ["0", "1"]


def test_a_customer_that_rests_is_shown_with_its_error_and_settled_again_once(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        sync = sync_request(customer_id="cus_1")
        sync.due_at, sync.attempts, sync.error = None, 12, "ValueError: The books disagree."
        session.add(sync)
    page = read(staff, "/staff")
    assert "The books disagree." in words(page)
    form = {"csrf_token": csrf_token(staff, "/staff"), "back": "/staff"}
    for _ in range(2):
        answer = staff.post("/staff/customers/cus_1/sync", data=form, headers=PAGE)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/staff")
    assert "cus_1" in shown(read(staff, "/staff"), "notice-synced-again")
    with database.transaction() as session:
        sync = session.scalars(select(SyncRequest)).one()
        assert (sync.attempts, sync.due_at is not None) == (0, True)
        acts = session.scalars(select(AuditEntry).where(AuditEntry.action == "settled_again")).all()
        assert {(action.subject, action.staff_id is not None) for action in acts} == {
            ("customer cus_1", True)
        }


def test_a_charge_whose_customer_is_not_known_can_be_settled_again(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        sync = sync_request(charge_id="ch_1")
        sync.due_at, sync.error = None, "ValueError: Nobody."
        session.add(sync)
    settle_again(staff, "ch_1")
    with database.transaction() as session:
        assert session.scalars(select(SyncRequest)).one().due_at is not None


def settle_again(client: FlaskClient, name: str) -> TestResponse:
    form = {"csrf_token": csrf_token(client, "/staff")}
    return client.post(f"/staff/customers/{name}/sync", data=form, headers=PAGE)


def test_a_customer_with_nothing_wrong_can_be_looked_at_and_an_unknown_one_cannot(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        member = make_member(session)
        session.add(
            Customer(id="cus_1", member_id=member.id, email="a@b", settled_at=now(), deleted=False)
        )
    assert settle_again(staff, "cus_1").status_code == 303
    assert settle_again(staff, "cus_1").status_code == 303
    assert settle_again(staff, "cus_2").status_code == 404
    with database.transaction() as session:
        assert [sync.customer_id for sync in session.scalars(select(SyncRequest))] == ["cus_1"]


def test_finance_reads_only_and_sees_no_emails(client: FlaskClient, database: Database) -> None:
    sign_in(client, hire(database, Role.FINANCE))
    with database.transaction() as session:
        member = join(session)
        enqueue(session, "welcome", to=member.id, key="1")
        session.execute(update(Email).values(state=EmailState.FAILED))
        session.add(
            Customer(id="cus_1", member_id=member.id, email="a@b", settled_at=now(), deleted=False)
        )
    page = read(client, f"/staff/members/{member.id}")
    assert page.select_one("#emails") is None
    assert page.select('form[action^="/staff/customers/"]') == []
    assert "failed-emails" not in names(read(client, "/staff"))
    assert settle_again(client, "cus_1").status_code == 403


def test_emails_that_failed_old_events_and_silent_workers_need_somebody(
    staff: FlaskClient, database: Database
) -> None:
    assert "no-worker" in names(read(staff, "/staff"))
    with database.transaction() as session:
        member = make_member(session, name="Taras Melnyk")
        enqueue(session, "welcome", to=member.id, key="1")
        session.execute(update(Email).values(state=EmailState.UNKNOWN))
        jobs.beat(session, "worker")
        session.execute(update(jobs.Heartbeat).values(beat_at=now() - timedelta(minutes=3)))
        received = now() - timedelta(minutes=7)
        session.add(
            Event(id="evt_1", type="x", customer_id="c", created_at=received, received_at=received)
        )
    page = read(staff, "/staff")
    assert " 3 " in shown(page, "silent-workers")
    assert " 7 " in shown(page, "event-waits")
    assert " 1 " in f" {shown(page, 'failed-emails')}"
    row = page.select_one("tr:has([data-test=email-unknown])")
    assert row
    assert "Taras Melnyk" in row.text
    assert label_of("welcome") in row.text


def test_a_persons_page_tells_all_and_why_they_left(staff: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        member = make_member(session, name="Hanna Shevchuk", country="UA", language="uk")
        count(session, member, happened_at=datetime(2026, 1, 5, 12, tzinfo=UTC))
        left = datetime(2026, 3, 3, 12, tzinfo=UTC)
        session.add(
            Event(
                id="evt_9",
                type="customer.subscription.deleted",
                created_at=left,
                received_at=left,
                settled_at=left,
            )
        )
        count(session, member, "ended", cause_ref="evt_9", happened_at=left)
        session.add(make_membership(member, status=Status.CANCELED, ended_at=left, tier="member"))
        contribute(session, member, "ch_1", refunded=500)
        contribute(session, member, "ch_2", dispute="needs_response")
        contribute(session, member, "ch_3", status=PaymentStatus.PENDING)
        enqueue(session, "welcome", to=member.id, key="1")
        session.add(
            Customer(id="cus_1", member_id=member.id, email="a@b", settled_at=now(), deleted=False)
        )
    page = read(staff, f"/staff/members/{member.id}")
    assert "3 March 2026" in shown(page, "left")
    assert "subscription ended, evt_9" in shown(page, "left")
    assert "5 January 2026" in shown(page, "joined")
    assert shown(page, "number").endswith(" 1")
    assert "status-left" in names(page)
    assert "Ukraine" in words(page)
    assert "£10" in shown(page, "pays")
    assert "£5" in shown(page, "partly-refunded")
    assert "needs_response" not in shown(page, "disputed")
    assert {"ended", "email-queued", "payment-processing"} <= names(page)
    assert "cus_1" in words(page)


@pytest.mark.parametrize("member_id", ["7", "9" * 30])
def test_there_is_no_page_of_nobody(staff: FlaskClient, member_id: str) -> None:
    answer = staff.get(f"/staff/members/{member_id}", headers=PAGE)
    assert answer.status_code == 404
    assert "error-404" in names(parse(answer))


def test_what_people_wrote_is_shown_as_text(staff: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        member = join(session, name="<script>alert(1)</script>")
    for path in ("/staff", "/staff/members", f"/staff/members/{member.id}"):
        assert "<script>alert" not in staff.get(path, headers=PAGE).text


def test_contributions_are_listed_newest_first_and_summed_by_currency(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        member = make_member(session, name="Sofiia Kravets")
        contribute(session, member, "ch_old", amount=3000, paid_at=now() - timedelta(days=40))
        contribute(session, member, "ch_new", refunded=500)
        contribute(session, member, "ch_euro", currency="EUR")
        contribute(session, member, "ch_failed", status=PaymentStatus.FAILED, failure="declined")
        refresh(session, LONDON, GRACE)
    page = read(staff, "/staff/contributions")
    assert "GBP 2 £15.00 £45.00 EUR 1 €20.00 €20.00" in words(page)
    assert f"Counted on {now().astimezone(LONDON):%-d %B %Y}" in words(page)
    assert "Failed (declined)" in words(page)
    with database.transaction() as session:
        rows, older = profile.list_contributions(session, None, most=3)
        assert [payment.charge_id for payment, _ in rows] == ["ch_failed", "ch_euro", "ch_new"]
        rows, older = profile.list_contributions(session, older, most=3)
        assert [payment.charge_id for payment, _ in rows] == ["ch_old"]
        assert older is None


def test_the_newsrooms_midnight_begins_the_day_also_when_clocks_change() -> None:
    after_the_change = datetime(2026, 3, 29, 12, tzinfo=UTC)
    assert start_of_day(after_the_change, LONDON) == datetime(2026, 3, 29, tzinfo=UTC)
    day_after = start_of_day(after_the_change, LONDON, -1)
    assert day_after.astimezone(UTC) == datetime(2026, 3, 29, 23, tzinfo=UTC)


def test_the_chart_is_sampled_so_that_a_long_campaign_stays_small() -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    times = sample_times(start, start + timedelta(days=2000), LONDON)
    assert len(times) < 200
    assert times == sorted(times)
    assert (times[0], times[-1]) == (start, start + timedelta(days=2000))
    assert sample_times(start, start, LONDON) == [start, start]


@pytest.mark.parametrize(
    ("most", "scale"),
    [
        (0, (1, 1)),
        (1, (1, 1)),
        (7, (8, 2)),
        (25_000, (25_000, 5_000)),
        (25_001, (30_000, 10_000)),
        (1_234_567, (1_500_000, 500_000)),
    ],
)
def test_an_axis_has_round_steps_and_at_most_five_of_them(
    most: int, scale: tuple[int, int]
) -> None:
    assert nice_scale(most) == scale


def test_the_labels_at_the_charts_edge_never_touch() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    series = [(start, 10), (start + timedelta(days=10), 20)]
    for projected in ((24, 24), (25, 26), (26, 30), (1, 25)):
        chart = line_chart(series, end=start + timedelta(days=20), goal=25, projected=projected)
        assert abs(chart.goal_label_y - chart.projected_label_y) >= 36


def test_the_charts_show_another_range_and_come_as_files(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        make_campaign(session, starts_at=now() - timedelta(days=3), deadline=now() + MONTH)
        for _ in range(3):
            join(session)
    for span, days, step in (("28", 28, 1), ("91", 91, 1), ("365", 53, 7), ("campaign", 28, 1)):
        page = read(staff, f"/staff?range={span}")
        curve, bars = (json.loads(str(each["data-stops"])) for each in page.select("[data-stops]"))
        assert len(bars) == days
        assert "3" in curve[-1][2]
        assert all(0 <= x <= 100 for x, _, _ in (*curve, *bars))
        current = page.select_one(".ranges [aria-current]")
        assert current
        assert f"range={span}" in current["href"]
        files = [link["href"] for link in page.select("a[href*='.csv']")]
        members, joined = (list(csv.reader(staff.get(each).text.splitlines())) for each in files)
        assert [len(members) - 1, members[-1][1]] == [len(curve), "3"]
        assert [len(joined) - 1, joined[-1][1:4]] == [days, [str(step), "3", "0"]]
    nonsense = read(staff, "/staff?range=-1+OR+1")
    assert nonsense.select_one(".ranges [aria-current][href*='range=campaign']")
    assert staff.get("/staff/charts/nothing.csv").status_code == 404


def test_a_chart_is_marked_with_campaigns_mailings_and_new_prices(database: Database) -> None:
    start, at = now() - timedelta(days=100), now()
    with database.transaction() as session:
        make_tiers(session)
        goals = [Goal(members=10, set_at=start), Goal(members=20, set_at=at - timedelta(days=50))]
        make_campaign(
            session,
            starts_at=at - timedelta(days=80),
            deadline=at - timedelta(days=20),
            goals=goals,
        )
        tier = session.scalars(select(Tier.slug)).first()
        for name, currency in (("price_1", "GBP"), ("price_2", "EUR")):
            session.add(
                OldPrice(
                    stripe_id=name,
                    tier_slug=tier,
                    interval=Interval.MONTH,
                    currency=currency,
                    amount=500,
                    retired_at=at - timedelta(days=30),
                )
            )
        for key, days in (
            ("25000 20", 90),
            ("25000 50% of 20, passed", 41),
            ("25000 50% of 20", 40),
        ):
            begin_mailing(session, "milestone", key, at - timedelta(days=days))
        marks = read_marks(session, start, at)
    assert [(at - mark.at).days for mark in marks] == [80, 50, 40, 30, 20]
    placed = place([*marks, Mark(marks[-1].at + timedelta(days=1), "soon after")], start, at)
    assert [mark.letters for mark in placed] == ["A", "B", "C", "D", "E–F"]
    assert [round(mark.x) for mark in placed] == [20, 50, 60, 70, 80]
