"""Applies a planned file to our books, some hundred rows a transaction.

Where it stands is a number in the same transaction as the rows, behind a lock on the batch: killed
at any point it goes on with the next row, and nothing is done twice.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from fundraiser.campaigns.milestones import pass_silently
from fundraiser.db import now
from fundraiser.members.counting import recount_many
from fundraiser.members.models import Cause, Dues, Interval, Member, Membership, Source, Status
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
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from sqlalchemy.orm import Session

AT_ONCE = 500
# What an import writes of a membership, and an undo puts back.
FACTS = (
    *("member_id", "amount", "currency", "interval", "interval_count", "status", "started_at"),
    *("counts_until", "cancel_at", "canceled_at", "ended_at", "refunded_at", "origin"),
)
_ENDINGS = {Outcome.ENDED, Outcome.ABSENT}
_TIMES = {name for name in FACTS if name.endswith("_at") or name == "counts_until"}


def apply_some(session: Session, batch_id: int, grace: timedelta) -> bool:
    """Apply the next rows; False once nothing is left, or while another process is at it."""
    batch = session.scalars(
        select(ImportBatch)
        .where(ImportBatch.id == batch_id, ImportBatch.state == BatchState.APPLYING)
        .with_for_update(skip_locked=True)
    ).first()
    if batch is None:
        return False
    rows = session.scalars(
        select(ImportRow)
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
    apply_rows(session, batch, rows, grace)
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
        )
    }


def apply_rows(
    session: Session, batch: ImportBatch, rows: Sequence[ImportRow], grace: timedelta
) -> None:
    """Apply these rows in the caller's transaction, which holds the batch."""
    people = _people_of(session, rows)
    memberships = _memberships_of(session, rows)
    at = now()
    added: list[tuple[ImportRow, dict[str, Any]]] = []
    for row in rows:
        found = memberships.get(row.key or "")
        if found is not None:
            row.before = remember(found)
            # Of somebody who was merged since, or moved by staff: it stays theirs.
            _change(found, row, batch, at)
            row.member_id, row.membership_id = found.member_id, found.id
        elif row.outcome not in _ENDINGS:
            member = people[row.id]
            row.member_id = member.id
            added.append((row, _new(row, member, batch, at)))
        row.applied_at = at
        row.cells = None  # what was taken in need not be kept twice
    if added:
        ids = session.execute(
            insert(Membership).returning(Membership.reference, Membership.id),
            [values for _row, values in added],
        )
        by_reference = dict(ids.all())
        for row, values in added:
            row.membership_id = by_reference[values["reference"]]
    session.flush()
    members = {member.id: member for member in people.values()}
    recount_many(
        session,
        [members[one] for one in sorted(members)],
        grace,
        cause=Cause.IMPORT,
        each={
            row.member_id: (name_of(batch, row), None) for row in reversed(rows) if row.member_id
        },
    )
    batch.peaks = pass_silently(session) | batch.peaks


def name_of(batch: ImportBatch, row: ImportRow) -> str:
    """What the ledger calls this row."""
    return f"{batch.source}, batch {batch.id}, row {row.number}"


def _people_of(session: Session, rows: Sequence[ImportRow]) -> dict[int, Member]:
    """The person of each row, added where there is none; all are locked, in the order of ids."""
    known = _owners(session, rows)
    addresses = {row.address: row for row in reversed(rows) if row.address and row.id not in known}
    there = _by_address(session, addresses)
    missing = [addresses[one] for one in sorted(addresses.keys() - there.keys())]
    new: set[int] = set()
    if missing:
        new |= _add_people(session, missing)
        there = _by_address(session, addresses)
    for row in rows:
        if row.id in known:
            continue
        if row.address:
            known[row.id] = there[row.address]
        elif row.outcome not in _ENDINGS:
            known[row.id] = _add_person(session, row)
            new.add(known[row.id])
    locked = {
        member.id: member
        for member in session.scalars(
            select(Member)
            .where(Member.id.in_(sorted(set(known.values()))))
            .order_by(Member.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    }
    for row in rows:
        if known.get(row.id) in new:
            row.added = True
            new.discard(known[row.id])
    return {row_id: locked[member_id] for row_id, member_id in known.items()}


def _owners(session: Session, rows: Sequence[ImportRow]) -> dict[int, int]:
    """Whose the membership of a row is already."""
    owners = dict(
        session.execute(
            select(Membership.reference, Membership.member_id).where(
                Membership.source == Source.IMPORT,
                Membership.reference.in_([row.key for row in rows if row.key]),
            )
        ).all()
    )
    return {row.id: owners[row.key] for row in rows if row.key in owners}


def _by_address(session: Session, addresses: Iterable[str]) -> dict[str, int]:
    wanted = list(addresses)
    if not wanted:
        return {}
    return {
        address: member_id
        for address, member_id in session.execute(
            select(Member.address, Member.id).where(Member.address.in_(wanted))
        ).all()
        if address
    }


def _new_person(row: ImportRow) -> dict[str, Any]:
    return {
        "email": row.email,
        "address": row.address,
        "name": row.name,
        "language": language(),
        "counting": False,
        "sequence": 0,
        "created_at": row.started_at or now(),
    }


def _add_people(session: Session, rows: Sequence[ImportRow]) -> set[int]:
    """People of these addresses, added in their order, so that two of us never wait in a circle."""
    statement = upsert(Member).on_conflict_do_nothing().returning(Member.id)
    return set(session.scalars(statement, [_new_person(row) for row in rows]))


def _add_person(session: Session, row: ImportRow) -> int:
    """Somebody whose address isn't known."""
    member = Member(**_new_person(row))
    session.add(member)
    session.flush()
    return member.id


def _memberships_of(session: Session, rows: Sequence[ImportRow]) -> dict[str, Membership]:
    found = session.scalars(
        select(Membership)
        .where(
            Membership.source == Source.IMPORT,
            Membership.reference.in_([row.key for row in rows if row.key]),
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {one.reference: one for one in found}


def remember(membership: Membership) -> dict[str, Any]:
    """What an import may change of a membership, as it is."""
    kept = {name: getattr(membership, name) for name in FACTS}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in kept.items()
    }


def put_back(membership: Membership, before: dict[str, Any]) -> None:
    """Make a membership what it was; whose it is now stays."""
    for name in FACTS:
        value = before[name]
        if name == "member_id":
            continue
        if name in _TIMES and value is not None:
            value = datetime.fromisoformat(value)
        elif name == "status":
            value = Status(value)
        elif name == "interval" and value is not None:
            value = Interval(value)
        setattr(membership, name, value)


def _change(found: Membership, row: ImportRow, batch: ImportBatch, at: datetime) -> None:
    found.origin = batch.source
    if row.outcome is Outcome.ABSENT:
        found.status, found.canceled_at, found.ended_at = Status.CANCELED, at, at
        return
    if row.outcome is Outcome.ENDED:
        found.refunded_at = row.refunded_at
        # What was paid for holds; nothing follows it.
        found.cancel_at = found.counts_until
        found.canceled_at = at
        return
    found.amount, found.currency = row.amount, row.currency
    found.interval, found.interval_count = row.interval, row.interval_count
    found.started_at = min(found.started_at, row.started_at or found.started_at)
    found.counts_until, found.cancel_at = row.counts_until, row.cancel_at
    found.refunded_at = row.refunded_at
    found.canceled_at = (found.canceled_at or at) if row.cancel_at else None
    found.status, found.ended_at = Status.ACTIVE, None


def _new(row: ImportRow, member: Member, batch: ImportBatch, at: datetime) -> dict[str, Any]:
    return {
        "member_id": member.id,
        "source": Source.IMPORT,
        "reference": row.key or f"{batch.source}:row-{row.id}",
        "origin": batch.source,
        "amount": row.amount,
        "currency": row.currency,
        "interval": row.interval,
        "interval_count": row.interval_count,
        "status": Status.ACTIVE,
        "payment_status": Dues.PAID,
        "started_at": min(row.started_at or batch.list_at or at, at),
        "counts_until": row.counts_until,
        "cancel_at": row.cancel_at,
        "canceled_at": at if row.cancel_at else None,
        "refunded_at": row.refunded_at,
    }


def decide(
    session: Session,
    row_id: int,
    decision: Decision,
    grace: timedelta,
    *,
    staff_id: int | None,
    until: datetime | None = None,
) -> bool:
    """Do with a held row what staff say; False where somebody has decided it, or it was undone."""
    row = session.get_one(ImportRow, row_id)
    batch = session.get_one(ImportBatch, row.batch_id, with_for_update=True)
    session.refresh(row, with_for_update=True)
    if batch.state is not BatchState.APPLIED or row.outcome is not Outcome.HELD or row.decision:
        return False
    if decision is Decision.COUNT and (row.counts_until or until) is None:
        return False
    row.decision, row.decided_by, row.decided_at = decision, staff_id, now()
    if decision is Decision.COUNT:
        row.counts_until = until or row.counts_until
        row.amount = row.amount or 1
        row.currency = row.currency or batch.options.get("currency") or "USD"
        apply_rows(session, batch, [row], grace)
    return True


def waiting(session: Session, batch_id: int) -> int:
    """How many rows of a file still wait for a person."""
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
