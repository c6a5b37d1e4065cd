"""Apply a planned file, some hundred rows a transaction.

Progress is stored in the same transaction as the rows, under a lock on the batch: killed at any
point, it continues with the next row and repeats nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from fundraiser.campaigns.milestones import pass_silently
from fundraiser.db import now
from fundraiser.members.bulk import recount_in_bulk
from fundraiser.members.models import UNKNOWN_AMOUNT, Cause
from fundraiser.sources import statements
from fundraiser.sources.models import (
    CHANGES,
    BatchState,
    Decision,
    ExternalSource,
    ImportBatch,
    ImportRow,
    Outcome,
)
from fundraiser.texts import language

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sqlalchemy.orm import Session

AT_ONCE = 2000


def apply_some(session: Session, batch_id: int, grace: timedelta) -> bool:
    """Apply the next rows; False if nothing is left, or another process is applying."""
    batch = session.scalars(
        select(ImportBatch)
        .where(ImportBatch.id == batch_id, ImportBatch.state == BatchState.APPLYING)
        .with_for_update(skip_locked=True)
    ).first()
    if batch is None:
        return False
    rows = session.execute(
        select(ImportRow.id, ImportRow.number)
        .where(
            ImportRow.batch_id == batch.id,
            ImportRow.outcome.in_(CHANGES),
            ImportRow.number > batch.progress,
        )
        .order_by(ImportRow.number)
        .limit(AT_ONCE)
    ).all()
    if not rows:
        _finish(session, batch)
        return False
    apply_rows(session, batch, [row.id for row in rows], grace)
    batch.progress = rows[-1].number
    batch.done += len(rows)
    return True


def _finish(session: Session, batch: ImportBatch) -> None:
    batch.state, batch.applied_at = BatchState.APPLIED, now()
    source = session.get_one(ExternalSource, batch.source, with_for_update=True)
    source.list_at = max(filter(None, (source.list_at, batch.list_at)), default=batch.applied_at)
    source.options = {
        name: batch.options.get(name)
        for name in (
            "encoding",
            "delimiter",
            "date_order",
            "decimal",
            "columns",
            "annual",
            "currency",
            "prices",
        )
    }


def apply_rows(session: Session, batch: ImportBatch, ids: Sequence[int], grace: timedelta) -> None:
    """Apply these rows in the caller's transaction, which has locked the batch."""
    session.flush()
    values = {"rows": list(ids), "source": batch.source, "at": now(), "language": language()}
    values["list_at"] = batch.list_at or values["at"]
    for statement in (
        "DROP TABLE IF EXISTS pg_temp.taken",
        statements.TAKE_ROWS,
        "ANALYZE taken",
        statements.FIND_MERGED,
        statements.ADD_PEOPLE,
        statements.ADD_NAMELESS,
        statements.FIND_PEOPLE,
    ):
        session.execute(text(statement), values)
    while True:
        session.execute(text(statements.LOCK_PEOPLE), values)
        # Of somebody who was merged meanwhile, or moved by staff, it stays theirs.
        if not session.execute(text(statements.FOLLOW), values).all():
            break
    for statement in (
        statements.REMEMBER,
        statements.CHANGE,
        statements.CHANGE_GIVEN,
        statements.END,
        statements.END_ABSENT,
        statements.ADD_MEMBERSHIPS,
        statements.GIVE_MEMBERSHIPS,
        statements.FINISH_ROWS,
    ):
        session.execute(text(statement), values)
    session.expire_all()
    rows = session.execute(text(statements.WHOSE), values).all()
    recount_in_bulk(
        session,
        {member_id: name_of(batch, number) for member_id, number in rows},
        grace,
        cause=Cause.IMPORT,
    )
    batch.peaks = pass_silently(session) | batch.peaks


def name_of(batch: ImportBatch, number: int) -> str:
    """A row's reference in the ledger."""
    return f"{batch.source}, batch {batch.id}, row {number}"


def decide(
    session: Session,
    row_id: int,
    decision: Decision,
    grace: timedelta,
    *,
    staff_id: int | None,
    until: datetime | None = None,
) -> bool:
    """Resolve a row as staff decide; False if it was already resolved or undone."""
    row = session.get_one(ImportRow, row_id)
    batch = session.get_one(ImportBatch, row.batch_id, with_for_update=True)
    session.refresh(row, with_for_update=True)
    if batch.state is not BatchState.APPLIED or row.outcome is not Outcome.HELD or row.decision:
        return False
    if decision is Decision.COUNT and (row.counts_until or until) is None:
        return False
    row.decision, row.decided_by, row.decided_at = decision, staff_id, now()
    if decision is Decision.COUNT:
        row.key = row.key or f"{batch.source}:row-{row.id}"
        row.counts_until = until or row.counts_until
        row.amount = row.amount or UNKNOWN_AMOUNT
        row.currency = row.currency or batch.options.get("currency") or "USD"
        apply_rows(session, batch, [row.id], grace)
    return True


def waiting(session: Session, batch_id: int) -> int:
    """How many rows of a file still need a decision."""
    return (
        session.scalar(
            select(func.count()).where(
                ImportRow.batch_id == batch_id,
                ImportRow.outcome == Outcome.HELD,
                ImportRow.decision.is_(None),
            )
        )
        or 0
    )
