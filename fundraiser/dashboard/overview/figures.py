"""Queries for the overview's figures, each on an index."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from sqlalchemy import func, not_, select, text

from fundraiser.dashboard.models import DailyFigure, Topic
from fundraiser.db import now
from fundraiser.jobs import Heartbeat
from fundraiser.members.history import Imported, Mark, read_imported, read_marks, start_of_day
from fundraiser.members.models import Member, Membership
from fundraiser.newsroom.models import Staff
from fundraiser.outbox import Email, EmailState
from fundraiser.payments.disputes import INQUIRIES, UNANSWERED
from fundraiser.payments.models import IS_DISPUTED, Event, Payment, SyncRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

LATE = timedelta(minutes=5)  # an event that waits longer has met something that does not work
SILENT = timedelta(minutes=1)  # a heartbeat this old means that its part is not running
WINDOWS = (7, 28)  # days
DAYS_SHOWN = 28


@dataclass(frozen=True, slots=True)
class Flow:
    """Joins and losses in the last ``days``, today included; ``elapsed`` of them so far.

    ``imported`` is the net number of people whom imports added and who joined or left earlier: they
    are in the balance, and not among ``joined`` and ``stopped``.
    """

    days: int
    elapsed: float
    joined: int
    stopped: int
    imported: int

    @property
    def net(self) -> int:
        return self.joined - self.stopped

    @property
    def net_a_day(self) -> float:
        return self.net / self.elapsed


@dataclass(frozen=True, slots=True)
class Day:
    """A calendar day that starts at ``start``; ``imported`` as in ``Flow``.

    It is negative on a day on which people joined whom a list brought only later.
    """

    start: datetime
    joined: int
    stopped: int
    imported: int
    is_over: bool


@dataclass(frozen=True, slots=True)
class Machinery:
    """The state of the background jobs; ``emails`` counts unfinished ones by state."""

    syncs_due: int
    syncs_failed: int
    oldest_unsettled: datetime | None
    emails: dict[EmailState, int]
    heartbeats: dict[str, datetime]


def read_days(
    session: Session, zone: ZoneInfo, here: Mark, count: int = DAYS_SHOWN, step: int = 1
) -> list[Day]:
    """The last 28 days, including today; or so many times ``step`` days."""
    at = now()
    starts = [start_of_day(at, zone, place * step + step - 1) for place in reversed(range(count))]
    marks = [*read_marks(session, starts), here]
    imports = read_imported(session, starts, here.version)
    return [
        _day(start, since, until, one, is_over=start is not starts[-1])
        for start, (since, until), one in zip(starts, pairwise(marks), imports, strict=True)
    ]


def _day(start: datetime, since: Mark, until: Mark, imports: Imported, *, is_over: bool) -> Day:
    """Count the +1 and -1 rows between two marks, by subtraction: versions have no gaps.

    A list brings people who joined elsewhere, perhaps years ago: they joined when they began.
    """
    rows, net = until.version - since.version, until.balance - since.balance
    joined = (rows + net) // 2 - imports.added + imports.joined
    stopped = (rows - net) // 2 - imports.removed + imports.stopped
    return Day(start, joined, stopped, net - (joined - stopped), is_over=is_over)


def sum_flows(days: Sequence[Day]) -> list[Flow]:
    """Joins and losses today, in the last 7 and the last 28 of these days."""
    at = now()
    return [
        Flow(
            span,
            (at - days[-span].start) / timedelta(days=1),
            sum(day.joined for day in days[-span:]),
            sum(day.stopped for day in days[-span:]),
            sum(day.imported for day in days[-span:]),
        )
        for span in (1, *WINDOWS)
    ]


def read_contribution_sums(session: Session) -> Sequence[DailyFigure]:
    """One-time contributions by currency, from the daily figures: most gifts first."""
    is_sum = DailyFigure.topic == Topic.CONTRIBUTION
    newest = select(func.max(DailyFigure.day)).where(is_sum).scalar_subquery()
    return session.scalars(
        select(DailyFigure)
        .where(is_sum, DailyFigure.day == newest)
        .order_by(DailyFigure.people.desc(), DailyFigure.currency)
    ).all()


def read_machinery(session: Session) -> Machinery:
    """Read the state of the background jobs."""
    due, resting = session.execute(
        select(
            func.count().filter(SyncRequest.due_at <= now()),
            func.count().filter(SyncRequest.due_at.is_(None)),
        ).select_from(SyncRequest)
    ).one()
    emails = session.execute(
        select(Email.state, func.count())
        .where(Email.state.not_in((EmailState.SENT, EmailState.WITHDRAWN)))
        .group_by(Email.state)
    )
    beats = session.execute(select(Heartbeat.name, Heartbeat.beat_at))
    return Machinery(
        syncs_due=due,
        syncs_failed=resting,
        oldest_unsettled=session.scalar(
            select(func.min(Event.received_at)).where(Event.settled_at.is_(None))
        ),
        emails=dict(emails.all()),
        heartbeats=dict(beats.all()),
    )


def read_open_disputes(session: Session, most: int) -> Sequence[Row[Payment, Member]]:
    """Disputes and inquiries that wait for an answer from us, oldest first."""
    return session.execute(
        select(Payment, Member)
        .join(Member, Member.id == Payment.member_id)
        .where(text(IS_DISPUTED), Payment.dispute.in_(UNANSWERED))
        .order_by(Payment.id)
        .limit(most)
    ).all()


def count_open_disputes(session: Session) -> tuple[int, int, int]:
    """The number of disputes that wait for our answer, of such inquiries, and of all others."""
    ours = Payment.dispute.in_(UNANSWERED)
    disputed, asked, answered = session.execute(
        select(
            func.count().filter(ours, Payment.dispute.not_in(INQUIRIES)),
            func.count().filter(ours, Payment.dispute.in_(INQUIRIES)),
            func.count().filter(not_(ours)),
        ).where(text(IS_DISPUTED))
    ).one()
    return disputed, asked, answered


def read_to_cancel(session: Session, most: int) -> Sequence[Row[Membership, Member]]:
    """Memberships that Stripe refused to cancel, oldest request first."""
    return session.execute(
        select(Membership, Member)
        .join(Member, Member.id == Membership.member_id)
        .where(
            Membership.cancel_wanted_at.is_not(None),
            Membership.cancel_at.is_(None),
            Membership.ended_at.is_(None),
        )
        .order_by(Membership.cancel_wanted_at)
        .limit(most)
    ).all()


def read_failed_emails(
    session: Session, most: int
) -> Sequence[Row[Email, Member | None, Staff | None]]:
    """Failed e-mails, latest first; those without a member or staff are to readers."""
    return session.execute(
        select(Email, Member, Staff)
        .outerjoin(Member, Member.id == Email.member_id)
        .outerjoin(Staff, Staff.id == Email.staff_id)
        .where(Email.state.in_((EmailState.FAILED, EmailState.UNKNOWN)))
        .order_by(Email.id.desc())
        .limit(most)
    ).all()
