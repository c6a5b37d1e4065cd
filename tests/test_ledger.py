"""The ledger: append only, a balance that is right under any number of hands."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from fundraiser.db import now
from fundraiser.members.counting import recount, recount_due
from fundraiser.members.ledger import append, balance_at, read_balance
from fundraiser.members.models import Cause, LedgerEntry, LedgerHead, Member, Status
from tests.factories import GRACE, make_member, make_membership

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.db import Database


def turn(session: Session, member: Member) -> LedgerEntry:
    return append(
        session,
        member,
        cause=Cause.STRIPE,
        cause_ref="evt_1",
        reason="paid",
        happened_at=now(),
    )


def test_a_person_who_starts_and_stops_leaves_two_rows_and_the_balance_where_it_was(
    session: Session,
) -> None:
    member = make_member(session)
    assert (turn(session, member).change, read_balance(session).members) == (1, 1)
    assert (turn(session, member).change, read_balance(session).members) == (-1, 0)
    assert read_balance(session).version == 2


def test_a_members_number_is_given_once_and_never_again(session: Session) -> None:
    first, second = make_member(session), make_member(session)
    turn(session, first)
    turn(session, first)
    turn(session, second)
    turn(session, first)
    assert (first.number, second.number) == (1, 2)


@pytest.mark.parametrize(
    "statement",
    [update(LedgerEntry).values(balance=7), delete(LedgerEntry), text("TRUNCATE ledger")],
)
def test_the_database_refuses_to_change_the_ledger(session: Session, statement: object) -> None:
    turn(session, make_member(session))
    session.flush()
    with pytest.raises(DBAPIError, match="append-only"), session.begin_nested():
        session.execute(statement)  # type: ignore[call-overload]  # three kinds of statement


def test_the_database_refuses_to_count_a_person_twice(session: Session) -> None:
    member = make_member(session)
    turn(session, member)
    session.flush()
    member.sequence = 0
    turn(session, member)
    with pytest.raises(IntegrityError):
        session.flush()
    session.rollback()


def test_recorded_times_never_go_back(session: Session) -> None:
    """Not even where the clock does, as between two machines."""
    ahead = now() + timedelta(minutes=5)
    session.get_one(LedgerHead, 1).changed_at = ahead
    assert turn(session, make_member(session)).recorded_at == ahead


def test_nothing_happens_later_than_it_is_recorded(session: Session) -> None:
    entry = append(
        session,
        make_member(session),
        cause=Cause.STRIPE,
        cause_ref="evt_1",
        reason="paid",
        happened_at=now() + timedelta(days=1),
    )
    assert entry.happened_at == entry.recorded_at <= now()


def test_many_hands_at_once_keep_the_balance_right(database: Database) -> None:
    with database.transaction() as session:
        ids = [make_member(session).id for _ in range(40)]

    def add(some: list[int]) -> None:
        for member_id in some:
            with database.transaction() as own:
                turn(own, own.get_one(Member, member_id))

    hands = [threading.Thread(target=add, args=(ids[n::8],)) for n in range(8)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    with database.transaction() as session:
        balances = session.scalars(select(LedgerEntry.balance).order_by(LedgerEntry.version)).all()
        numbers = session.scalars(select(Member.number).order_by(Member.number)).all()
    assert list(balances) == list(range(1, 41))
    assert list(numbers) == list(range(1, 41))


def test_without_the_heads_lock_the_balance_goes_wrong(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control of the test above: what it guards can fail."""
    unlocked = select(LedgerHead).execution_options(populate_existing=True)
    monkeypatch.setattr("fundraiser.members.ledger._HEAD", unlocked)
    with database.transaction() as session:
        ids = [make_member(session).id for _ in range(2)]
    barrier = threading.Barrier(2)
    failures: list[Exception] = []

    def add(member_id: int) -> None:
        try:
            with database.transaction() as own:
                turn(own, own.get_one(Member, member_id))
                barrier.wait(10)
        except IntegrityError as error:
            failures.append(error)

    hands = [threading.Thread(target=add, args=(member_id,)) for member_id in ids]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    with database.transaction() as session:
        counted = session.scalar(select(func.count()).select_from(LedgerEntry))
    assert failures or counted != 2


def test_time_alone_ends_a_membership_within_a_look(session: Session) -> None:
    member = make_member(session)
    ends = now() + timedelta(days=1)
    membership = make_membership(member, cancel_at=ends)
    session.add(membership)
    recount(session, member, GRACE, cause=Cause.STRIPE)
    assert (member.counting, member.recount_at) == (True, ends)
    assert recount_due(session, GRACE) == 0
    membership.cancel_at = member.recount_at = now() - timedelta(seconds=1)
    assert recount_due(session, GRACE) == 1
    entry = session.scalars(select(LedgerEntry).order_by(LedgerEntry.version.desc())).first()
    assert entry
    assert (entry.change, entry.cause, entry.reason) == (-1, Cause.CLOCK, "ended")
    assert entry.happened_at == membership.cancel_at


def test_counting_again_without_a_change_writes_nothing(session: Session) -> None:
    member = make_member(session)
    session.add(make_membership(member))
    assert recount(session, member, GRACE, cause=Cause.STRIPE)
    assert recount(session, member, GRACE, cause=Cause.STRIPE) is None


def test_the_balance_of_a_past_moment_is_kept(session: Session) -> None:
    before = now()
    member = make_member(session)
    session.add(make_membership(member))
    recount(session, member, GRACE, cause=Cause.STRIPE)
    session.flush()
    assert balance_at(session, before) == 0
    assert balance_at(session, now() + timedelta(seconds=1)) == 1


def test_the_head_can_not_fall_below_nothing(session: Session) -> None:
    with pytest.raises(IntegrityError), session.begin_nested():
        session.execute(update(LedgerHead).values(balance=-1))


def test_a_person_who_never_paid_gets_no_row(session: Session) -> None:
    member = make_member(session)
    session.add(make_membership(member, status=Status.INCOMPLETE))
    assert recount(session, member, GRACE, cause=Cause.STRIPE) is None
    assert member.number is None
