"""The rule in Python and the rule in SQL give one answer, whatever the membership is like."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings as profile, strategies as st
from sqlalchemy import case, func, insert, select

from fundraiser.members import eligibility
from fundraiser.members.eligibility import (
    Reason,
    counted_until,
    counts_at,
    person_counts,
    verdicts_of,
)
from fundraiser.members.models import Dues, Member, Membership, Source, Status
from tests.factories import GRACE, NOON

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Table
    from sqlalchemy.orm import Session

    from fundraiser.members.eligibility import Verdict

MEMBER, MEMBERSHIP = (cast("Table", model.__table__) for model in (Member, Membership))
SECOND = timedelta(seconds=1)

# Noon is now. Each time lies on an edge of the rule, or a second to one side of it.
EDGES = (timedelta(), -GRACE, GRACE, timedelta(days=-40), timedelta(days=40))
TIMES = [NOON + edge + side * SECOND for edge in EDGES for side in (-1, 0, 1)]


def sometimes(*, one_in: int) -> st.SearchStrategy[datetime | None]:
    """A time in one of so many memberships, nothing in the others."""
    return st.sampled_from([*[None] * (one_in - 1) * len(TIMES), *TIMES])


# Mostly such as count: what is one step away from counting tells most.
memberships = st.fixed_dictionaries(
    {
        "source": st.sampled_from([*[Source.STRIPE] * 6, *Source]),
        "status": st.sampled_from([*[Status.ACTIVE] * 4, *[Status.TRIALING] * 4, *Status]),
        "payment_status": st.sampled_from(
            [
                *[Dues.PAID, Dues.OVERDUE] * 2,
                *Dues,
            ]
        ),
        "amount": st.sampled_from([1000, 1000, 1000, 0]),
        "price": st.sampled_from([None, None, 1000, 1000, 0]),
        "collection_paused": st.sampled_from([False, False, False, True]),
        "has_paid": st.sampled_from([False, False, True]),
        "started_at": st.sampled_from(TIMES),
        "paid_at": sometimes(one_in=2),
        "paid_until": sometimes(one_in=2),
        "grace_from": sometimes(one_in=2),
        "free_until": sometimes(one_in=2),
        "counts_until": sometimes(one_in=2),
        "cancel_at": sometimes(one_in=4),
        "refunded_at": sometimes(one_in=10),
        "disputed_at": sometimes(one_in=10),
        "moved_at": sometimes(one_in=10),
        "ended_at": sometimes(one_in=10),
    }
)
people = st.lists(st.lists(memberships, min_size=1, max_size=3), min_size=6, max_size=12)

examples = profile(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    # A failure names the membership itself; to make it smaller would take minutes.
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@examples
@given(people=people)
def test_the_rule_says_the_same_in_python_and_in_sql(
    session: Session, people: list[list[dict[str, Any]]]
) -> None:
    compare(session, people)


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        (Reason.IN_GRACE, lambda verdict: replace(verdict, until=verdict.until + SECOND)),
        (Reason.COLLECTION_PAUSED, lambda verdict: replace(verdict, counts=True)),
    ],
)
def test_a_rule_that_is_changed_on_one_side_alone_is_found(
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    reason: Reason,
    changed: Callable[[Verdict], Verdict],
) -> None:
    """The negative control: grace for a second longer, and no notice taken of a pause."""
    as_it_is = eligibility.membership_counts

    def otherwise(*what: Any) -> Verdict:
        verdict = as_it_is(*what)
        return changed(verdict) if verdict.reason is reason else verdict

    monkeypatch.setattr(eligibility, "membership_counts", otherwise)

    @examples
    @given(people=people)
    def compare_all(people: list[list[dict[str, Any]]]) -> None:
        compare(session, people)

    with pytest.raises(AssertionError):
        compare_all()


def compare(session: Session, people: list[list[dict[str, Any]]]) -> None:
    """Ask both sides of each membership and of each person, whether it counts and until when."""
    by_person = write(session, people)
    until, persons_until = counted_until(GRACE), func.max(counted_until(GRACE))
    memberships_in_sql = session.execute(
        select(Membership.id, counts_at(NOON, GRACE).label("counts"), finite(until).label("until"))
    )
    people_in_sql = session.execute(
        select(
            Membership.member_id,
            (persons_until > NOON).label("counts"),
            finite(persons_until).label("until"),
        ).group_by(Membership.member_id)
    )
    answers = {row.id: answer(row) for row in memberships_in_sql}
    of_people = {row.member_id: answer(row) for row in people_in_sql}
    session.rollback()
    for person, whole in by_person.items():
        for one, verdict in zip(whole, verdicts_of(whole, NOON, GRACE), strict=True):
            assert answer(verdict) == answers[one.id], facts(one)
        assert answer(person_counts(whole, NOON, GRACE)) == of_people[person], list(
            map(facts, whole)
        )


def write(session: Session, people: list[list[dict[str, Any]]]) -> dict[int, list[Membership]]:
    """Insert them all at once; returns each person's memberships as they were read back."""
    new = {"email": None, "language": "en", "counting": False, "sequence": 0, "created_at": NOON}
    ids = session.scalars(insert(MEMBER).returning(Member.id), [new for _ in people]).all()
    numbers = count()
    rows = [
        {"reference": f"{next(numbers)}", "currency": "GBP", "member_id": member_id, **values}
        for member_id, whole in zip(ids, people, strict=True)
        for values in whole
    ]
    session.execute(insert(MEMBERSHIP), rows)
    found: dict[int, list[Membership]] = {member_id: [] for member_id in ids}
    for one in session.scalars(select(Membership).order_by(Membership.started_at)):
        found[one.member_id].append(one)
    session.expunge_all()
    return found


def finite(until: Any) -> Any:
    """None for what has no end or never began: Python has no time for either."""
    return case((func.isfinite(until), until))


def answer(found: Verdict | Any) -> tuple[bool, datetime | None]:
    """Whether it counts, and until when."""
    return found.counts, found.until if found.counts else None


def facts(one: Membership) -> dict[str, Any]:
    """What is known of it, for the report of a failure."""
    return {name: value for name, value in vars(one).items() if value not in (None, False)}
