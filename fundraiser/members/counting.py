"""Counting people: the rule is applied to a person, and the ledger told of a new answer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from sqlalchemy import String, bindparam, select

from fundraiser.db import now, put
from fundraiser.members import ledger
from fundraiser.members.models import Cause, LedgerEntry, Member, Membership, fold_address
from fundraiser.members.rule import RULE, person_counts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from sqlalchemy.orm import Session

    from fundraiser.members.rule import Verdict

_AT_ONCE = 200
_LOOKED_AT = 2000
_PERSON = (
    select(Member)
    .where(Member.address == bindparam("address", type_=String))
    .with_for_update()
    .execution_options(populate_existing=True)
)
_MEMBERSHIPS = (
    select(Membership)
    .where(Membership.member_id == bindparam("member_id"))
    .order_by(Membership.started_at)
    .execution_options(populate_existing=True)
)


def find_or_add_person(session: Session, email: str, *, language: str) -> Member:
    """The person of this address in any case, locked until the transaction ends."""
    row = {
        "email": email,
        "address": fold_address(email),
        "language": language,
        "created_at": now(),
        "counting": False,
        "turns": 0,
    }
    put(session, Member, row)
    return session.scalars(_PERSON, {"address": row["address"]}).one()


def recount(
    session: Session,
    member: Member,
    grace: timedelta,
    *,
    cause: Cause,
    cause_ref: str | None = None,
    began: datetime | None = None,
) -> LedgerEntry | None:
    """Apply the rule to a person whose row is locked; returns the ledger's row if one was due.

    ``began`` is when the person started to count, where the newest payment is not when.
    """
    session.flush()
    # What was loaded before a settlement wrote to the table says what was true then.
    memberships = session.scalars(_MEMBERSHIPS, {"member_id": member.id}).all()
    at = now()
    verdict = person_counts(memberships, at, grace)
    member.recount_at = verdict.until
    if verdict.counts == member.counting:
        return None
    happened_at = (began if verdict.counts else None) or verdict.since or at
    if verdict.counts and member.turns:
        # What was paid before they left is not when they came back: a dispute was won, or a rule
        # was changed.
        left_at = ledger.left_at(session, member)
        happened_at = happened_at if happened_at > left_at else at
    return ledger.append(
        session,
        member,
        cause=cause,
        cause_ref=cause_ref,
        reason=verdict.reason,
        happened_at=happened_at,
    )


@dataclass(frozen=True, slots=True)
class PersonVerdict:
    """What the rule says of one person, beside what the ledger says."""

    member_id: int
    counting: bool
    recount_at: datetime | None
    verdict: Verdict


def verdicts_of_all(
    session: Session, at: datetime, grace: timedelta, *, after: int = 0
) -> Iterator[list[PersonVerdict]]:
    """Apply the rule to everybody, in the order of their ids, some thousands at a time."""
    while members := session.execute(
        select(Member.id, Member.counting, Member.recount_at)
        .where(Member.id > after)
        .order_by(Member.id)
        .limit(_LOOKED_AT)
    ).all():
        memberships = _memberships_of(session, after, members[-1].id)
        yield [
            PersonVerdict(*member, person_counts(memberships.get(member.id, []), at, grace))
            for member in members
        ]
        after = members[-1].id


def _memberships_of(session: Session, after: int, last: int) -> dict[int, list[Membership]]:
    """The memberships of a range of people, in the order in which the rule reads them."""
    rows = session.scalars(
        select(Membership)
        .where(Membership.member_id > after, Membership.member_id <= last)
        .order_by(Membership.member_id, Membership.started_at)
    )
    found = {
        member_id: list(group) for member_id, group in groupby(rows, lambda row: row.member_id)
    }
    session.expunge_all()  # a million people pass through in constant memory
    return found


def apply_rule(session: Session, grace: timedelta, after: int) -> int | None:
    """Count the next people behind this id by the rule as it is now, with the cause ``rule``.

    Returns the last id that was looked at, None after the last of all. It can be called again from
    the beginning at any time: nobody is counted who agrees already.
    """
    people = next(verdicts_of_all(session, now(), grace, after=after), None)
    if people is None:
        return None
    differing = [
        one.member_id
        for one in people
        if (one.verdict.counts, one.verdict.until) != (one.counting, one.recount_at)
    ]
    members = session.scalars(
        select(Member).where(Member.id.in_(differing)).order_by(Member.id).with_for_update()
    ).all()
    for member in members:
        recount(session, member, grace, cause=Cause.RULE, cause_ref=RULE)
    return people[-1].member_id


def recount_due(session: Session, grace: timedelta) -> int:
    """Count again whom time alone may have changed; returns how many were looked at.

    At most 200, so that each transaction stays short: call until it returns 0.
    """
    due = session.scalars(
        select(Member)
        .where(Member.recount_at <= now())
        .order_by(Member.recount_at)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    for member in due:
        recount(session, member, grace, cause=Cause.CLOCK)
    return len(due)
