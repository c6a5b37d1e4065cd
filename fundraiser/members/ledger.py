"""The ledger: one row each time a person starts or stops counting; its balance is the number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select, tuple_

from fundraiser.db import now
from fundraiser.members.eligibility import RULE
from fundraiser.members.models import NOT_READERS, Cause, LedgerEntry, LedgerHead

if TYPE_CHECKING:
    from collections.abc import Iterable
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
    """The public number: reads one row, whatever the size of the ledger."""
    head = session.execute(
        select(LedgerHead.balance, LedgerHead.version, LedgerHead.changed_at)
    ).one()
    return Balance(head.balance, head.version, head.changed_at)


def balance_at(session: Session, at: datetime) -> int:
    """The recorded balance just before this time."""
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
    """When the balance last changed before this time; None if it never had."""
    return session.scalar(
        select(LedgerEntry.recorded_at)
        .where(LedgerEntry.recorded_at < at)
        .order_by(LedgerEntry.recorded_at.desc())
        .limit(1)
    )


def joined_since(session: Session, at: datetime) -> int:
    """How often readers started to count since then, including those who have stopped again.

    Imported people joined elsewhere and earlier, so they are left out.
    """
    by_readers = LedgerEntry.cause.not_in(NOT_READERS)
    return (
        session.scalar(
            select(func.count()).where(
                LedgerEntry.recorded_at >= at, LedgerEntry.change == 1, by_readers
            )
        )
        or 0
    )


def left_at(session: Session, members: Iterable[Member]) -> dict[int, datetime]:
    """When people who were counted last stopped, by person ID."""
    sequence = [(member.id, member.sequence) for member in members]
    if not sequence:
        return {}
    rows = session.execute(
        select(LedgerEntry.member_id, LedgerEntry.happened_at).where(
            tuple_(LedgerEntry.member_id, LedgerEntry.sequence).in_(sequence)
        )
    )
    return dict(rows.all())


def lock_head(session: Session) -> LedgerHead:
    """Lock the ledger's head, which all writers need: do it last, just before the commit."""
    session.flush()
    return session.scalars(_HEAD).one()


def append(
    session: Session,
    member: Member,
    *,
    cause: Cause,
    cause_ref: str | None,
    reason: str,
    happened_at: datetime,
    head: LedgerHead | None = None,
) -> LedgerEntry:
    """Start or stop counting the person, with a new ledger row.

    ``head`` is the result of ``lock_head``, if you append many rows. People get their member number
    here when they first count.
    """
    head = head or lock_head(session)
    recorded_at = max(now(), head.changed_at)
    member.sequence += 1
    change = 1 if member.sequence % 2 else -1
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
        sequence=member.sequence,
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
