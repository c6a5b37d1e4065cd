"""The consistency check: balance, ledger, and people counted by the rule must match.

PostgreSQL counts with the rule in SQL: a million members take seconds and constant memory. The
ledger was written with the rule in Python, so each check compares both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Integer, and_, case, cast, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from fundraiser.db import now
from fundraiser.members.counting import verdicts_of_people
from fundraiser.members.eligibility import counted_until
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Drift, DriftKind, LedgerEntry, Member, Membership

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Row, Select, Subquery
    from sqlalchemy.orm import Session

log = structlog.get_logger()

_MOST_NOTED = 1000  # people of a kind: with more, something else is wrong
_OURS = (DriftKind.BALANCE, DriftKind.LEDGER, DriftKind.RULE)


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference that the check found, with the person if it concerns one."""

    kind: DriftKind
    member_id: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class ConsistencyCheck:
    """The result of a check: the number from three sources, and the differences.

    ``due`` counts people whose status has just changed with time and whom the scheduled recount
    hasn't reached; the check uses the ledger's answer for them.
    """

    balance: int
    ledger_sum: int
    counting: int
    due: int
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        return not self.findings


def check_consistency(session: Session, grace: timedelta) -> ConsistencyCheck:
    """Compare all sources at one moment; the transaction must not have read anything before.

    Lists at most 1,000 people of each kind; one more finding gives the total.
    """
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    ledger_sum = session.scalar(select(func.coalesce(func.sum(LedgerEntry.change), 0))) or 0
    balance = read_balance(session).members
    at = now()
    counting, due, differing = session.execute(_count_by_the_rule(at, grace)).one()
    findings = [*_people_not_as_their_rows(session)]
    if differing:
        findings += _people_not_as_the_rule(session, at, grace, differing)
    if not balance == ledger_sum == counting:
        detail = (
            f"The balance is {balance}, the ledger's rows add up to {ledger_sum}, "
            f"and {counting} people count by the rule."
        )
        findings.append(Finding(DriftKind.BALANCE, None, detail))
    return ConsistencyCheck(balance, ledger_sum, counting, due, tuple(findings))


def write_drift(session: Session, check: ConsistencyCheck) -> None:
    """Store new differences for staff to see, and mark those that are gone."""
    kept = [note_drift(session, found) for found in check.findings]
    session.execute(
        update(Drift)
        .where(Drift.kind.in_(_OURS), Drift.gone_at.is_(None), Drift.id.not_in(kept))
        .values(gone_at=now())
    )


def note_drift(session: Session, found: Finding, customer_id: str | None = None) -> int:
    """Store one difference and log it; returns the row's ID."""
    log.error(
        "drift", kind=found.kind, member=found.member_id, customer=customer_id, detail=found.detail
    )
    statement = insert(Drift).values(
        kind=found.kind,
        member_id=found.member_id,
        customer_id=customer_id,
        detail=found.detail,
        since=now(),
    )
    return session.scalars(
        statement.on_conflict_do_update(
            index_elements=[Drift.kind, Drift.member_id, Drift.customer_id],
            index_where=Drift.gone_at.is_(None),
            set_={"detail": statement.excluded.detail},
        ).returning(Drift.id)
    ).one()


def count_drift(session: Session) -> dict[DriftKind, int]:
    """The number of open differences, by kind."""
    rows = session.execute(
        select(Drift.kind, func.count()).where(Drift.gone_at.is_(None)).group_by(Drift.kind)
    )
    return dict.fromkeys(DriftKind, 0) | dict(rows.all())


def read_drift(session: Session, most: int | None = None) -> Sequence[Row[Drift, Member | None]]:
    """The open differences, oldest first, each with its person."""
    return session.execute(
        select(Drift, Member)
        .outerjoin(Member, Member.id == Drift.member_id)
        .where(Drift.gone_at.is_(None))
        .order_by(Drift.since, Drift.id)
        .limit(most)
    ).all()


def _people_not_as_their_rows(session: Session) -> list[Finding]:
    """Find people whose own row differs from their ledger rows."""
    rows = (
        select(
            LedgerEntry.member_id,
            func.sum(LedgerEntry.change).label("change"),
            func.count().label("sequence"),
        )
        .group_by(LedgerEntry.member_id)
        .subquery()
    )
    change, sequence = func.coalesce(rows.c.change, 0), func.coalesce(rows.c.sequence, 0)
    found = session.execute(
        select(Member.id, Member.counting, Member.sequence, change, sequence, func.count().over())
        .outerjoin(rows, rows.c.member_id == Member.id)
        .where((cast(Member.counting, Integer) != change) | (Member.sequence != sequence))
        .order_by(Member.id)
        .limit(_MOST_NOTED)
    ).all()
    findings = [
        Finding(
            DriftKind.LEDGER,
            member_id,
            f"The person's row says {_word(counts=counting)} after {sequence} entries; "
            f"the ledger has {count} rows that add up to {total}.",
        )
        for member_id, counting, sequence, total, count, _all in found
    ]
    return findings + (_unnamed(DriftKind.LEDGER, found[0][-1]) if found else [])


def _by_the_rule(at: datetime, grace: timedelta) -> Subquery:
    """SQL: each person with the ledger's answer and the rule's answer.

    ``is_due``: they differ only because time has passed, and the scheduled recount will fix it.
    """
    until = (
        select(Membership.member_id, func.max(counted_until(grace)).label("until"))
        .group_by(Membership.member_id)
        .subquery()
    )
    counts = func.coalesce(until.c.until > at, literal(value=False))
    is_due = func.coalesce(Member.recount_at <= at, literal(value=False))
    return (
        select(
            Member.id,
            Member.counting,
            counts.label("counts"),
            (counts != Member.counting).label("differs"),
            is_due.label("is_due"),
        )
        .outerjoin(until, until.c.member_id == Member.id)
        .subquery()
    )


def _count_by_the_rule(at: datetime, grace: timedelta) -> Select[int, int, int]:
    """Count people counted by the rule, people due for a recount, and people who differ."""
    one = _by_the_rule(at, grace).c
    as_the_ledger = and_(one.differs, one.is_due)
    return select(
        func.count().filter(case((as_the_ledger, one.counting), else_=one.counts)),
        func.count().filter(as_the_ledger),
        func.count().filter(one.differs, ~one.is_due),
    )


def _people_not_as_the_rule(
    session: Session, at: datetime, grace: timedelta, differing: int
) -> list[Finding]:
    """Find people whom the ledger counts and the rule doesn't, or the other way round."""
    one = _by_the_rule(at, grace).c
    found = session.execute(
        select(one.id, one.counting, one.counts)
        .where(one.differs, ~one.is_due)
        .order_by(one.id)
        .limit(_MOST_NOTED)
    ).all()
    verdicts = verdicts_of_people(session, [row.id for row in found], at, grace)
    findings = []
    for member_id, counting, counts in found:
        verdict = verdicts[member_id]
        detail = (
            f"By the rule this person {_word(counts=counts)} ({verdict.reason}); "
            f"the ledger says {_word(counts=counting)}."
        )
        if verdict.counts != counts:
            detail += f" In Python the rule says that the person {_word(counts=verdict.counts)}."
        findings.append(Finding(DriftKind.RULE, member_id, detail))
    return findings + _unnamed(DriftKind.RULE, differing)


def _unnamed(kind: DriftKind, differing: int) -> list[Finding]:
    if differing <= _MOST_NOTED:
        return []
    detail = f"{differing} people differ; the first {_MOST_NOTED} of them are named."
    return [Finding(kind, None, detail)]


def _word(*, counts: bool) -> str:
    return "counts" if counts else "does not count"
