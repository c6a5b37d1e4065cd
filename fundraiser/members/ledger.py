"""The ledger: one row each time a person starts or stops counting; its balance is the number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from fundraiser.db import now
from fundraiser.members.models import Cause, LedgerEntry, LedgerHead
from fundraiser.members.rule import RULE

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member

_HEAD = select(LedgerHead).with_for_update().execution_options(populate_existing=True)


@dataclass(frozen=True, slots=True)
class Balance:
    """The number, its version, and when it last changed."""

    members: int
    version: int
    changed_at: datetime


def read_balance(session: Session) -> Balance:
    """The public number: one row read, whatever the size."""
    head = session.execute(
        select(LedgerHead.balance, LedgerHead.version, LedgerHead.changed_at)
    ).one()
    return Balance(head.balance, head.version, head.changed_at)


def balance_at(session: Session, at: datetime) -> int:
    """The balance as it stood recorded just before that time."""
    return (
        session.scalar(
            select(LedgerEntry.balance)
            .where(LedgerEntry.recorded_at < at)
            .order_by(LedgerEntry.recorded_at.desc(), LedgerEntry.version.desc())
            .limit(1)
        )
        or 0
    )


def changed_before(session: Session, at: datetime) -> datetime | None:
    """When the balance last changed before that time; None if it had not."""
    return session.scalar(
        select(LedgerEntry.recorded_at)
        .where(LedgerEntry.recorded_at < at)
        .order_by(LedgerEntry.recorded_at.desc())
        .limit(1)
    )


def joined_since(session: Session, at: datetime) -> int:
    """How often a person started to count since then; who has stopped again is included."""
    return (
        session.scalar(
            select(func.count()).where(LedgerEntry.recorded_at >= at, LedgerEntry.change == 1)
        )
        or 0
    )


def left_at(session: Session, member: Member) -> datetime:
    """When a person who has been counted before stopped last."""
    return session.scalars(
        select(LedgerEntry.happened_at).where(
            LedgerEntry.member_id == member.id, LedgerEntry.turn == member.turns
        )
    ).one()


def append(
    session: Session,
    member: Member,
    *,
    cause: Cause,
    cause_ref: str | None,
    reason: str,
    happened_at: datetime,
) -> LedgerEntry:
    """Turn the person from counting to not counting or back.

    The head's lock is the one place where all workers meet: call this as the last thing before the
    commit. Whoever counts for the first time gets a member's number here.
    """
    session.flush()
    head = session.scalars(_HEAD).one()
    recorded_at = max(now(), head.changed_at)
    member.turns += 1
    change = 1 if member.turns % 2 else -1
    head.version += 1
    head.balance += change
    head.changed_at = recorded_at
    member.counting = change > 0
    if member.number is None:
        head.numbers_given += 1
        member.number = head.numbers_given
        member.first_counted_at = happened_at
    entry = LedgerEntry(
        version=head.version,
        member_id=member.id,
        turn=member.turns,
        change=change,
        balance=head.balance,
        cause=cause,
        cause_ref=cause_ref,
        reason=reason,
        rule=RULE,
        happened_at=min(happened_at, recorded_at),
        recorded_at=recorded_at,
    )
    session.add(entry)
    return entry
