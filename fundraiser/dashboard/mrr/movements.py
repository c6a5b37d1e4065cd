"""Keep the monthly recurring income (MRR) of each member and its movements, in a background job.

Each run compares what members pay now, by the counting rule, with what the last run found; the
difference is a movement. What a member pays is therefore always the sum of the member's movements,
and a month's opening plus its movements its closing. Movements before the first run come from the
ledger, with the latest amounts: earlier ones aren't known.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Date,
    Select,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import aliased

from fundraiser.dashboard.models import MemberMrr, Movement, MrrMovement, MrrSum
from fundraiser.dashboard.overview.counted import counted_memberships
from fundraiser.members.merging import MemberMerge
from fundraiser.members.models import NOT_READERS, LedgerEntry, Member, Membership, Source
from fundraiser.members.monthly import monthly_in_sql

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

_COLUMNS = (
    *("member_id", "currency", "kind", "amount", "payers"),
    *("month", "began", "happened_at", "recorded_at"),
)
_KIND = MrrMovement.kind.type
_LATE = timedelta(minutes=10)  # a transaction may commit that long after its ledger row's time
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def refresh(
    session: Session, zone: ZoneInfo, grace: timedelta, at: datetime, last: datetime | None
) -> None:
    """Record the movements since the ``last`` run, or all since the ledger began."""
    if not session.scalar(select(exists().where(MrrMovement.id.is_not(None)))):
        session.execute(text("SET LOCAL statement_timeout = 0"))
        _insert(session, _past(zone, at))
        last = None
    _insert(session, _changes(zone, grace, at, last))
    _follow(session, at)
    _sum_up(session, at)


def paying(at: datetime, grace: timedelta) -> Select[Membership]:
    """The counted memberships that bring monthly recurring income: those paid through Stripe."""
    return counted_memberships(at, grace).where(
        Membership.source == Source.STRIPE, Membership.interval.is_not(None)
    )


def _insert(session: Session, rows: Select[Any]) -> None:
    session.execute(insert(MrrMovement).from_select(_COLUMNS, rows))


def _changes(zone: ZoneInfo, grace: timedelta, at: datetime, last: datetime | None) -> Select[Any]:
    """SQL: a movement for each person and currency whose amount differs from the last run's."""
    since = last - _LATE if last else _NEVER
    change = _differences(grace, at).cte("change").prefix_with("MATERIALIZED")
    held = aliased(MemberMrr)
    before, began = (
        select(figure).where(held.member_id == change.c.member_id).scalar_subquery()
        for figure in (func.coalesce(func.sum(held.amount), 0), func.min(held.began))
    )
    change_of_person = func.sum(change.c.amount).over(partition_by=change.c.member_id)
    ups, downs = (
        func.bool_or(moves).over(partition_by=change.c.member_id)
        for moves in (change.c.amount > 0, change.c.amount < 0)
    )
    person = select(
        change,
        before.label("before"),
        began.label("began"),
        change_of_person.label("moved"),
        and_(ups, downs).label("both"),
    ).subquery("person")
    newest = aliased(LedgerEntry)
    after = person.c.before + person.c.moved
    # The person started or stopped counting since then: that is when, and why.
    turned = and_(
        newest.recorded_at > since,
        or_(
            and_(person.c.before == 0, newest.change == 1),
            and_(after == 0, newest.change == -1),
        ),
    )
    happened = case((turned, newest.recorded_at), else_=at)
    is_other = or_(
        and_(turned, newest.cause.in_(NOT_READERS)),
        _was_merged(person.c.member_id, since if last else at),
    )
    has_paid = exists().where(MrrMovement.member_id == person.c.member_id)
    kind = case(
        (is_other, Movement.OTHER.value),
        (after == 0, Movement.CHURN.value),
        (and_(person.c.before == 0, has_paid), Movement.REACTIVATION.value),
        (person.c.before == 0, Movement.NEW.value),
        (person.c.both, Movement.EXCHANGE.value),
        (person.c.amount > 0, Movement.EXPANSION.value),
        else_=Movement.CONTRACTION.value,
    )
    return (
        select(
            person.c.member_id,
            person.c.currency,
            cast(kind, _KIND),
            person.c.amount,
            person.c.payers,
            _month(happened, zone),
            func.coalesce(
                case((person.c.before > 0, person.c.began)),
                _month(happened, zone),
            ),
            happened,
            literal(at),
        )
        .join(Member, Member.id == person.c.member_id)
        .outerjoin(
            newest,
            and_(newest.member_id == Member.id, newest.sequence == Member.sequence),
        )
    )


def _differences(grace: timedelta, at: datetime) -> Select[Any]:
    """SQL: what each person pays now less what the last run found, where that isn't nothing."""
    m = Membership
    current = (
        paying(at, grace)
        .with_only_columns(m.member_id, m.currency, func.sum(monthly_in_sql(m)).label("amount"))
        .group_by(m.member_id, m.currency)
        .subquery("current")
    )
    held = aliased(MemberMrr)
    amount = func.coalesce(current.c.amount, 0) - func.coalesce(held.amount, 0)
    return (
        select(
            func.coalesce(current.c.member_id, held.member_id).label("member_id"),
            func.coalesce(current.c.currency, held.currency).label("currency"),
            amount.label("amount"),
            (_pays(current.c.amount) - _pays(held.amount)).label("payers"),
        )
        .select_from(current)
        .outerjoin(
            held,
            and_(held.member_id == current.c.member_id, held.currency == current.c.currency),
            full=True,
        )
        .where(amount != 0)
    )


def _was_merged(member_id: ColumnElement[int], since: datetime) -> ColumnElement[bool]:
    merge = aliased(MemberMerge)
    return exists().where(
        merge.kept_id == member_id,
        or_(merge.merged_at > since, merge.undone_at > since),
    )


def _past(zone: ZoneInfo, at: datetime) -> Select[Any]:
    """SQL: movements of the ledger's closed times; running ones are found as any change is."""
    start, end = aliased(LedgerEntry), aliased(LedgerEntry)
    m = Membership
    amount = monthly_in_sql(m)
    times = (
        select(
            start.member_id,
            m.currency,
            amount.label("amount"),
            start.recorded_at.label("from"),
            end.recorded_at.label("to"),
            start.cause.in_(NOT_READERS).label("brought"),
            end.cause.in_(NOT_READERS).label("removed"),
        )
        .join(end, and_(end.member_id == start.member_id, end.sequence == start.sequence + 1))
        .join(
            m,
            and_(
                m.member_id == start.member_id,
                m.source == Source.STRIPE,
                m.interval.is_not(None),
                m.started_at < end.happened_at,
                or_(m.ended_at.is_(None), m.ended_at > start.happened_at),
            ),
        )
        .where(start.change == 1, amount > 0)
        .ext(distinct_on(start.member_id, start.sequence))
        .order_by(start.member_id, start.sequence, m.started_at.desc(), m.id.desc())
        .cte("times")
    )
    t = times.c
    rank = func.row_number().over(partition_by=t.member_id, order_by=t["from"])
    began = _month(t["from"], zone)
    joined = case(
        (t.brought, Movement.OTHER.value),
        (rank == 1, Movement.NEW.value),
        else_=Movement.REACTIVATION.value,
    )
    left = case((t.removed, Movement.OTHER.value), else_=Movement.CHURN.value)
    found = union_all(
        *(
            select(
                t.member_id,
                t.currency,
                cast(kind, _KIND).label("kind"),
                (sign * t.amount).label("amount"),
                literal(sign).label("payers"),
                _month(when, zone).label("month"),
                began.label("began"),
                when.label("happened_at"),
                literal(at).label("recorded_at"),
            )
            for kind, sign, when in ((joined, 1, t["from"]), (left, -1, t.to))
        )
    ).subquery()
    return select(*found.c)


def _follow(session: Session, at: datetime) -> None:
    """Add this run's movements to what each person pays."""
    movement, held = MrrMovement, aliased(MemberMrr)
    found = (
        select(
            movement.member_id,
            movement.currency,
            func.coalesce(held.amount, 0) + func.sum(movement.amount),
            func.max(movement.began),
        )
        .outerjoin(
            held, and_(held.member_id == movement.member_id, held.currency == movement.currency)
        )
        .where(movement.recorded_at == at)
        .group_by(movement.member_id, movement.currency, held.amount)
    )
    names = ("amount", "began")
    upsert = insert(MemberMrr).from_select(("member_id", "currency", *names), found)
    session.execute(
        upsert.on_conflict_do_update(
            index_elements=[MemberMrr.member_id, MemberMrr.currency],
            set_={name: upsert.excluded[name] for name in names},
        )
    )
    session.execute(delete(MemberMrr).where(MemberMrr.amount == 0))


def _sum_up(session: Session, at: datetime) -> None:
    """Add up again the months in which this run recorded movements."""
    movement = MrrMovement
    first = session.scalar(select(func.min(movement.month)).where(movement.recorded_at == at))
    if first is None:
        return
    session.execute(delete(MrrSum).where(MrrSum.month >= first))
    keys = (movement.month, movement.kind, movement.currency, movement.began)
    session.execute(
        insert(MrrSum).from_select(
            ("month", "kind", "currency", "began", "changes", "payers", "amount"),
            select(*keys, func.count(), func.sum(movement.payers), func.sum(movement.amount))
            .where(movement.month >= first)
            .group_by(*keys),
        )
    )


def _pays(amount: Any) -> ColumnElement[int]:  # noqa: ANN401 - a column that may be null
    return case((amount > 0, 1), else_=0)


def _month(when: Any, zone: ZoneInfo) -> ColumnElement[Any]:  # noqa: ANN401 - any time in SQL
    return cast(func.date_trunc("month", func.timezone(zone.key, when)), Date)
