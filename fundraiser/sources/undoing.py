"""Undo a whole file: remove memberships that it added, and restore those it changed.

Ledger rows stay, and new rows record the undo. People whom it added stay without a membership, so
that importing the same file again finds them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, or_, select, text

from fundraiser.campaigns.milestones import take_back
from fundraiser.db import now
from fundraiser.errors import UnprocessableError
from fundraiser.members.bulk import recount_in_bulk
from fundraiser.members.models import Cause
from fundraiser.sources import statements
from fundraiser.sources.applying import AT_ONCE
from fundraiser.sources.models import BatchState, ExternalSource, ImportBatch, ImportRow
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

UNDONE_WITHIN = timedelta(days=90)


def begin_undo(session: Session, batch: ImportBatch) -> None:
    """Have a file undone in the background.

    Raises:
        UnprocessableError: it isn't applied, or a later file of the same source is.
    """
    session.refresh(batch, with_for_update=True)
    if batch.state in {BatchState.UNDOING, BatchState.UNDONE}:
        return
    if batch.state not in {BatchState.APPLIED, BatchState.APPLYING}:
        raise UnprocessableError(_("This file hasn’t been imported, so there’s nothing to undo."))
    if batch.created_at < now() - UNDONE_WITHIN:
        raise UnprocessableError(
            _(
                "This file is more than 90 days old, so it can’t be undone: we no longer "
                "know how things were before it."
            )
        )
    later = session.scalar(
        select(ImportBatch.id)
        .where(
            ImportBatch.source == batch.source,
            ImportBatch.source != "by-hand",  # each of these is about another membership
            ImportBatch.id != batch.id,
            or_(
                ImportBatch.applied_at > (batch.applied_at or now()),
                ImportBatch.state.in_((BatchState.APPLYING, BatchState.UNDOING)),
            ),
            ImportBatch.state.in_((BatchState.APPLIED, BatchState.APPLYING, BatchState.UNDOING)),
        )
        .order_by(ImportBatch.id.desc())
        .limit(1)
    )
    if later is not None:
        raise UnprocessableError(
            _(
                "Import %(later)s from the same source came after this one. Undo that first.",
                later=later,
            )
        )
    batch.state, batch.done = BatchState.UNDOING, 0


def undo_some(session: Session, batch_id: int, grace: timedelta) -> bool:
    """Undo the next rows; False if nothing is left, or another process does it."""
    batch = session.scalars(
        select(ImportBatch)
        .where(ImportBatch.id == batch_id, ImportBatch.state == BatchState.UNDOING)
        .with_for_update(skip_locked=True)
    ).first()
    if batch is None:
        return False
    rows = session.scalars(
        select(ImportRow.id)
        .where(_is_to_undo(batch))
        .order_by(ImportRow.number.desc())
        .limit(AT_ONCE)
    ).all()
    if not rows:
        _finish(session, batch)
        return False
    _undo_rows(session, batch, rows, grace)
    batch.done += len(rows)
    return True


def _is_to_undo(batch: ImportBatch) -> ColumnElement[bool]:
    return (
        (ImportRow.batch_id == batch.id)
        & ImportRow.applied_at.is_not(None)
        & ImportRow.undone_at.is_(None)
    )


def _finish(session: Session, batch: ImportBatch) -> None:
    batch.state, batch.undone_at = BatchState.UNDONE, now()
    take_back(session, batch.peaks)
    source = session.get_one(ExternalSource, batch.source, with_for_update=True)
    source.list_at = session.scalar(
        select(ImportBatch.list_at)
        .where(ImportBatch.source == batch.source, ImportBatch.state == BatchState.APPLIED)
        .order_by(ImportBatch.list_at.desc().nulls_last())
        .limit(1)
    )


def _undo_rows(session: Session, batch: ImportBatch, ids: Sequence[int], grace: timedelta) -> None:
    values = {"rows": list(ids), "at": now()}
    for statement in (
        statements.LOCK_OWNERS,
        statements.TAKE_AWAY,
        statements.PUT_BACK,
        statements.FINISH_UNDOING,
    ):
        session.execute(text(statement), values)
    rows = session.execute(text(statements.WHOSE_WERE), values).all()
    session.expire_all()
    prefix = f"{batch.source}, batch {batch.id}"
    recount_in_bulk(
        session,
        {member_id: f"{prefix} undone, row {number}" for member_id, number in rows},
        grace,
        cause=Cause.IMPORT,
        undone=f"{prefix}, ",
    )
