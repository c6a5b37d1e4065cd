"""Overview of sources: people, age of the list, and who will soon stop being counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from fundraiser import jobs
from fundraiser.db import now
from fundraiser.members.eligibility import counted_until, counts_at
from fundraiser.members.models import Member, Membership, Source
from fundraiser.sources.live.status import list_live
from fundraiser.sources.models import ExternalSource
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.config import Settings

_EVERY = timedelta(minutes=1)
_WARNED_BEFORE = timedelta(days=7)
HEARTBEAT = "sources"
_OWN = "(here)"  # the row that keeps the count of our own; no source can be called so


@dataclass(frozen=True, slots=True)
class RunningOut:
    """A source's people who will soon stop being counted unless a newer list comes."""

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
    """Count the people of each source; people in two sources count in both."""
    at = now()
    counts = dict(
        session.execute(
            select(Membership.origin, func.count(func.distinct(Membership.member_id)))
            .where(Membership.origin.is_not(None), Membership.source == Source.IMPORT)
            .where(counts_at(at, grace))
            .group_by(Membership.origin)
        ).all()
    )
    names = session.scalars(select(ExternalSource.name).order_by(ExternalSource.name)).all()
    if names:
        counts[_OWN] = _count_own(session, at, grace)
        session.execute(
            insert(ExternalSource)
            .values(name=_OWN, label="", format="", options={}, created_at=at)
            .on_conflict_do_nothing()
        )
    for name in {*names, _OWN} if names else ():
        session.execute(
            update(ExternalSource)
            .where(ExternalSource.name == name)
            .values(members=counts.get(name, 0), counted_at=at)
        )
    jobs.beat(session, HEARTBEAT)


def _count_own(session: Session, at: datetime, grace: timedelta) -> int:
    """Count people by what they pay or were given here."""
    return (
        session.scalar(
            select(func.count(func.distinct(Membership.member_id))).where(
                Membership.source.in_((Source.STRIPE, Source.GIFT)), counts_at(at, grace)
            )
        )
        or 0
    )


def list_sources(session: Session) -> Sequence[ExternalSource]:
    """All sources, those with most people first."""
    return session.scalars(
        select(ExternalSource)
        .where(ExternalSource.name != _OWN)
        .order_by(ExternalSource.members.desc(), ExternalSource.name)
    ).all()


@dataclass(frozen=True, slots=True)
class SourceCount:
    """How many people one source makes count; ``list_at`` is its list's date.

    ``stale_since``: since when a connected service has been unreliable.
    """

    label: str
    people: int
    list_at: datetime | None = None
    stale_since: datetime | None = None


def count_by_source(session: Session, settings: Settings) -> list[SourceCount]:
    """Counts by source, our own Stripe first; empty if there is only one.

    People who pay in two sources are in both. Counted once a minute, as on the staff page.
    """
    others = [one for one in list_sources(session) if one.members]
    if not others:
        return []

    own = session.get(ExternalSource, _OWN)
    stale = {one.name: one.stale_since for one in list_live(session, settings)}
    return [
        SourceCount(_("Here, through Stripe or as a gift"), own.members if own else 0),
        *(SourceCount(one.label, one.members, one.list_at, stale.get(one.name)) for one in others),
    ]


def running_out(session: Session, grace: timedelta) -> list[RunningOut]:
    """People who stop being counted within a week only because their source's list is old.

    Excludes people who have cancelled there.
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
