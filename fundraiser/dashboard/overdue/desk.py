"""Queries for overdue payments: who, how much, until when, and past recoveries."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import func, select, tuple_

from fundraiser.dashboard.models import DailyFigure, Topic
from fundraiser.db import now
from fundraiser.members.eligibility import counts_at
from fundraiser.members.models import Member, Membership
from fundraiser.members.overdue import (
    IS_OVERDUE,
    grace_began_at,
    grace_ends_at,
    overdue_since,
)
from fundraiser.outbox import Email
from fundraiser.payments.models import Payment, PaymentStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime, timedelta

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

PAGE = 50
MOST_FAILED = 100
_MOST_EMAILS = 10  # of one person, in one row
_GRACE_FROM = overdue_since()


@dataclass(frozen=True, slots=True)
class Overdue:
    """An overdue payment; ``due`` is the unpaid amount in its smallest unit.

    ``leaves_at``: when we stop counting the person; None if another membership continues.
    """

    member: Member
    membership: Membership
    due: int
    since: datetime
    leaves_at: datetime | None
    emails: Sequence[Email] = ()


@dataclass(frozen=True, slots=True)
class Sum:
    """The overdue amount in one currency."""

    currency: str
    people: int
    amount: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """The outcome of payments that first failed in one month, for one reason."""

    failed: int = 0
    paid: int = 0
    money: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def percent(self) -> int | None:
        return round(100 * self.paid / self.failed) if self.failed else None


def count_overdue(session: Session, grace: timedelta) -> tuple[int, int]:
    """How many overdue payments are within the grace period, and how many after it."""
    counted = counts_at(now(), grace)
    within, after = session.execute(
        select(func.count().filter(counted), func.count().filter(~counted))
        .select_from(Membership)
        .where(IS_OVERDUE)
    ).one()
    return within, after


def read_sums(session: Session, grace: timedelta, *, counted: bool) -> list[Sum]:
    """The overdue amounts by currency, most people first."""
    due = func.sum(func.coalesce(Membership.due, Membership.amount))
    rows = session.execute(
        select(Membership.currency, func.count(), due)
        .where(IS_OVERDUE, counts_at(now(), grace) if counted else ~counts_at(now(), grace))
        .group_by(Membership.currency)
        .order_by(func.count().desc(), Membership.currency)
    )
    return [Sum(currency, people, int(amount)) for currency, people, amount in rows]


def read_overdue(
    session: Session,
    grace: timedelta,
    *,
    counted: bool,
    after: int | None = None,
    with_emails: bool = True,
) -> tuple[list[Overdue], int | None]:
    """A page of overdue members, soonest to stop being counted first, and the next page's key."""
    place = (_GRACE_FROM, Membership.id)
    statement = (
        select(Membership, Member)
        .join(Member, Member.id == Membership.member_id)
        .where(IS_OVERDUE, counts_at(now(), grace) if counted else ~counts_at(now(), grace))
        .order_by(*(place if counted else [column.desc() for column in place]))
        .limit(PAGE + 1)
    )
    if after is not None:
        last = select(*place).where(Membership.id == after).scalar_subquery()
        statement = statement.where(tuple_(*place) > last if counted else tuple_(*place) < last)
    rows = session.execute(statement).all()
    shown = rows[:PAGE]
    emails = _read_emails(session, shown) if with_emails else {}
    found = [
        Overdue(
            member,
            membership,
            due=membership.amount if membership.due is None else membership.due,
            since=grace_began_at(membership),
            leaves_at=_leaves_at(member, membership, grace),
            emails=emails.get(member.id, ()),
        )
        for membership, member in shown
    ]
    return found, shown[-1][0].id if len(rows) > PAGE else None


def read_failed(session: Session, since: datetime) -> tuple[int, Sequence[Row[Payment, Member]]]:
    """How many payments failed since then, and the latest of them."""
    is_failed = (Payment.status == PaymentStatus.FAILED, Payment.paid_at >= since)
    count = session.scalar(select(func.count()).select_from(Payment).where(*is_failed)) or 0
    rows = session.execute(
        select(Payment, Member)
        .join(Member, Member.id == Payment.member_id)
        .where(*is_failed)
        .order_by(Payment.paid_at.desc(), Payment.id.desc())
        .limit(MOST_FAILED)
    ).all()
    return count, rows


def read_recoveries(session: Session) -> list[tuple[date, dict[str, Recovery]]]:
    """Outcomes by month of the first failure, latest first, and by reason."""
    rows = session.scalars(
        select(DailyFigure)
        .where(DailyFigure.topic.in_((Topic.FAILED, Topic.RECOVERED)))
        .order_by(DailyFigure.day.desc())
    )
    found: dict[date, dict[str, dict[Topic, dict[str, tuple[int, int]]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(dict))
    )
    for row in rows:
        found[row.day][row.key][row.topic][row.currency] = (row.people, row.amount)
    return [
        (month, {cause: _recovery(topics) for cause, topics in sorted(causes.items())})
        for month, causes in found.items()
    ]


def together(causes: dict[str, Recovery]) -> Recovery:
    """All reasons of a month combined."""
    money: dict[str, tuple[int, int]] = {}
    for one in causes.values():
        for currency, (failed, paid) in one.money.items():
            before = money.get(currency, (0, 0))
            money[currency] = (before[0] + failed, before[1] + paid)
    return Recovery(
        sum(one.failed for one in causes.values()),
        sum(one.paid for one in causes.values()),
        money,
    )


def _recovery(topics: dict[Topic, dict[str, tuple[int, int]]]) -> Recovery:
    failed, paid = topics.get(Topic.FAILED, {}), topics.get(Topic.RECOVERED, {})
    return Recovery(
        sum(people for people, _ in failed.values()),
        sum(people for people, _ in paid.values()),
        {
            currency: (amount, paid.get(currency, (0, 0))[1])
            for currency, (_, amount) in failed.items()
        },
    )


def _leaves_at(member: Member, membership: Membership, grace: timedelta) -> datetime | None:
    if member.counting:
        return member.recount_at
    ends = grace_ends_at(membership, grace)
    return min(ends, membership.cancel_at) if membership.cancel_at else ends


def _read_emails(
    session: Session, rows: Sequence[Row[Membership, Member]]
) -> dict[int, list[Email]]:
    """The e-mails to these people since their payment failed, latest first."""
    if not rows:
        return {}
    since = {
        member.id: membership.grace_from or membership.started_at for membership, member in rows
    }
    found: dict[int, list[Email]] = defaultdict(list)
    for email in session.scalars(
        select(Email)
        .where(Email.member_id.in_(since), Email.created_at >= min(since.values()))
        .order_by(Email.id.desc())
    ):
        member_id = email.member_id
        if (
            member_id is not None
            and email.created_at >= since[member_id]
            and len(found[member_id]) < _MOST_EMAILS
        ):
            found[member_id].append(email)
    return found
