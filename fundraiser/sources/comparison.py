"""Compare each source with its latest list; reports differences and corrects nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, or_, select

from fundraiser.db import now
from fundraiser.members.models import Membership, Source, Status
from fundraiser.sources.models import (
    BatchState,
    Decision,
    ExternalSource,
    ImportBatch,
    ImportRow,
    Outcome,
)
from fundraiser.sources.planning import rule_of_rows

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

_MOST_NAMED = 20
_TAKEN_IN = (Outcome.NEW, Outcome.RENEWED, Outcome.UNCHANGED, Outcome.JOINED)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A source and its latest list: ``listed`` are counted by the list, ``differing`` don't match.

    ``named`` are the first differences, by row number and member number.
    """

    label: str
    batch_id: int
    list_at: datetime | None
    listed: int
    differing: int
    named: list[tuple[int, int | None]]


def compare_sources(session: Session, grace: timedelta) -> list[Comparison]:
    """The comparison of each source whose list we still have, by name."""
    newest = (
        select(ImportBatch.source, func.max(ImportBatch.id).label("batch_id"))
        .where(
            ImportBatch.state == BatchState.APPLIED,
            ImportBatch.hash != "",
            select(ImportRow.id).where(ImportRow.batch_id == ImportBatch.id).exists(),
        )
        .group_by(ImportBatch.source)
        .subquery()
    )
    rows = session.execute(
        select(ExternalSource, ImportBatch)
        .join(newest, newest.c.source == ExternalSource.name)
        .join(ImportBatch, ImportBatch.id == newest.c.batch_id)
        .order_by(ExternalSource.name)
    ).all()
    return [_compare(session, source, batch, grace) for source, batch in rows]


def _compare(
    session: Session, source: ExternalSource, batch: ImportBatch, grace: timedelta
) -> Comparison:
    listed = session.scalar(
        select(func.count()).where(_taken_in(batch), rule_of_rows(now(), grace))
    )
    differs = or_(
        Membership.id.is_(None),
        Membership.status != Status.ACTIVE,
        Membership.counts_until.is_distinct_from(ImportRow.counts_until),
        Membership.cancel_at.is_distinct_from(ImportRow.cancel_at),
        Membership.refunded_at.is_distinct_from(ImportRow.refunded_at),
    )
    found = session.execute(
        select(ImportRow.number, ImportRow.member_id, func.count().over())
        .outerjoin(
            Membership,
            and_(Membership.source == Source.IMPORT, Membership.reference == ImportRow.key),
        )
        .where(_taken_in(batch), differs)
        .order_by(ImportRow.number)
        .limit(_MOST_NAMED)
    ).all()
    return Comparison(
        source.label,
        batch.id,
        batch.list_at,
        listed or 0,
        found[0][2] if found else 0,
        [(number, member_id) for number, member_id, _count in found],
    )


def _taken_in(batch: ImportBatch) -> ColumnElement[bool]:
    return and_(
        ImportRow.batch_id == batch.id,
        or_(
            ImportRow.outcome.in_(_TAKEN_IN),
            and_(ImportRow.outcome == Outcome.HELD, ImportRow.decision == Decision.COUNT),
        ),
    )
