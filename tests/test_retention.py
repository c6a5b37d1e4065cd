"""Retention: curves by hand, figures from the ledger, and the page."""

from __future__ import annotations

import json
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from fundraiser.account.retention import is_due
from fundraiser.dashboard.models import Subject
from fundraiser.dashboard.periods import Period, months_before
from fundraiser.dashboard.retention import figures, stays
from fundraiser.dashboard.retention.survival import LAST_STEP, Stay, estimate, share_of_cohort
from fundraiser.db import now
from fundraiser.members.history import start_of_day
from fundraiser.members.models import Cause, Interval, Member, Status
from tests.factories import GRACE, make_member, make_membership
from tests.staff import LONDON, count, names, read, shown

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session

    from fundraiser.db import Database

DAY = timedelta(days=1)
_LIVES = st.builds(
    Stay, st.just(0), st.integers(0, LAST_STEP - 1), st.booleans(), st.integers(1, 40)
)


def stayed(
    session: Session,
    joined: float,
    left: float | None = None,
    cause: Cause = Cause.STRIPE,
    **values: Any,
) -> Member:
    """Somebody who joined that many days ago, and perhaps left that many days ago."""
    member = make_member(session)
    session.add(make_membership(member, started_at=now() - joined * DAY, **values))
    count(session, member, happened_at=now() - joined * DAY)
    if left is not None:
        count(session, member, "ended", happened_at=now() - left * DAY, cause=cause)
    session.flush()
    return member


def test_the_estimate_is_the_textbooks() -> None:
    """Of 10, 2 leave in the first period; of the 5 known for longer, 1 leaves: 0.8 · 0.8."""
    rows = [Stay(0, 0, True, 2), Stay(0, 1, False, 3), Stay(0, 1, True, 1), Stay(0, 2, False, 4)]
    curve = estimate(rows, fewest=1)
    assert curve.joined == 10
    assert curve.shares == pytest.approx((0.8, 0.64))
    assert curve.at(3) is None


def test_people_known_late_say_nothing_of_the_time_before() -> None:
    """100 imported after five periods don't look immortal: the first ones are of others alone."""
    rows = [Stay(0, 0, True, 5), Stay(0, 6, False, 5), Stay(5, 7, False, 100)]
    curve = estimate(rows, fewest=1)
    assert curve.at(1) == pytest.approx(0.5)
    assert curve.at(7) == pytest.approx(0.5)


@given(st.lists(_LIVES, max_size=30))
def test_shares_only_fall_and_equal_the_plain_ones_where_all_is_known(lives: list[Stay]) -> None:
    curve = estimate(lives, fewest=1)
    assert all(1 >= first >= second >= 0 for first, second in pairwise(curve.shares))
    whole = [Stay(0, one.steps if one.ended else LAST_STEP, one.ended, one.people) for one in lives]
    for steps in range(1, len(estimate(whole, fewest=1).shares) + 1):
        assert estimate(whole, 1).at(steps) == pytest.approx(share_of_cohort(whole, steps))


def test_a_share_of_few_people_is_not_shown() -> None:
    assert estimate([Stay(0, 3, False, 49)]).shares == ()
    assert len(estimate([Stay(0, 3, False, 50)]).shares) == 3


def test_figures_come_from_the_ledger(database: Database) -> None:
    with database.transaction() as session:
        for _ in range(60):
            stayed(session, 200, interval=Interval.MONTH, tier="member", ref="story")
        for _ in range(40):
            stayed(session, 200, 155, interval=Interval.MONTH, tier="member", ref="story")
        for _ in range(50):
            stayed(session, 45, interval=Interval.YEAR, tier="patron")
        stays.refresh(session, LONDON, GRACE)
        by_interval = {one.key: one.curve for one in figures.read_groups(session, Subject.INTERVAL)}
        by_article = figures.read_groups(session, Subject.ARTICLE)
    month = by_interval["month"]
    assert [month.at(1), month.at(2), month.at(6)] == pytest.approx([1, 0.6, 0.6])
    # 45 days less 14 of grace are one whole period.
    assert (by_interval["year"].at(1), by_interval["year"].at(2)) == (1, None)
    assert [(one.key, one.curve.joined) for one in by_article] == [("story", 100), ("", 50)]


def test_who_was_merged_or_erased_has_not_left(database: Database) -> None:
    with database.transaction() as session:
        for _ in range(60):
            stayed(session, 200)
        for cause in (Cause.MERGE, Cause.ERASURE):
            stayed(session, 200, 160, cause)
        stayed(session, 200, 160, Cause.CLOCK)
        stays.refresh(session, LONDON, GRACE)
        (group,) = figures.read_groups(session, Subject.INTERVAL)
    assert group.curve.at(1) == 1
    assert group.curve.at(2) == pytest.approx(60 / 61)


def test_a_month_is_empty_until_its_youngest_member_is_old_enough(database: Database) -> None:
    with database.transaction() as session:
        for _ in range(3):
            stayed(session, 100)
        stayed(session, 100, 60)
        stays.refresh(session, LONDON, GRACE)
        (cohort,) = figures.read_cohorts(session, LONDON, GRACE, now())
        begins = (now() - 100 * DAY).astimezone(LONDON).date().replace(day=1)
        assert (cohort.first, cohort.joined) == (begins, 4)
        assert cohort.shares[-1] is None
        youngest = start_of_day(now(), LONDON, (now().astimezone(LONDON).date() - cohort.last).days)
        for days, is_known in ((44.9, False), (46.1, True)):
            (seen,) = figures.read_cohorts(session, LONDON, GRACE, youngest + days * DAY)
            assert (seen.shares[0] is not None) is is_known, days
    assert seen.shares[0] == 1


def test_reasons_of_those_who_cancelled_are_summed(database: Database) -> None:
    with database.transaction() as session:
        for days, why in ((3, "unused"), (4, "unused"), (5, None), (420, "too_expensive")):
            canceled_at = now() - days * DAY
            stayed(session, 500, cancel_feedback=why, canceled_at=canceled_at)
        stayed(session, 500, cancel_reason="payment_failed", canceled_at=now() - DAY)
        stays.refresh(session, LONDON, GRACE)
        this = now().astimezone(LONDON).date().replace(day=1)
        year = Period(months_before(this, 11), this)
        found = figures.read_reasons(session, year, year.back(12))
    assert [(one.key, one.people, one.before) for one in found] == [
        ("unused", 2, 0),
        ("", 1, 0),
        ("too_expensive", 0, 1),
    ]


def test_figures_are_made_once_an_hour(database: Database) -> None:
    with database.transaction() as session:
        assert stays.refresh_if_due(session, LONDON, GRACE)
        assert not stays.refresh_if_due(session, LONDON, GRACE)


def test_fresh_figures_leave_the_nightly_deletion_due(database: Database) -> None:
    """Both are called retention: with one heartbeat, personal data would never be deleted."""
    with database.transaction() as session:
        assert is_due(session, LONDON)
        stays.refresh(session, LONDON, GRACE)
        assert is_due(session, LONDON)


def test_the_page_leads_to_the_people(staff: FlaskClient, database: Database) -> None:
    assert "cohorts" not in names(read(staff, "/staff/retention"))
    with database.transaction() as session:
        for _ in range(50):
            stayed(session, 200, tier="member", ref="a story/1")
        stays.refresh(session, LONDON, GRACE)
    page = read(staff, "/staff/retention")
    assert "100%" in shown(page, "by-tier")
    for table in ("by-tier", "by-article", "by-interval", "cohorts"):
        link = page.select_one(f"[data-test={table}] tbody a")
        assert link, table
        people = read(staff, str(link["href"]))
        assert len(people.select("main tbody tr")) == 50, table


def test_the_page_says_why_people_left_in_their_words_and_leads_to_them(
    staff: FlaskClient, database: Database
) -> None:
    at = now() - 3 * DAY
    with database.transaction() as session:
        stayed(session, 10, 3, cancel_feedback="unused", canceled_at=at, cancel_comment="Moved.")
        stayed(session, 10, 3, canceled_at=at)
        stayed(session, 10, 3, canceled_at=at, cancel_reason="payment_failed")
        stays.refresh(session, LONDON, GRACE)
    month = f"{at.astimezone(LONDON):%Y-%m}"
    page = read(staff, f"/staff/retention?from={month}&to={month}")
    assert "definition" in names(page)
    assert "Moved." in shown(page, "comments")
    for key in ("unused", ""):
        link = page.select_one(f"[data-test=reasons] [data-key='{key}'] a")
        assert link, key
        assert len(read(staff, str(link["href"])).select("#results tbody tr")) == 1, key
    assert "wrong-period" in names(read(staff, "/staff/retention?from=x", status=422))


def test_the_groups_and_their_people_are_those_who_joined_so(
    staff: FlaskClient, database: Database
) -> None:
    """They may have another membership now; and somebody who never paid is in neither."""
    with database.transaction() as session:
        member = stayed(session, 200, tier="member", interval=Interval.YEAR, ref="story")
        session.add(make_membership(member, tier="patron", started_at=now() - DAY))
        never = make_member(session)
        session.add(make_membership(never, tier="member", status=Status.INCOMPLETE))
        stays.refresh(session, LONDON, GRACE)
    page = read(staff, "/staff/retention")
    for table in ("by-tier", "by-interval", "by-source", "by-article", "cohorts"):
        link = page.select_one(f"[data-test={table}] tbody a")
        assert link, table
        assert len(read(staff, str(link["href"])).select("#results tbody tr")) == 1, table


def test_months_are_counted_over_the_years() -> None:
    assert months_before(date(2026, 1, 1), 1) == date(2025, 12, 1)
    assert months_before(date(2026, 12, 1), -1) == date(2027, 1, 1)


def test_the_chart_has_a_line_for_each_way_of_joining_and_comes_as_a_file(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        for number in range(80):
            stayed(session, 200, 80 if number < 20 else None)
            stayed(session, 200, interval=Interval.YEAR)
        stays.refresh(session, LONDON, GRACE)
    page = read(staff, "/staff/retention")
    chart = page.select_one("section[aria-labelledby=by-interval] .chart")
    assert chart
    assert len(chart.select("polyline")) == 2
    stops = json.loads(str(chart["data-stops"]))
    assert len(stops) == 6
    assert [percent in stops[-1][2] for percent in ("75%", "100%")] == [True, True]
    names_at = [float(str(label["y"])) for label in chart.select(".chart-ends text")]
    assert abs(names_at[0] - names_at[1]) >= 18
    file = staff.get("/staff/retention/interval.csv").text.splitlines()
    assert len(file) == 7
    assert sorted(file[-1].split(",")) == ["0.7500", "1.0000", "180"]
    assert staff.get("/staff/retention/reason.csv").status_code == 404
