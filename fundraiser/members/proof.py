"""The proof: the balance, the ledger's sum, and the people who count by the rule now are one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Integer, cast, func, select, update
from sqlalchemy.dialects.postgresql import insert

from fundraiser.db import now
from fundraiser.members.counting import verdicts_of_all
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Drift, DriftKind, LedgerEntry, Member

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

log = structlog.get_logger()

_MOST_NOTED = 1000  # people of a kind: beyond that, it is not the people who are wrong
_OURS = (DriftKind.BALANCE, DriftKind.LEDGER, DriftKind.RULE)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree, with the person if it is about one."""

    kind: DriftKind
    member_id: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Proof:
    """The number from three sides, and what does not agree.

    Whom time alone has just changed, and the clock's sweep has not reached yet, is in ``due``: such
    a person is taken as the ledger has them.
    """

    balance: int
    ledger_sum: int
    counting: int
    due: int
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        return not self.findings


def prove(session: Session, grace: timedelta) -> Proof:
    """Count from all sides, as of one moment, in a transaction that has read nothing yet."""
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    ledger_sum = session.scalar(select(func.coalesce(func.sum(LedgerEntry.change), 0))) or 0
    balance = read_balance(session).members
    findings = [*_people_not_as_their_rows(session)]
    counting, due, people = _count_by_the_rule(session, now(), grace)
    findings += people
    if not balance == ledger_sum == counting:
        detail = (
            f"The balance is {balance}, the ledger's rows add up to {ledger_sum}, "
            f"and {counting} people count by the rule."
        )
        findings.append(Finding(DriftKind.BALANCE, None, detail))
    return Proof(balance, ledger_sum, counting, due, tuple(findings))


def write_drift(session: Session, proof: Proof) -> None:
    """Keep what does not agree for staff to see, and note what agrees again."""
    kept = [note_drift(session, found) for found in proof.findings[:_MOST_NOTED]]
    session.execute(
        update(Drift)
        .where(Drift.kind.in_(_OURS), Drift.gone_at.is_(None), Drift.id.not_in(kept))
        .values(gone_at=now())
    )


def note_drift(session: Session, found: Finding, customer_id: str | None = None) -> int:
    """Keep one thing that does not agree, and say it in the log; returns the row's id."""
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
    """How much does not agree, by kind."""
    rows = session.execute(
        select(Drift.kind, func.count()).where(Drift.gone_at.is_(None)).group_by(Drift.kind)
    )
    return dict.fromkeys(DriftKind, 0) | dict(rows.all())


def read_drift(session: Session, most: int | None = None) -> Sequence[Row[Drift, Member | None]]:
    """What does not agree, the oldest first, each with its person."""
    return session.execute(
        select(Drift, Member)
        .outerjoin(Member, Member.id == Drift.member_id)
        .where(Drift.gone_at.is_(None))
        .order_by(Drift.since, Drift.id)
        .limit(most)
    ).all()


def _people_not_as_their_rows(session: Session) -> list[Finding]:
    """Whose own row says something else than the ledger's rows of that person."""
    rows = (
        select(
            LedgerEntry.member_id,
            func.sum(LedgerEntry.change).label("change"),
            func.count().label("turns"),
        )
        .group_by(LedgerEntry.member_id)
        .subquery()
    )
    change, turns = func.coalesce(rows.c.change, 0), func.coalesce(rows.c.turns, 0)
    found = session.execute(
        select(Member.id, Member.counting, Member.turns, change, turns)
        .outerjoin(rows, rows.c.member_id == Member.id)
        .where((cast(Member.counting, Integer) != change) | (Member.turns != turns))
        .order_by(Member.id)
    )
    return [
        Finding(
            DriftKind.LEDGER,
            member_id,
            f"The person's row says {_word(counts=counting)} after {turn} turns; "
            f"the ledger has {count} rows that add up to {total}.",
        )
        for member_id, counting, turn, total, count in found
    ]


def _count_by_the_rule(
    session: Session, at: datetime, grace: timedelta
) -> tuple[int, int, list[Finding]]:
    counting, due = 0, 0
    findings: list[Finding] = []
    for people in verdicts_of_all(session, at, grace):
        for one in people:
            counts = one.verdict.counts
            if counts != one.counting:
                if one.recount_at and one.recount_at <= at:
                    due += 1
                    counts = one.counting
                else:
                    detail = (
                        f"By the rule this person {_word(counts=counts)} "
                        f"({one.verdict.reason}); "
                        f"the ledger says {_word(counts=one.counting)}."
                    )
                    findings.append(Finding(DriftKind.RULE, one.member_id, detail))
            counting += counts
    return counting, due, findings


def _word(*, counts: bool) -> str:
    return "counts" if counts else "does not count"
