"""Make the retention figures in a background job: how long people stayed, from the ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    Date,
    Integer,
    String,
    and_,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased

from fundraiser import jobs
from fundraiser.dashboard.models import RetentionFigure, Subject
from fundraiser.dashboard.retention.survival import LAST_STEP
from fundraiser.db import now
from fundraiser.members.models import NOT_READERS, Cause, LedgerEntry, Membership

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from sqlalchemy import ColumnElement, Select, Subquery
    from sqlalchemy.orm import Session

HEARTBEAT = "stays"  # "retention" is the nightly deletion of personal data
STEP = timedelta(days=30)
_EVERY = timedelta(hours=1)
_MOST_ARTICLES = 40
# Stripe's values for why somebody cancels.
FEEDBACK = (
    *("too_expensive", "unused", "switched_service", "low_quality", "missing_features"),
    *("too_complex", "customer_service", "other"),
)
_COLUMNS = ("subject", "key", "month", "entry", "steps", "ended", "people")
_NOT_BY_CHOICE = ("payment_failed", "payment_disputed")


def refresh_if_due(session: Session, zone: ZoneInfo, grace: timedelta) -> bool:
    """Make the figures again if they are an hour old; returns whether it did."""
    if not jobs.is_due(session, HEARTBEAT, _EVERY):
        return False
    refresh(session, zone, grace)
    return True


def refresh(session: Session, zone: ZoneInfo, grace: timedelta) -> None:
    """Make all figures again."""
    at = now()
    session.execute(delete(RetentionFigure))
    for statement in (*_by_joining(zone, grace, at), _reasons(zone)):
        session.execute(insert(RetentionFigure).from_select(_COLUMNS, statement))
    jobs.beat(session, HEARTBEAT)


def _by_joining(zone: ZoneInfo, grace: timedelta, at: datetime) -> list[Select[*tuple[Any, ...]]]:
    stay = _stays(zone, grace, at).cte("stay")
    largest = (
        select(stay.c.article)
        .where(stay.c.article != "")
        .group_by(stay.c.article)
        .order_by(func.count().desc(), stay.c.article)
        .limit(_MOST_ARTICLES)
    )
    article = case(
        (or_(stay.c.article == "", stay.c.article.in_(largest)), stay.c.article), else_="*"
    )
    keys = {
        Subject.INTERVAL: (stay.c.interval, stay.c.month),
        Subject.TIER: (stay.c.tier, cast(null(), Date)),
        Subject.SOURCE: (stay.c.source, cast(null(), Date)),
        Subject.ARTICLE: (article, cast(null(), Date)),
    }
    return [
        _grouped(stay, subject, key.label("key"), month.label("month"))
        for subject, (key, month) in keys.items()
    ]


def _grouped(
    stay: Any,  # noqa: ANN401 - a CTE
    subject: Subject,
    key: ColumnElement[str],
    month: ColumnElement[Any],
) -> Select[*tuple[Any, ...]]:
    found = select(key, month, stay.c.entry, stay.c.steps, stay.c.ended).subquery()
    return select(literal(subject, RetentionFigure.subject.type), *found.c, func.count()).group_by(
        *found.c
    )


def _stays(zone: ZoneInfo, grace: timedelta, at: datetime) -> Select[*tuple[Any, ...]]:
    """SQL: each person's first unbroken time as a member, and how the person joined."""
    joined, left = aliased(LedgerEntry), aliased(LedgerEntry)
    how = _first_memberships()
    # Somebody whose payment failed counts until the grace period ends: only then it is known.
    observed = _steps((at - grace) - joined.happened_at)
    by_reader = and_(left.cause.is_not(None), left.cause.not_in(NOT_READERS))
    last = _steps(left.happened_at - joined.happened_at)
    ended = and_(by_reader, last < observed)
    known_at = case((joined.cause == Cause.IMPORT, joined.recorded_at), else_=joined.happened_at)
    month = func.date_trunc("month", func.timezone(zone.key, joined.happened_at))
    return (
        select(
            func.coalesce(cast(how.c.interval, String), "").label("interval"),
            func.coalesce(how.c.tier, "").label("tier"),
            func.coalesce(cast(how.c.source, String), "").label("source"),
            func.coalesce(how.c.ref, "").label("article"),
            cast(month, Date).label("month"),
            func.least(_steps(known_at - joined.happened_at, up=True), LAST_STEP).label("entry"),
            func.least(
                case((ended, last), (by_reader, observed), else_=func.least(last, observed)),
                LAST_STEP,
            ).label("steps"),
            cast(func.coalesce(and_(ended, last < LAST_STEP), literal(value=False)), Boolean).label(
                "ended"
            ),
        )
        .select_from(joined)
        .outerjoin(left, and_(left.member_id == joined.member_id, left.sequence == 2))  # noqa: PLR2004 - the ledger's first -1
        .outerjoin(how, how.c.member_id == joined.member_id)
        .where(joined.sequence == 1)
    )


def _first_memberships() -> Subquery:
    m = Membership
    return (
        select(m.member_id, m.interval, m.tier, m.source, m.ref)
        .ext(distinct_on(m.member_id))
        .order_by(m.member_id, m.started_at, m.id)
        .subquery()
    )


def canceled_by_choice() -> ColumnElement[bool]:
    """SQL: whether a cancelled membership was so by choice, not by a failed payment."""
    return func.coalesce(Membership.cancel_reason, "").not_in(_NOT_BY_CHOICE)


def _reasons(zone: ZoneInfo) -> Select[*tuple[Any, ...]]:
    """SQL: people who cancelled, by month and reason; failed payments aren't a choice."""
    m = Membership
    month = cast(func.date_trunc("month", func.timezone(zone.key, m.canceled_at)), Date)
    found = (
        select(func.coalesce(m.cancel_feedback, "").label("key"), month.label("month"), m.member_id)
        .where(m.canceled_at.is_not(None), canceled_by_choice())
        .subquery()
    )
    return select(
        literal(Subject.REASON, RetentionFigure.subject.type),
        *(found.c.key, found.c.month, literal(0), literal(0), literal(value=True)),
        func.count(func.distinct(found.c.member_id)),
    ).group_by(found.c.key, found.c.month)


def _steps(span: ColumnElement[Any], *, up: bool = False) -> ColumnElement[int]:
    """Whole periods, never fewer than none; null if the span is."""
    periods = func.extract("epoch", span) / STEP.total_seconds()
    whole = func.ceil(periods) if up else func.floor(periods)
    least = cast(whole, Integer)
    return case((span.is_(None), null()), else_=func.greatest(least, 0))
