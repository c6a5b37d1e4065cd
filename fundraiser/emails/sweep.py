"""Enqueue the e-mails that are due by the passing of time: one query a kind.

Just before an e-mail leaves, its rule is asked again of that one person: who has paid meanwhile,
came back, or waited too long in the queue gets none.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Subquery, and_, exists, func, literal, null, or_, select
from sqlalchemy.dialects.postgresql import JSONB, insert

from fundraiser.campaigns.models import Campaign, CampaignStatus
from fundraiser.campaigns.progress import current_campaign, read_progress
from fundraiser.db import now
from fundraiser.emails.models import EmailSwitch, Mailing
from fundraiser.emails.rules import RULES
from fundraiser.jobs import Job, hint
from fundraiser.members.models import Member
from fundraiser.outbox import URGENT, Email, EmailChoice, EmailKind, EmailState, Topic

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.campaigns.progress import Progress
    from fundraiser.emails.rules import Due

# Stripe itself sends receipts unless it is told not to.
OFF_UNLESS_SWITCHED_ON = {EmailKind.RECEIPT}
_QUARTERS = (25, 50, 75, 100)  # per cent of a campaign's goal
_LAST_DAYS = timedelta(days=3)


def sweep(session: Session) -> int:
    """Enqueue what is due now; returns how many e-mails that are new."""
    at, off = now(), kinds_switched_off(session)
    due = 0
    for kind, rule in RULES.items():
        if kind not in off:
            due += _enqueue_all(session, kind, rule(at), at)
    campaign = current_campaign(session)
    if campaign is not None:
        due += _enqueue_of_campaign(session, campaign, at, off)
    if due:
        hint(session, Job.DELIVER)
    return due


def is_still_due(session: Session, email: Email) -> bool:
    """Whether the rule of an e-mail's kind holds for its recipient now; True for kinds without."""
    rule = RULES.get(email.kind)
    if rule is None:
        return True
    due = rule(now()).subquery()
    if email.gift_id is not None:
        to_whom = _gift_id(due) == email.gift_id
    elif email.reminder_id is not None:
        to_whom = due.c.reminder_id == email.reminder_id
    else:
        to_whom = due.c.member_id == email.member_id
    found = select(exists().where(to_whom, due.c.cycle == email.cycle))
    return bool(session.scalar(found))


def kinds_switched_off(session: Session) -> set[EmailKind]:
    """The kinds that are not sent: as staff said, or as they are from the start."""
    said = {row.kind: row.is_on for row in session.scalars(select(EmailSwitch))}
    return {
        kind for kind in EmailKind if not said.get(kind.value, kind not in OFF_UNLESS_SWITCHED_ON)
    }


def _enqueue_all(session: Session, kind: EmailKind, due: Due, at: datetime) -> int:
    found = due.subquery()
    has_one = exists().where(
        Email.kind == kind,
        Email.cycle == found.c.cycle,
        or_(
            Email.member_id == found.c.member_id,
            Email.reminder_id == found.c.reminder_id,
            Email.gift_id == _gift_id(found),
        ),
    )
    columns = {
        "member_id": found.c.member_id,
        "reminder_id": found.c.reminder_id,
        "gift_id": _gift_id(found),
        "kind": literal(kind.value),
        "cycle": found.c.cycle,
        "context": found.c.context,
        "urgent": literal(kind in URGENT),
        "state": literal(EmailState.QUEUED.value),
        "due_at": literal(at),
        "created_at": literal(at),
        "attempts": literal(0),
    }
    rows = select(*columns.values()).where(~has_one)
    made = (
        insert(Email)
        .from_select(list(columns), rows)
        .on_conflict_do_nothing()
        .returning(Email.id)
        .cte()
    )
    return session.scalar(select(func.count()).select_from(made)) or 0


def _gift_id(due: Subquery) -> ColumnElement[int | None]:
    """The gift whose recipient a rule speaks of; most rules speak of members."""
    return due.c.gift_id if "gift_id" in due.c else null().cast(Email.gift_id.type)


# What a campaign tells to those who asked to be told


def _enqueue_of_campaign(
    session: Session, campaign: Campaign, at: datetime, off: set[EmailKind]
) -> int:
    progress = read_progress(session, campaign)
    if progress.status not in {CampaignStatus.RUNNING, CampaignStatus.REACHED}:
        return 0
    due = 0
    milestone = _new_milestone(session, progress, at)
    if milestone and EmailKind.MILESTONE not in off:
        cycle = _milestone_cycle(progress, milestone)
        due += _enqueue_to_who_asked(session, EmailKind.MILESTONE, campaign, cycle, at)
    if (
        progress.status is CampaignStatus.RUNNING
        and at > campaign.deadline - _LAST_DAYS
        and EmailKind.LAST_DAYS not in off
        and _begin_mailing(session, EmailKind.LAST_DAYS, campaign.slug, at)
    ):
        due += _enqueue_to_who_asked(session, EmailKind.LAST_DAYS, campaign, campaign.slug, at)
    return due


def _new_milestone(session: Session, progress: Progress, at: datetime) -> int | None:
    """The highest quarter of the goal that was passed since the last look; each counts once.

    What was passed before anybody looked, at this campaign or at a new goal, is told to nobody.
    """
    passed = [quarter for quarter in _QUARTERS if progress.percent >= quarter]
    goal = f"{progress.campaign} {progress.goal}"
    first_look = _begin_mailing(session, EmailKind.MILESTONE, goal, at)
    new = [
        quarter
        for quarter in passed
        if _begin_mailing(session, EmailKind.MILESTONE, _milestone_cycle(progress, quarter), at)
    ]
    return max(new) if new and not first_look else None


def _milestone_cycle(progress: Progress, quarter: int) -> str:
    return f"{progress.campaign} {quarter}% of {progress.goal}"


def _begin_mailing(session: Session, kind: EmailKind, cycle: str, at: datetime) -> bool:
    """True for the one who is the first to ask."""
    begun = insert(Mailing).values(kind=kind.value, cycle=cycle, at=at).on_conflict_do_nothing()
    return session.scalar(begun.returning(Mailing.cycle)) is not None


def _enqueue_to_who_asked(
    session: Session, kind: EmailKind, campaign: Campaign, cycle: str, at: datetime
) -> int:
    who = (
        select(
            EmailChoice.member_id.label("member_id"),
            null().cast(Email.reminder_id.type).label("reminder_id"),
            literal(cycle).label("cycle"),
            func.jsonb_build_object("campaign", campaign.slug, type_=JSONB).label("context"),
        )
        .join(Member, Member.id == EmailChoice.member_id)
        .where(
            and_(EmailChoice.topic == Topic.CAMPAIGN, EmailChoice.wanted),
            Member.address.is_not(None),
        )
    )
    return _enqueue_all(session, kind, who, at)
