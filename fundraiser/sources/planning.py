"""Dry run: what each row of a file would do, and the number before and after.

PostgreSQL does it in a few statements, so a million rows need no memory here.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Enum,
    String,
    and_,
    case,
    cast as as_type,
    exists,
    func,
    insert,
    literal,
    not_,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased

from fundraiser.db import now
from fundraiser.members.eligibility import counts_at
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import (
    UNKNOWN_AMOUNT,
    Dues,
    Member,
    MemberAlias,
    Membership,
    Source,
    Status,
)
from fundraiser.sources.models import (
    BatchState,
    Decision,
    ImportBatch,
    ImportRow,
    Outcome,
)
from fundraiser.sources.readings import Says, Why

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy.orm import Session

_READ = (Says.PAID, Says.NOT_PAYING, Says.ASK, Says.GIVES)


def plan(session: Session, batch: ImportBatch, grace: timedelta, *, whole_list: bool) -> None:
    """Plan each row's outcome; can be repeated until the file is applied."""
    session.execute(text("SET LOCAL statement_timeout = 0"))
    # What was just copied in is unknown to the planner, which would go through it row by row.
    session.execute(text("ANALYZE import_row"))
    at = now()
    _forget(session, batch)
    _find_same_rows(session, batch)
    _find_memberships(session, batch)
    _find_people(session, batch)
    _remember_decisions(session, batch, at)
    _judge(session, batch, at, grace)
    _find_same_people(session, batch)
    if whole_list:
        _add_absent(session, batch)
    _total(session, batch, at, grace)
    batch.state, batch.planned_at = BatchState.PLANNED, at
    session.flush()  # so that whoever locks it next reads this


def rule_of_rows(at: datetime, grace: timedelta) -> ColumnElement[bool]:
    """The counting rule, applied to rows as if they were memberships."""
    no_time = null().cast(DateTime(timezone=True))
    as_membership = SimpleNamespace(
        id=ImportRow.membership_id,
        member_id=ImportRow.member_id,
        source=literal(Source.IMPORT, Membership.source.type),
        status=literal(Status.ACTIVE, Membership.status.type),
        payment_status=literal(Dues.PAID, Membership.payment_status.type),
        price=null().cast(Membership.price.type),
        amount=ImportRow.amount,
        collection_paused=literal(value=False),
        started_at=ImportRow.started_at,
        counts_until=ImportRow.counts_until,
        cancel_at=ImportRow.cancel_at,
        refunded_at=ImportRow.refunded_at,
        **dict.fromkeys(
            ("disputed_at", "moved_at", "free_until", "paid_until", "paid_at", "grace_from"),
            no_time,
        ),
    )
    return counts_at(at, grace, cast("type[Membership]", as_membership))


def _of(batch: ImportBatch) -> ColumnElement[bool]:
    return ImportRow.batch_id == batch.id


def _forget(session: Session, batch: ImportBatch) -> None:
    """Clear the previous plan."""
    session.execute(
        text("DELETE FROM import_row WHERE batch_id = :id AND why = 'absent'"), {"id": batch.id}
    )
    session.execute(
        update(ImportRow)
        .where(_of(batch), ImportRow.outcome.is_not(None))
        .values(outcome=None, counts=False, same_as=None, member_id=None, membership_id=None)
    )


def _find_same_rows(session: Session, batch: ImportBatch) -> None:
    """Among several rows for one membership, use the one that is paid longest.

    A list of payments has one for each: the membership started with the first.
    """
    window: dict[str, Any] = {
        "partition_by": ImportRow.key,
        "order_by": (
            (ImportRow.says == Says.PAID).desc(),
            (ImportRow.says == Says.ASK).desc(),
            ImportRow.counts_until.desc().nulls_last(),
            ImportRow.number,
        ),
    }
    began = func.min(ImportRow.started_at).filter(ImportRow.says == Says.PAID)
    found = (
        select(
            ImportRow.id,
            func.first_value(ImportRow.number).over(**window).label("best"),
            began.over(partition_by=ImportRow.key).label("began"),
        )
        .where(_of(batch), ImportRow.key.is_not(None), ImportRow.says.in_(_READ))
        .subquery()
    )
    session.execute(
        update(ImportRow)
        .where(_of(batch), ImportRow.id == found.c.id, ImportRow.number != found.c.best)
        .values(outcome=Outcome.SAME_ROW, same_as=found.c.best)
    )
    session.execute(
        update(ImportRow)
        .where(
            _of(batch),
            ImportRow.id == found.c.id,
            ImportRow.number == found.c.best,
            ImportRow.started_at > found.c.began,
        )
        .values(started_at=found.c.began)
    )


def _find_memberships(session: Session, batch: ImportBatch) -> None:
    session.execute(
        update(ImportRow)
        .where(
            _of(batch),
            ImportRow.key.is_not(None),
            Membership.reference == ImportRow.key,
            or_(
                and_(ImportRow.says != Says.GIVES, Membership.source == Source.IMPORT),
                and_(ImportRow.says == Says.GIVES, Membership.source == Source.COMPLIMENTARY),
            ),
        )
        .values(membership_id=Membership.id, member_id=Membership.member_id)
    )
    # A subscription that is at our own Stripe is counted there.
    session.execute(
        update(ImportRow)
        .where(
            _of(batch),
            ImportRow.says != Says.REFUSED,
            Membership.source == Source.STRIPE,
            func.concat(batch.source, ":", Membership.reference) == ImportRow.key,
        )
        .values(says=Says.SKIPPED, why=Why.AT_STRIPE.value)
    )


def _find_people(session: Session, batch: ImportBatch) -> None:
    session.execute(
        update(ImportRow)
        .where(
            _of(batch),
            ImportRow.member_id.is_(None),
            ImportRow.address.is_not(None),
            ImportRow.says.in_(_READ),
            Member.address == ImportRow.address,
        )
        .values(member_id=Member.id)
    )
    session.execute(
        update(ImportRow)
        .where(
            _of(batch),
            ImportRow.member_id.is_(None),
            ImportRow.says.in_(_READ),
            MemberAlias.address == ImportRow.address,
        )
        .values(member_id=MemberAlias.member_id)
    )


def _remember_decisions(session: Session, batch: ImportBatch, at: datetime) -> None:
    """Reuse decisions about the same row of an earlier list if nothing has changed."""
    earlier = aliased(ImportRow)
    before = (
        select(
            ImportRow.id,
            earlier.decision,
            earlier.decided_by,
            earlier.decided_at,
            earlier.counts_until,
        )
        .join(
            earlier,
            and_(
                earlier.key == ImportRow.key,
                earlier.why == ImportRow.why,
                earlier.decision.is_not(None),
                earlier.batch_id != batch.id,
                earlier.undone_at.is_(None),
                or_(
                    earlier.counts_until == ImportRow.counts_until,
                    and_(ImportRow.counts_until.is_(None), earlier.counts_until > at),
                    and_(
                        ImportRow.counts_until.is_(None),
                        earlier.counts_until.is_(None),
                        earlier.decision == Decision.IGNORE,
                    ),
                ),
            ),
        )
        .where(_of(batch), ImportRow.says == Says.ASK, ImportRow.decision.is_(None))
        .ext(distinct_on(ImportRow.id))
        .order_by(ImportRow.id, earlier.decided_at.desc())
        .subquery()
    )
    session.execute(
        update(ImportRow)
        .where(ImportRow.id == before.c.id)
        .values(
            decision=before.c.decision,
            decided_by=before.c.decided_by,
            decided_at=before.c.decided_at,
            counts_until=before.c.counts_until,
        )
    )


def _judge(session: Session, batch: ImportBatch, at: datetime, grace: timedelta) -> None:
    """Set the outcome of each row that isn't replaced by another."""
    known = aliased(Membership)
    is_known = ImportRow.membership_id.is_not(None)
    is_proof = or_(
        ImportRow.says == Says.PAID, ImportRow.decision.is_not_distinct_from(Decision.COUNT)
    )
    counts = rule_of_rows(at, grace)
    facts = select(known.id).where(
        known.id == ImportRow.membership_id,
        known.counts_until == ImportRow.counts_until,
        known.cancel_at.is_not_distinct_from(ImportRow.cancel_at),
        known.refunded_at.is_not_distinct_from(ImportRow.refunded_at),
        known.amount == ImportRow.amount,
        known.currency == ImportRow.currency,
        known.interval.is_not_distinct_from(ImportRow.interval),
        known.status == Status.ACTIVE,
    )
    given = select(known.id).where(
        known.id == ImportRow.membership_id,
        known.status == Status.ACTIVE,
        known.cancel_at.is_not_distinct_from(ImportRow.counts_until),
    )
    runs = exists().where(
        known.id == ImportRow.membership_id,
        known.status == Status.ACTIVE,
        known.refunded_at.is_(None),
        known.cancel_at.is_(None),
        known.counts_until > at - grace,
    )
    pays_on = exists().where(known.id == ImportRow.membership_id, known.counts_until > at)
    outcome = case(
        (ImportRow.says == Says.REFUSED, Outcome.REFUSED.value),
        (ImportRow.says == Says.SKIPPED, Outcome.SKIPPED.value),
        (and_(ImportRow.says == Says.ASK, ImportRow.decision.is_(None)), Outcome.HELD.value),
        (
            ImportRow.says == Says.GIVES,
            case(
                (given.exists(), Outcome.UNCHANGED.value),
                (is_known, Outcome.RENEWED.value),
                else_=Outcome.GIVEN.value,
            ),
        ),
        (
            and_(is_proof, is_known),
            case((facts.exists(), Outcome.UNCHANGED.value), else_=Outcome.RENEWED.value),
        ),
        (
            and_(is_proof, counts),
            case((ImportRow.member_id.is_not(None), Outcome.JOINED.value), else_=Outcome.NEW.value),
        ),
        (and_(ImportRow.says == Says.NOT_PAYING, runs), Outcome.ENDED.value),
        else_=Outcome.NOT_COUNTED.value,
    )
    session.execute(
        update(ImportRow)
        .where(_of(batch), ImportRow.outcome.is_(None))
        .values(
            outcome=as_type(outcome, _as_word(ImportRow.outcome)),
            counts=case(
                (is_proof, counts),
                (
                    and_(ImportRow.says == Says.NOT_PAYING, is_known),
                    and_(runs, pays_on, ImportRow.refunded_at.is_(None)),
                ),
                else_=literal(value=False),
            ),
            why=case(
                (or_(not_(is_proof), counts), ImportRow.why),
                (ImportRow.cancel_at <= at, Why.ENDED.value),
                else_=Why.GRACE_OVER.value,
            ),
        )
    )


def _as_word(column: Any) -> String:  # noqa: ANN401 - an instrumented column
    """An enum column as text."""
    assert isinstance(column.type, Enum)  # noqa: S101
    return String(column.type.length)


def _find_same_people(session: Session, batch: ImportBatch) -> None:
    """Among several new memberships of one address, the first adds the person for all."""
    window: dict[str, Any] = {"partition_by": ImportRow.address, "order_by": ImportRow.number}
    found = (
        select(ImportRow.id, func.first_value(ImportRow.number).over(**window).label("first"))
        .where(_of(batch), ImportRow.outcome == Outcome.NEW, ImportRow.address.is_not(None))
        .subquery()
    )
    session.execute(
        update(ImportRow)
        .where(_of(batch), ImportRow.id == found.c.id, ImportRow.number != found.c.first)
        .values(outcome=Outcome.JOINED, same_as=found.c.first)
    )


def _add_absent(session: Session, batch: ImportBatch) -> None:
    """Add rows for people missing from a list that staff call complete."""
    last = select(func.max(ImportRow.number)).where(_of(batch)).scalar_subquery()
    listed = exists().where(_of(batch), ImportRow.key == Membership.reference)
    missing = (
        select(
            literal(batch.id),
            last + func.row_number().over(order_by=Membership.id),
            literal(0),
            literal(Says.NOT_PAYING.value),
            literal(Why.ABSENT.value),
            literal("[]", String).cast(ImportRow.looks.type),
            Membership.reference,
            Member.name,
            Member.email,
            Member.address,
            Membership.amount,
            Membership.currency,
            literal(1),
            literal(Outcome.ABSENT.value),
            literal(value=False),
            Membership.member_id,
            Membership.id,
        )
        .join(Member, Member.id == Membership.member_id)
        .where(
            Membership.origin == batch.source,
            Membership.source == Source.IMPORT,
            Membership.status == Status.ACTIVE,
            ~listed,
        )
    )
    names = (
        *("batch_id", "number", "lines", "says", "why", "looks", "key", "name", "email"),
        *("address", "amount", "currency", "interval_count", "outcome", "counts", "member_id"),
        "membership_id",
    )
    session.execute(insert(ImportRow).from_select(names, missing, include_defaults=False))


def _total(session: Session, batch: ImportBatch, at: datetime, grace: timedelta) -> None:
    """Sum up rows by outcome, the number before and after, and payments."""
    outcomes = session.execute(
        select(ImportRow.outcome, func.count(), func.sum(ImportRow.lines))
        .where(_of(batch))
        .group_by(ImportRow.outcome)
    )
    batch.counts = {
        **{outcome.value: count for outcome, count, _lines in outcomes if outcome},
        "looks": session.scalar(
            select(func.count()).where(
                _of(batch), ImportRow.counts, func.jsonb_array_length(ImportRow.looks) > 0
            )
        ),
    }
    sums = session.execute(
        select(
            ImportRow.currency,
            func.coalesce(as_type(ImportRow.interval, String), ""),
            func.count(),
            func.coalesce(func.sum(ImportRow.amount).filter(ImportRow.amount > UNKNOWN_AMOUNT), 0),
        )
        .where(_of(batch), ImportRow.counts, ImportRow.outcome != Outcome.SAME_ROW)
        .group_by(ImportRow.currency, ImportRow.interval)
        .order_by(ImportRow.currency, ImportRow.interval)
    )
    batch.sums = {
        f"{currency} {interval}".strip(): [count, int(amount)]
        for currency, interval, count, amount in sums
    }
    batch.members_before = read_balance(session).members
    batch.members_after = (
        batch.members_before + _starting(session, batch) - count_stopping(session, batch, at, grace)
    )


def _is_proof() -> ColumnElement[bool]:
    return and_(
        ImportRow.counts,
        ImportRow.outcome.in_(
            (Outcome.NEW, Outcome.JOINED, Outcome.RENEWED, Outcome.UNCHANGED, Outcome.ENDED)
        ),
    )


def _starting(session: Session, batch: ImportBatch) -> int:
    """How many people would start to be counted."""
    who = func.coalesce(as_type(ImportRow.member_id, String), ImportRow.address, ImportRow.key)
    counting = exists().where(Member.id == ImportRow.member_id, Member.counting)
    return (
        session.scalar(
            select(func.count(func.distinct(who))).where(_of(batch), _is_proof(), ~counting)
        )
        or 0
    )


def count_stopping(session: Session, batch: ImportBatch, at: datetime, grace: timedelta) -> int:
    """How many people would stop being counted."""
    other, row = aliased(Membership), aliased(ImportRow)
    stays_here = exists().where(
        row.batch_id == batch.id,
        row.member_id == ImportRow.member_id,
        row.counts,
        row.outcome.in_((Outcome.JOINED, Outcome.RENEWED, Outcome.UNCHANGED, Outcome.ENDED)),
    )
    touched = exists().where(
        row.batch_id == batch.id,
        row.membership_id == other.id,
        row.outcome.in_((Outcome.RENEWED, Outcome.ENDED, Outcome.ABSENT)),
    )
    stays_elsewhere = (
        select(other.id)
        .where(other.member_id == ImportRow.member_id, counts_at(at, grace, other), ~touched)
        .exists()
    )
    return (
        session.scalar(
            select(func.count(func.distinct(ImportRow.member_id)))
            .join(Member, Member.id == ImportRow.member_id)
            .where(
                _of(batch),
                ImportRow.outcome.in_((Outcome.RENEWED, Outcome.ENDED, Outcome.ABSENT)),
                not_(ImportRow.counts),
                Member.counting,
                ~stays_here,
                ~stays_elsewhere,
            )
        )
        or 0
    )
