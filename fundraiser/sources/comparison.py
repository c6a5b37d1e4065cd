"""Compare each source with its latest list; reports differences and corrects nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased

from fundraiser.db import now
from fundraiser.members.models import Membership, Source, Status
from fundraiser.sources.models import (
    BatchState,
    Decision,
    ExternalSource,
    ImportBatch,
    ImportRow,
    Live,
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
class Difference:
    """A row of a list that says something else than our membership of that person."""

    batch_id: int
    row: int
    member_id: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A source and its latest list: ``listed`` are counted by the list, ``differing`` don't match.

    ``named`` are the first differences, by batch and row number.
    """

    label: str
    list_at: datetime | None
    listed: int
    differing: int
    named: list[Difference]


def compare_sources(session: Session, grace: timedelta) -> list[Comparison]:
    """The comparison of each source whose list we still have, by name."""
    newest = (
        select(ImportBatch)
        .ext(distinct_on(ImportBatch.source))
        .where(
            ImportBatch.state == BatchState.APPLIED,
            ImportBatch.hash != "",
            ImportBatch.live.is_distinct_from(Live.CHANGES),
            select(ImportRow.id).where(ImportRow.batch_id == ImportBatch.id).exists(),
        )
        .order_by(ImportBatch.source, ImportBatch.applied_at.desc())
    )
    return [_compare(session, batch, grace) for batch in session.scalars(newest).all()]


def _compare(session: Session, batch: ImportBatch, grace: timedelta) -> Comparison:
    listed = session.scalar(
        select(func.count()).where(_latest_of(batch), rule_of_rows(now(), grace))
    )
    differs = or_(
        Membership.id.is_(None),
        Membership.status != Status.ACTIVE,
        Membership.counts_until.is_distinct_from(ImportRow.counts_until),
        Membership.cancel_at.is_distinct_from(ImportRow.cancel_at),
        Membership.refunded_at.is_distinct_from(ImportRow.refunded_at),
    )
    found = session.execute(
        select(ImportRow.batch_id, ImportRow.number, ImportRow.member_id, func.count().over())
        .outerjoin(
            Membership,
            and_(Membership.source == Source.IMPORT, Membership.reference == ImportRow.key),
        )
        .where(_latest_of(batch), differs)
        .order_by(ImportRow.batch_id, ImportRow.number)
        .limit(_MOST_NAMED)
    ).all()
    return Comparison(
        session.get_one(ExternalSource, batch.source).label,
        batch.list_at or batch.applied_at,
        listed or 0,
        found[0][3] if found else 0,
        [Difference(*one[:3]) for one in found],
    )


def _latest_of(batch: ImportBatch) -> ColumnElement[bool]:
    """The rows that count: of each membership the latest, by this list or by changes after it."""
    row, of = aliased(ImportRow), aliased(ImportBatch)
    latest = (
        select(row.id)
        .ext(distinct_on(row.key))
        .join(of, of.id == row.batch_id)
        .where(
            of.source == batch.source,
            of.state == BatchState.APPLIED,
            of.applied_at >= batch.applied_at,
            row.key.is_not(None),
            row.outcome.not_in((Outcome.SAME_ROW, Outcome.SKIPPED, Outcome.REFUSED)),
        )
        .order_by(row.key, of.applied_at.desc(), row.id.desc())
    )
    return and_(
        ImportRow.id.in_(latest),
        or_(
            ImportRow.outcome.in_(_TAKEN_IN),
            and_(ImportRow.outcome == Outcome.HELD, ImportRow.decision == Decision.COUNT),
        ),
    )
