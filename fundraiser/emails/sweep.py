"""Enqueue scheduled e-mails that are due, with one query for each kind.

Just before an e-mail is sent, its query runs again for that person: people who have paid or come
back meanwhile, or whose e-mail waited too long, get none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, exists, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB, insert

from fundraiser.campaigns.models import CampaignStatus
from fundraiser.campaigns.progress import current_campaign, read_progress
from fundraiser.db import now
from fundraiser.emails.kinds import KINDS
from fundraiser.emails.mailings import begin_mailing
from fundraiser.emails.models import EmailSwitch
from fundraiser.jobs import Job, hint
from fundraiser.members.models import Member
from fundraiser.outbox import Email, EmailChoice, EmailState, OncePer

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Subquery
    from sqlalchemy.orm import Session

    from fundraiser.emails.kind import Kind
    from fundraiser.emails.parts.queries import Due

_NEWS_WHILE = {CampaignStatus.RUNNING, CampaignStatus.REACHED}


def sweep(session: Session) -> int:
    """Enqueue due e-mails; returns how many are new."""
    at, off = now(), kinds_switched_off(session)
    count = 0
    for kind in KINDS.values():
        if kind.due and kind.name not in off:
            count += _enqueue_all(session, kind, kind.due(at), at)
    count += _enqueue_news(session, off, at)
    if count:
        hint(session, Job.DELIVER)
    return count


def is_still_due(session: Session, kind: Kind, email: Email) -> bool:
    """Whether the kind's query still finds the recipient; True for kinds without a query."""
    if kind.due is None:
        return True
    due = kind.due(now()).subquery()
    to = getattr(email, f"{kind.to}_id")
    found = select(exists().where(due.c.to == to, _key(kind, due) == email.key))
    return bool(session.scalar(found))


def kinds_switched_off(session: Session) -> set[str]:
    """The kinds that are off, by staff or by default."""
    decided = {row.kind: row.is_on for row in session.scalars(select(EmailSwitch))}
    return {name for name, kind in KINDS.items() if not decided.get(name, kind.on_by_default)}


def _enqueue_news(session: Session, off: set[str], at: datetime) -> int:
    """Enqueue the current campaign's mailing for people who asked for news."""
    campaign = current_campaign(session)
    if campaign is None:
        return 0
    progress = read_progress(session, campaign)
    if progress.status not in _NEWS_WHILE:
        return 0
    count = 0
    for kind in KINDS.values():
        key = kind.mailing(session, progress, at) if kind.mailing else None
        if key and kind.name not in off and begin_mailing(session, kind.name, key, at):
            count += _enqueue_all(session, kind, _who_asked(kind, key, campaign.slug), at)
    return count


def _who_asked(kind: Kind, key: str, campaign: str) -> Due:
    """People who have asked for news of the kind's topic so far."""
    return (
        select(
            EmailChoice.member_id.label("to"),
            literal(key).label("key"),
            func.jsonb_build_object("campaign", campaign, type_=JSONB).label("context"),
        )
        .join(Member, Member.id == EmailChoice.member_id)
        .where(EmailChoice.topic == kind.topic, EmailChoice.wanted, Member.address.is_not(None))
    )


def _enqueue_all(session: Session, kind: Kind, due: Due, at: datetime) -> int:
    found = due.subquery()
    key = _key(kind, found)
    columns: dict[str, Any] = {
        f"{kind.to}_id": found.c.to,
        "kind": literal(kind.name),
        "key": key,
        "context": found.c.context,
        "urgent": literal(kind.urgent),
        "state": literal(EmailState.QUEUED.value),
        "due_at": literal(at),
        "created_at": literal(at),
        "attempts": literal(0),
    }
    is_there = exists().where(Email.kind == kind.name, Email.key == key)
    made = (
        insert(Email)
        .from_select(list(columns), select(*columns.values()).where(~is_there))
        .on_conflict_do_nothing()
        .returning(Email.id)
        .cte()
    )
    return session.scalar(select(func.count()).select_from(made)) or 0


def _key(kind: Kind, due: Subquery) -> ColumnElement[str]:
    """Each row's key, as ``key_for`` makes it."""
    if kind.once_per is OncePer.CAUSE:
        return due.c.key
    return func.concat_ws(" ", kind.to.value, due.c.to, due.c.key)
