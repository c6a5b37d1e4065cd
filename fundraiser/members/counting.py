"""Counting people: the rule is applied to a person, and the ledger told of a new answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import String, bindparam, select

from fundraiser.db import now, put
from fundraiser.members import ledger
from fundraiser.members.models import Cause, LedgerEntry, Member, Membership, fold_address
from fundraiser.members.rule import person_counts

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy.orm import Session

_AT_ONCE = 200
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
    return ledger.append(
        session,
        member,
        cause=cause,
        cause_ref=cause_ref,
        reason=verdict.reason,
        happened_at=(began if verdict.counts else None) or verdict.since or at,
    )


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
