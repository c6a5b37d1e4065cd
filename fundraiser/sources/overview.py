"""Sources at a glance: how many people each brings, how old its list is, and who runs out soon."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from fundraiser import jobs
from fundraiser.db import now
from fundraiser.members.eligibility import counted_until, counts_at
from fundraiser.members.models import Member, Membership, Source
from fundraiser.sources.models import ExternalSource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

_EVERY = timedelta(minutes=1)
_WARNED_BEFORE = timedelta(days=7)
HEARTBEAT = "sources"


@dataclass(frozen=True, slots=True)
class RunningOut:
    """People of a source who stop being counted soon unless a newer list comes."""

    source: str
    label: str
    list_at: datetime | None
    people: int
    first_at: datetime


def refresh_if_due(session: Session, grace: timedelta) -> bool:
    """Count the people of each source again, once a minute."""
    if not jobs.is_due(session, HEARTBEAT, _EVERY):
        return False
    refresh(session, grace)
    return True


def refresh(session: Session, grace: timedelta) -> None:
    """Count the people of each source: who is in two is in both."""
    at = now()
    counts = dict(
        session.execute(
            select(Membership.origin, func.count(func.distinct(Membership.member_id)))
            .where(Membership.origin.is_not(None), Membership.source == Source.IMPORT)
            .where(counts_at(at, grace))
            .group_by(Membership.origin)
        ).all()
    )
    for name in session.scalars(select(ExternalSource.name).order_by(ExternalSource.name)).all():
        session.execute(
            update(ExternalSource)
            .where(ExternalSource.name == name)
            .values(members=counts.get(name, 0), counted_at=at)
        )
    jobs.beat(session, HEARTBEAT)


def list_sources(session: Session) -> Sequence[ExternalSource]:
    """All sources, those with most people first."""
    return session.scalars(
        select(ExternalSource).order_by(ExternalSource.members.desc(), ExternalSource.name)
    ).all()


def running_out(session: Session, grace: timedelta) -> list[RunningOut]:
    """Who stops being counted within a week by the age of their source's list alone.

    Who has cancelled there leaves anyway, and isn't among them.
    """
    at = now()
    until = counted_until(grace)
    rows = session.execute(
        select(
            ExternalSource.name,
            ExternalSource.label,
            ExternalSource.list_at,
            func.count(func.distinct(Membership.member_id)),
            func.min(until),
        )
        .join(Membership, Membership.origin == ExternalSource.name)
        .join(Member, Member.id == Membership.member_id)
        .where(
            Membership.source == Source.IMPORT,
            Membership.cancel_at.is_(None),
            Membership.counts_until > at - grace,
            Membership.counts_until <= at - grace + _WARNED_BEFORE,
            until > at,
            Member.counting,
        )
        .group_by(ExternalSource.name)
        .order_by(func.min(until))
    )
    return [RunningOut(*row) for row in rows]
