"""The life of a bulk change: freeze people, preview, apply in the background, undo.

Some hundred people a transaction, with the result of each in the same transaction: killed at any
point, it continues with the next person and repeats nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, and_, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from fundraiser.dashboard.bulk.kinds import Kind, kind_of
from fundraiser.dashboard.bulk.models import (
    AT_WORK,
    BulkChange,
    BulkKind,
    BulkMember,
    BulkState,
    Result,
)
from fundraiser.db import now
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.jobs import Job, hint
from fundraiser.members.models import Member
from fundraiser.newsroom.audit import Action, record_once
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from fundraiser.config import Settings
    from fundraiser.db import Database
    from fundraiser.newsroom.models import Staff

MOST = 100_000  # people
AT_ONCE = 500
# Nobody is left to whom a note or a membership could be given.
_IS_GONE = and_(Member.name.is_(None), Member.email.is_(None), ~Member.counting)


def freeze(session: Session, staff: Staff, ids: Select[int]) -> BulkChange:
    """Keep these people for a change: who joins or leaves meanwhile doesn't matter.

    Raises:
        UnprocessableError: there are none, or too many.
    """
    change = BulkChange(
        state=BulkState.DRAFT,
        options={},
        people=0,
        done=0,
        staff_id=staff.id,
        created_at=now(),
    )
    session.add(change)
    session.flush()
    people = ids.limit(MOST + 1).subquery()
    frozen = select(literal(change.id, BigInteger), people.c[0])
    session.execute(
        insert(BulkMember).from_select(["bulk_id", "member_id"], frozen, include_defaults=False)
    )
    change.people = _count(session, change)
    if not change.people:
        raise UnprocessableError(_("Tick the people to change first."))
    if change.people > MOST:
        raise UnprocessableError(
            _("We can change at most %(count)s members at once. Add a filter.", count=MOST)
        )
    return change


def ticked(ids: Iterable[int]) -> Select[int]:
    """The people with these IDs."""
    return select(Member.id).where(Member.id.in_(list(ids)))


def find_change(session: Session, change_id: int, *, locked: bool = False) -> BulkChange:
    """Find the change with this number.

    Raises:
        NotFoundError: there is none, or it was discarded.
    """
    change = session.get(BulkChange, change_id, with_for_update=locked)
    if change is None:
        raise NotFoundError(_("This change no longer exists. Choose the members again."))
    return change


def plan(
    session: Session,
    change: BulkChange,
    kind: BulkKind,
    settings: Settings,
    *,
    options: dict[str, Any],
    note: str | None = None,
) -> None:
    """Preview what a change would do; changes nobody."""
    if change.state not in {BulkState.DRAFT, BulkState.PLANNED}:
        raise UnprocessableError(_("This change has already been made."))
    change.kind, change.options, change.note = kind, options, note
    change.state = BulkState.PLANNED
    change.changing = session.scalar(
        select(func.count())
        .select_from(BulkMember)
        .join(Member, Member.id == BulkMember.member_id)
        .where(BulkMember.bulk_id == change.id, ~_IS_GONE, _kind(change, settings).changes())
    )


def confirm(session: Session, change: BulkChange, staff: Staff) -> None:
    """Have a planned change made in the background; does nothing if it already is.

    Raises:
        UnprocessableError: it hasn't been planned.
    """
    if change.state is BulkState.DRAFT:
        raise UnprocessableError(_("See what this would change before you make the change."))
    if change.state is not BulkState.PLANNED:
        return
    change.audit_entry_id = record_once(
        session,
        Action.CHANGED_MANY,
        f"bulk {change.id}",
        staff=staff,
        key=f"bulk {change.id}",
        details={"kind": change.kind, "people": change.people} | change.options,
    )
    change.state, change.done = BulkState.APPLYING, 0
    hint(session, Job.BULK)


def begin_undo(session: Session, change: BulkChange, staff: Staff) -> None:
    """Have a change undone in the background; does nothing if it already is.

    Raises:
        UnprocessableError: it hasn't been made.
    """
    if change.state in {BulkState.UNDOING, BulkState.UNDONE}:
        return
    if change.state not in {BulkState.APPLYING, BulkState.APPLIED}:
        raise UnprocessableError(_("This change hasn’t been made, so there’s nothing to undo."))
    record_once(
        session,
        Action.UNDID_MANY,
        f"bulk {change.id}",
        staff=staff,
        key=f"bulk {change.id} undone",
        details={"kind": change.kind, "people": change.people},
    )
    change.state, change.done = BulkState.UNDOING, 0
    hint(session, Job.BULK)


def discard(session: Session, change: BulkChange) -> None:
    """Delete a change that hasn't been made, with its people."""
    if change.state not in {BulkState.DRAFT, BulkState.PLANNED}:
        raise UnprocessableError(_("This change has already been made. Undo it instead."))
    session.execute(delete(BulkMember).where(BulkMember.bulk_id == change.id))
    session.delete(change)


def step_any(database: Database, settings: Settings) -> bool:
    """Process the next people of any change; False if there are none."""
    with database.transaction() as session:
        ids = session.scalars(
            select(BulkChange.id).where(BulkChange.state.in_(AT_WORK)).order_by(BulkChange.id)
        ).all()
    return any(_step(database, one, settings) for one in ids)


def _step(database: Database, change_id: int, settings: Settings) -> bool:
    with database.transaction() as session:
        change = session.scalars(
            select(BulkChange)
            .where(BulkChange.id == change_id, BulkChange.state.in_(AT_WORK))
            .with_for_update(skip_locked=True)
        ).first()
        if change is None:
            return False
        if change.state is BulkState.APPLYING:
            return _apply_some(session, change, _kind(change, settings))
        return _undo_some(session, change, _kind(change, settings))


def _apply_some(session: Session, change: BulkChange, kind: Kind) -> bool:
    ids = session.scalars(
        select(BulkMember.member_id)
        .where(BulkMember.bulk_id == change.id, BulkMember.result.is_(None))
        .order_by(BulkMember.member_id)
        .limit(AT_ONCE)
    ).all()
    if not ids:
        change.state, change.applied_at, change.note = BulkState.APPLIED, now(), None
        return False
    _lock(session, ids)
    there = select(Member.id).where(Member.id.in_(ids), ~_IS_GONE)
    present = set(session.scalars(there).all())
    changing = session.scalars(
        select(Member).where(Member.id.in_(present), kind.changes()).order_by(Member.id)
    ).all()
    made = kind.apply(session, changing) if changing else {}
    results = {
        member_id: Result.CHANGED
        if member_id in made
        else Result.UNCHANGED
        if member_id in present
        else Result.GONE
        for member_id in ids
    }
    _write(session, change, results, made)
    return True


def _undo_some(session: Session, change: BulkChange, kind: Kind) -> bool:
    rows = session.execute(
        select(BulkMember.member_id, BulkMember.made_id)
        .where(BulkMember.bulk_id == change.id, BulkMember.result == Result.CHANGED)
        .order_by(BulkMember.member_id)
        .limit(AT_ONCE)
    ).all()
    if not rows:
        change.state, change.undone_at, change.note = BulkState.UNDONE, now(), None
        return False
    made = {row.member_id: row.made_id for row in rows}
    _lock(session, made)
    undone = set(kind.undo(session, made))
    results = {
        member_id: Result.UNDONE if member_id in undone else Result.KEPT for member_id in made
    }
    _write(session, change, results, made)
    return True


def _lock(session: Session, ids: Iterable[int]) -> None:
    """Lock people in the one order in which nobody waits in a circle."""
    session.execute(
        select(Member.id).where(Member.id.in_(list(ids))).order_by(Member.id).with_for_update()
    )


def _write(
    session: Session,
    change: BulkChange,
    results: dict[int, Result],
    made: Any,  # noqa: ANN401 - a mapping
) -> None:
    session.execute(
        update(BulkMember),
        [
            {
                "bulk_id": change.id,
                "member_id": member_id,
                "result": result,
                "made_id": made.get(member_id),
            }
            for member_id, result in results.items()
        ],
    )
    change.done += len(results)


def count_results(session: Session, change: BulkChange) -> dict[Result, int]:
    """How many people have each result."""
    rows = session.execute(
        select(BulkMember.result, func.count())
        .where(BulkMember.bulk_id == change.id, BulkMember.result.is_not(None))
        .group_by(BulkMember.result)
    )
    found = {result: count for result, count in rows if result}
    return {result: found[result] for result in Result if result in found}


def _count(session: Session, change: BulkChange) -> int:
    return session.scalar(select(func.count()).where(BulkMember.bulk_id == change.id)) or 0


def _kind(change: BulkChange, settings: Settings) -> Kind:
    return kind_of(change, settings.newsroom_currency, settings.grace)
