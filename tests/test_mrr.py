"""Monthly recurring income: its movements add up, whatever members do."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from hypothesis import HealthCheck, Phase, given, settings as profile, strategies as st
from sqlalchemy import func, insert, select, update

from fundraiser.dashboard.models import (
    DailyFigure,
    ExchangeRate,
    MemberMrr,
    Movement,
    MrrMovement,
    MrrSum,
    Part,
    Topic,
)
from fundraiser.dashboard.mrr.movements import refresh
from fundraiser.dashboard.mrr.statement import read_kept, read_movements
from fundraiser.dashboard.mrr.value import expected_periods
from fundraiser.dashboard.overview import daily
from fundraiser.dashboard.periods import Period, read_choice
from fundraiser.dashboard.retention.figures import Group
from fundraiser.dashboard.retention.survival import Curve
from fundraiser.db import now
from fundraiser.members.counting import recount
from fundraiser.members.eligibility import counting_of
from fundraiser.members.merging import merge
from fundraiser.members.models import Cause, Dues, Interval, Member, Membership, Source, Status
from fundraiser.members.monthly import monthly, monthly_in_sql
from fundraiser.newsroom.models import Staff
from tests.factories import GRACE, make_member, make_membership
from tests.staff import LONDON, hire, names, read, shown

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session

    from fundraiser.db import Database

START = datetime(2031, 1, 10, 12, tzinfo=UTC)  # after the ledger began
DAY = timedelta(days=1)
CURRENCIES = ("GBP", "EUR")
# What members and time do; several act between two runs.
acts = st.tuples(
    st.integers(0, 2),
    st.sampled_from(
        (
            *("join", "join", "second", "amount", "interval", "currency", "cancel", "end", "end"),
            *("fail", "pay", "pause", "gift", "refund", "erase", "import"),
        )
    ),
    st.integers(1, 99),
)
histories = st.lists(
    st.tuples(st.lists(acts, min_size=1, max_size=4), st.integers(0, 45)), min_size=1, max_size=9
)


class Life:
    """A person to whom things happen."""

    def __init__(self, session: Session) -> None:
        self.session, self.member = session, make_member(session)

    @property
    def running(self) -> list[Membership]:
        found = self.session.scalars(
            select(Membership).where(
                Membership.member_id == self.member.id,
                Membership.ended_at.is_(None),
                Membership.source == Source.STRIPE,
            )
        )
        return list(found)

    def act(self, what: str, number: int) -> None:
        cause = {"erase": Cause.ERASURE, "import": Cause.IMPORT}.get(what, Cause.STRIPE)
        if what in {"join", "second", "gift", "import"} and (what != "join" or not self.running):
            self.add(what, number)
        for one in self.running:
            self.change(one, what, number)
        self.session.flush()
        recount(self.session, self.member, GRACE, cause=cause)

    def add(self, what: str, number: int) -> None:
        source = Source.GIFT if what == "gift" else Source.STRIPE
        self.session.add(
            make_membership(
                self.member,
                source=source,
                amount=100 * number,
                currency=CURRENCIES[number % 2],
                started_at=now(),
                paid_at=now(),
                has_paid=True,
                counts_until=now() + 30 * DAY,
            )
        )
        self.session.flush()

    def change(self, one: Membership, what: str, number: int) -> None:
        match what:
            case "amount":
                one.amount = 100 * number
            case "interval":
                one.interval = list(Interval)[number % 4]
                one.interval_count = 1 + number % 3
            case "currency":
                one.currency = CURRENCIES[number % 2]
            case "cancel":
                one.cancel_at = now() + number % 40 * DAY
            case "end" | "erase":
                one.status, one.ended_at = Status.CANCELED, now()
            case "fail":
                one.payment_status, one.grace_from = Dues.OVERDUE, now()
            case "pay":
                one.payment_status, one.grace_from, one.paid_at = Dues.PAID, None, now()
            case "pause":
                one.collection_paused = not one.collection_paused
                one.paid_until = now() + number % 30 * DAY
            case "refund":
                one.refunded_at = now()


@profile(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories)
def test_opening_and_movements_are_the_closing(session: Session, history: list[Any]) -> None:
    """To the penny, by month and currency, and each person's movements are what they pay."""
    session.rollback()  # what a failed example left
    last = None
    closings: dict[date, Counter[str]] = {}
    with time_machine.travel(START, tick=False) as clock:
        lives = [Life(session) for _ in range(3)]
        for happened, days in history:
            for who, what, number in happened:
                lives[who].act(what, number)
            for life in lives:
                recount(session, life.member, GRACE, cause=Cause.CLOCK)
            refresh(session, LONDON, GRACE, now(), last)
            last = now()
            closings[now().astimezone(LONDON).date().replace(day=1)] = paid(session, lives)
            clock.shift(days * DAY + timedelta(seconds=1))
    compare_months(session, closings)
    for life in lives:
        check_kinds(session, life.member)
    session.rollback()


def paid(session: Session, lives: list[Life]) -> Counter[str]:
    """What the members pay a month by the rule in Python; also compares each one's movements."""
    total: Counter[str] = Counter()
    for life in lives:
        session.refresh(life.member)
        rows = session.scalars(select(Membership).where(Membership.member_id == life.member.id))
        mine: Counter[str] = Counter()
        for one in counting_of(rows.all(), now(), GRACE):
            if one.source is Source.STRIPE and one.interval:
                mine[one.currency] += monthly(one.amount, one.interval, one.interval_count)
        of_member = MrrMovement.member_id == life.member.id
        moved = select(MrrMovement.currency, func.sum(MrrMovement.amount)).where(of_member)
        assert Counter(by_currency(session, moved.group_by(MrrMovement.currency))) == mine
        held = select(MemberMrr.currency, MemberMrr.amount)
        assert (
            Counter(by_currency(session, held.where(MemberMrr.member_id == life.member.id))) == mine
        )
        total += mine
    return total


def by_currency(session: Session, rows: Any) -> dict[str, int]:
    return {currency: int(amount) for currency, amount in session.execute(rows) if amount}


def compare_months(session: Session, closings: dict[date, Counter[str]]) -> None:
    balance: Counter[str] = Counter()
    rows = session.execute(
        select(MrrSum.month, MrrSum.currency, func.sum(MrrSum.amount))
        .group_by(MrrSum.month, MrrSum.currency)
        .order_by(MrrSum.month)
    ).all()
    for month, closing in sorted(closings.items()):
        for moved, currency, amount in rows:
            if moved == month:
                balance[currency] += int(amount)
        assert +balance == +closing, month


def check_kinds(session: Session, member: Member) -> None:
    """Somebody is new once, then expands, contracts or leaves, and comes back only after that."""
    kinds = session.scalars(
        select(MrrMovement.kind)
        .where(MrrMovement.member_id == member.id)
        .order_by(MrrMovement.recorded_at, MrrMovement.id)
    ).all()
    here = False
    for number, kind in enumerate(kinds):
        assert (kind is Movement.NEW) <= (not here or kinds[number - 1] is Movement.NEW)
        if kind in {Movement.EXPANSION, Movement.CONTRACTION}:
            assert here
        here = kind is not Movement.CHURN


@pytest.mark.parametrize("interval", list(Interval))
@pytest.mark.parametrize("amount", [1, 6, 500, 4999, 12_345])
@pytest.mark.parametrize("times", [1, 3, 5])
def test_a_monthly_amount_is_the_same_in_python_and_in_sql(
    session: Session, interval: Interval, amount: int, times: int
) -> None:
    values = {"amount": amount, "interval": interval, "interval_count": times}
    one = make_membership(make_member(session), **values)
    session.add(one)
    session.flush()
    found = session.scalar(select(monthly_in_sql(Membership)).where(Membership.id == one.id))
    assert found == monthly(amount, interval, times)
    session.rollback()


class Story:
    """People who pay, and runs of the job between what they do."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.last: datetime | None = None

    def run(self) -> list[tuple[Movement, str, int]]:
        """The movements that a run records."""
        at = now()
        refresh(self.session, LONDON, GRACE, at, self.last)
        self.last = at
        rows = self.session.execute(
            select(MrrMovement.kind, MrrMovement.currency, MrrMovement.amount)
            .where(MrrMovement.recorded_at == at)
            .order_by(MrrMovement.currency, MrrMovement.member_id, MrrMovement.id)
        )
        return [(kind, currency, amount) for kind, currency, amount in rows]

    def join(self, cause: Cause = Cause.STRIPE, **values: Any) -> Membership:
        member = make_member(self.session)
        one = make_membership(member, **values)
        self.session.add(one)
        recount(self.session, member, GRACE, cause=cause)
        return one

    def recount(self, one: Membership, cause: Cause = Cause.STRIPE) -> None:
        recount(self.session, self.session.get_one(Member, one.member_id), GRACE, cause=cause)


@pytest.fixture
def story(session: Session) -> Story:
    return Story(session)


def test_a_member_joins_changes_the_amount_leaves_and_returns(story: Story) -> None:
    story.run()
    one = story.join(amount=12_000, interval=Interval.YEAR)
    assert story.run() == [(Movement.NEW, "GBP", 1000)]
    assert story.run() == []
    one.amount = 18_000
    assert story.run() == [(Movement.EXPANSION, "GBP", 500)]
    one.amount = 6_000
    assert story.run() == [(Movement.CONTRACTION, "GBP", -1000)]
    one.status, one.ended_at = Status.CANCELED, now()
    story.recount(one)
    assert story.run() == [(Movement.CHURN, "GBP", -500)]
    again = make_membership(story.session.get_one(Member, one.member_id), amount=700)
    story.session.add(again)
    story.recount(again)
    assert story.run() == [(Movement.REACTIVATION, "GBP", 700)]


def test_another_currency_is_an_exchange_and_another_membership_an_expansion(story: Story) -> None:
    one = story.join(amount=1000)
    story.run()
    one.currency, one.amount = "EUR", 1200
    assert story.run() == [(Movement.EXCHANGE, "EUR", 1200), (Movement.EXCHANGE, "GBP", -1000)]
    second = make_membership(story.session.get_one(Member, one.member_id), amount=500)
    story.session.add(second)
    story.recount(second)
    assert story.run() == [(Movement.EXPANSION, "GBP", 500)]


@pytest.mark.parametrize("cause", [Cause.IMPORT, Cause.ERASURE, Cause.RULE])
def test_what_no_reader_did_is_told_apart(story: Story, cause: Cause) -> None:
    one = story.join(cause)
    story.last = now() - DAY
    assert story.run()[0][0] is Movement.OTHER or cause is not Cause.IMPORT
    one.status, one.ended_at = Status.CANCELED, now()
    story.recount(one, cause)
    assert story.run() == [(Movement.OTHER, "GBP", -1000)]


def test_a_merge_moves_what_is_paid_and_nobody_has_left(story: Story) -> None:
    kept, other = story.join(status=Status.CANCELED), story.join()
    story.last = now() - DAY
    story.run()
    merge(story.session, kept.member_id, other.member_id, GRACE, staff_id=None)
    assert story.run() == [(Movement.OTHER, "GBP", 1000), (Movement.OTHER, "GBP", -1000)]


def test_the_first_run_tells_the_past_from_the_ledger(story: Story) -> None:
    """Somebody was here from February to April and has been back since June: at today's amount."""
    with time_machine.travel(START, tick=False) as clock:
        one = story.join(started_at=START)
        clock.move_to(START + 80 * DAY)
        one.status, one.ended_at = Status.CANCELED, now()
        story.recount(one)
        clock.move_to(START + 150 * DAY)
        again = make_membership(
            story.session.get_one(Member, one.member_id), started_at=now(), amount=600
        )
        story.session.add(again)
        story.recount(again)
        clock.move_to(START + 200 * DAY)
        story.run()
    rows = story.session.execute(
        select(MrrSum.month, MrrSum.kind, MrrSum.amount).order_by(MrrSum.month)
    )
    assert [tuple(row) for row in rows] == [
        (date(2031, 1, 1), Movement.NEW, 1000),
        (date(2031, 3, 1), Movement.CHURN, -1000),
        (date(2031, 6, 1), Movement.REACTIVATION, 600),
    ]


def test_the_income_says_what_it_contains(database: Database) -> None:
    with database.transaction() as session:
        story = Story(session)
        story.join(amount=1000)
        story.join(amount=12_000, interval=Interval.YEAR, cancel_at=now() + DAY)
        story.join(amount=500, payment_status=Dues.OVERDUE, grace_from=now())
        story.join(source=Source.GIFT, counts_until=now() + DAY)
        daily.refresh(session, LONDON, GRACE)
        rows = session.execute(
            select(DailyFigure.key, DailyFigure.people, DailyFigure.amount).where(
                DailyFigure.topic == Topic.MRR
            )
        )
        found = {key: (people, amount) for key, people, amount in rows}
    assert found == {Part.ALL: (3, 2500), Part.LEAVING: (1, 1000), Part.OVERDUE: (1, 500)}


def past(session: Session) -> None:
    """In January £10 and €10 come; in February £10 more, £5 of the first go, €10 leave."""
    story = Story(session)
    with time_machine.travel(START, tick=False) as clock:
        story.run()
        first, euro = story.join(amount=1000), story.join(amount=1000, currency="EUR")
        story.run()
        clock.move_to(START + 30 * DAY)
        story.join(amount=1000)
        first.amount = 500
        euro.status, euro.ended_at = Status.CANCELED, now()
        story.recount(euro)
        story.run()


JANUARY, FEBRUARY = (Period(day, day) for day in (date(2031, 1, 1), date(2031, 2, 1)))


def test_a_statement_is_the_same_by_hand(session: Session) -> None:
    past(session)
    movements = read_movements(session, "GBP", date(2031, 3, 1))
    pounds = movements.statement(FEBRUARY, "GBP")
    assert (pounds.opening, pounds.closing, pounds.payers) == (1000, 1500, 2)
    assert {kind: amount for kind, amount in pounds.moved.items() if amount} == {
        Movement.NEW: 1000,
        Movement.CONTRACTION: -500,
    }
    assert (pounds.per_member, pounds.quick) == (750, 2)
    assert read_kept(session, movements, FEBRUARY, "GBP") == (0.5, 0.5)
    assert read_kept(session, movements, JANUARY, "GBP") == (None, None)
    assert movements.without_rate == ["EUR"]
    assert movements.statement(JANUARY, "EUR").closing == 1000
    assert movements.statement(Period(JANUARY.first, FEBRUARY.last), "EUR").closing == 0


def test_the_total_says_what_exchange_rates_change(database: Database) -> None:
    """€10 are £8 in January; in February £9, when they leave: £1 by the rate, £9 by leaving."""
    email = hire(database)
    with database.transaction() as session:
        past(session)
        for day, rate in ((date(2031, 1, 2), "0.8"), (date(2031, 2, 2), "0.9")):
            staff_id = select(Staff.id).where(Staff.email == email).scalar_subquery()
            session.execute(
                insert(ExchangeRate).values(
                    currency="EUR",
                    own="GBP",
                    day=day,
                    rate=rate,
                    entered_at=now(),
                    staff_id=staff_id,
                )
            )
        movements = read_movements(session, "GBP", date(2031, 3, 1))
        both = movements.statement(Period(JANUARY.first, FEBRUARY.last))
    assert (both.opening, both.closing) == (0, 1500)
    assert both.moved[Movement.EXCHANGE] == 100
    assert both.moved[Movement.CHURN] == -900
    assert both.opening + sum(both.moved.values()) == both.closing


def test_the_value_of_three_years_is_known_once_somebody_was_here_so_long() -> None:
    old, young = (Group("", Curve(90, (0.5,) * count)) for count in (37, 10))
    assert expected_periods([old]) == 1 + 35 * 0.5
    assert expected_periods([old, young]) is None
    assert expected_periods([]) is None


def test_the_page_adds_up_and_leads_to_the_people(staff: FlaskClient, database: Database) -> None:
    assert "movements" not in names(read(staff, "/staff/income"))
    with database.transaction() as session:
        story = Story(session)
        stays, leaves = story.join(amount=1000), story.join(amount=500)
        story.run()
        stays.amount, leaves.status, leaves.ended_at = 1500, Status.CANCELED, now()
        story.recount(leaves)
        daily.refresh(session, LONDON, GRACE)
    this = f"{now().astimezone(LONDON):%Y-%m}"
    page = read(staff, f"/staff/income?from={this}&to={this}")
    for key, amount in (("opening", "0.00"), ("closing", "15.00"), ("churn", "5.00")):
        row = page.select_one(f"[data-test=movements] [data-key={key}] td")
        assert row
        assert amount in row.get_text(), key
    for kind, people in (("new", 2), ("expansion", 1), ("churn", 1)):
        link = page.select_one(f"[data-test=movements] [data-key={kind}] a")
        assert link, kind
        found = read(staff, str(link["href"]))
        assert len(found.select("#results tbody tr")) == people, kind
    assert page.select("[data-test=ratios] details")
    assert "15.00" in shown(page, "contents")


def test_each_month_and_each_currency_has_its_row(staff: FlaskClient, database: Database) -> None:
    before = now() - timedelta(days=40)
    with database.transaction() as session:
        story = Story(session)
        story.join(amount=1000)
        story.join(amount=500, currency="EUR")
        daily.refresh(session, LONDON, GRACE)
        earlier = before.astimezone(LONDON).date().replace(day=1)
        session.execute(update(MrrSum).where(MrrSum.currency == "GBP").values(month=earlier))
    first, last = (f"{day.astimezone(LONDON):%Y-%m}" for day in (before, now()))
    page = read(staff, f"/staff/income?from={first}&to={last}")
    months = [str(row["data-month"]) for row in page.select("[data-test=months] tbody tr")]
    assert months[:: len(months) - 1] == [last, first]
    rows = page.select("[data-test=by-currency] tbody tr")
    assert [row.th.get_text() for row in rows if row.th] == ["EUR", "GBP"]


@pytest.mark.parametrize(
    "query", ["from=nonsense", "from=2026-13", "to=0001-01", "against=never", "currency=XXX"]
)
def test_a_period_that_makes_no_sense_is_explained(
    staff: FlaskClient, database: Database, query: str
) -> None:
    with database.transaction() as session:
        Story(session).join()
        daily.refresh(session, LONDON, GRACE)
    assert "wrong-period" in names(read(staff, f"/staff/income?{query}", status=422))


def test_periods_are_compared_with_as_many_months_before_or_the_same_a_year_ago() -> None:
    quarter = {"from": "2026-01", "to": "2026-03"}
    choice = read_choice(quarter, date(2024, 5, 1), date(2026, 12, 1))
    assert choice.compared == Period(date(2025, 10, 1), date(2025, 12, 1))
    choice = read_choice(quarter | {"against": "year"}, date(2024, 5, 1), date(2026, 12, 1))
    assert choice.compared == Period(date(2025, 1, 1), date(2025, 3, 1))
    assert choice.period.end == date(2026, 3, 31)
    usual = read_choice({}, date(2024, 5, 1), date(2026, 12, 1))
    assert usual.period == Period(date(2026, 11, 1), date(2026, 11, 1))
    assert read_choice({}, None, date(2026, 12, 1)).period.first == date(2026, 12, 1)
