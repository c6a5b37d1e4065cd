"""Milestones: each thousand, each tenth of the goal, and the goal; each is reported once.

A milestone is reached when the number is higher than at any earlier check. So a number that falls
and rises again reports nothing twice, and a new goal doesn't report old milestones.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from flask_babel import force_locale, format_decimal, ngettext
from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import joinedload

from fundraiser.campaigns import outgoing_webhook
from fundraiser.campaigns.forecast import whole_days
from fundraiser.campaigns.models import Campaign, Milestone
from fundraiser.campaigns.outgoing_webhook import HookError
from fundraiser.campaigns.plan import lock_campaign
from fundraiser.campaigns.progress import iso, read_progress
from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.jobs import Job, hint
from fundraiser.newsroom.models import Staff
from fundraiser.outbox import enqueue_to_staff
from fundraiser.texts import by_language, gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from fundraiser.campaigns.progress import Progress
    from fundraiser.db import Database

log = structlog.get_logger()

WAITS = tuple(
    timedelta(seconds=seconds)
    for seconds in (10, 60, 300, 1800, 2 * 3600, 6 * 3600, 12 * 3600, 24 * 3600)
)
_NEWS, _FORGOTTEN = timedelta(days=3), timedelta(days=30)
_THOUSAND, _TENTHS, _GOAL = 1000, 10, 100
_AFTERWARDS = timedelta(hours=1)  # in which the last moments before a deadline are still looked at


def look_for_milestones(session: Session) -> None:
    """Record milestones reached by running campaigns since the last check; the first is silent."""
    at = now()
    running = session.scalars(
        select(Campaign).where(
            Campaign.archived_at.is_(None),
            Campaign.starts_at <= at,
            Campaign.deadline > at - _AFTERWARDS,
        )
    )
    for campaign in running.all():
        progress = read_progress(session, campaign)
        if campaign.most_members is None or progress.members > campaign.most_members:
            _note(session, lock_campaign(session, campaign.slug), progress)


def pass_silently(session: Session) -> dict[str, int]:
    """Record the highest number without reporting milestones, because an import is no news.

    Returns the previous highest number of each campaign that changed.
    """
    at, before = now(), {}
    session.flush()
    for campaign in session.scalars(
        select(Campaign).where(
            Campaign.archived_at.is_(None), Campaign.starts_at <= at, Campaign.deadline > at
        )
    ).all():
        members = read_progress(session, campaign).members
        if campaign.most_members is not None and members > campaign.most_members:
            before[campaign.slug] = campaign.most_members
            session.execute(
                update(Campaign)
                .where(Campaign.slug == campaign.slug, Campaign.most_members < members)
                .values(most_members=members)
            )
    return before


def take_back(session: Session, before: Mapping[str, int]) -> None:
    """Restore each campaign's highest number from ``before`` an import that was undone.

    Milestones reported since remain reported.
    """
    session.flush()
    for slug, members in before.items():
        campaign = session.get(Campaign, slug)
        if campaign is None:
            continue
        told = session.scalar(
            select(func.max(Milestone.members)).where(Milestone.campaign_slug == slug)
        )
        most = max(members, told or 0, read_progress(session, campaign).members)
        session.execute(update(Campaign).where(Campaign.slug == slug).values(most_members=most))


def between(before: int, members: int, goal: int) -> dict[int, int | None]:
    """The milestones above ``before`` up to ``members``, with percent for a tenth."""
    first, last = before // _THOUSAND + 1, members // _THOUSAND
    found: dict[int, int | None] = {
        thousand * _THOUSAND: None for thousand in range(first, last + 1)
    }
    for tenth in range(1, _TENTHS + 1):
        step = -(-goal * tenth // _TENTHS)
        if before < step <= members:
            found[step] = tenth * _TENTHS
    return found


def tell_next(database: Database) -> bool:
    """Send one due milestone webhook; False if there is none.

    Records the attempt before sending, so that a crash only delays it.
    """
    with database.transaction() as session:
        milestone = session.scalars(
            select(Milestone)
            .where(Milestone.tell_at <= now())
            .order_by(Milestone.tell_at)
            .limit(1)
            .options(joinedload(Milestone.campaign))
            .with_for_update(skip_locked=True, of=Milestone)
        ).first()
        if milestone is None:
            return False
        if milestone.attempts > len(WAITS) or milestone.campaign.webhook_url is None:
            milestone.tell_at = None
            return True
        milestone.tell_at = now() + WAITS[min(milestone.attempts, len(WAITS) - 1)]
        milestone.attempts += 1
    error = _tell(milestone)
    with database.transaction() as session:
        kept = session.get_one(Milestone, milestone.id, with_for_update=True)
        kept.error = error
        if error is None:
            kept.told_at, kept.tell_at = now(), None
        elif kept.attempts > len(WAITS):
            kept.tell_at = None
    return True


def try_hook(campaign: Campaign) -> str | None:
    """Send a test webhook; returns the error, if any."""
    content = {"type": "test", "timestamp": iso(now()), "data": {"campaign": campaign.slug}}
    try:
        outgoing_webhook.tell(campaign, f"test_{secrets.token_hex(8)}", content)
    except HookError as error:
        return str(error)
    return None


def keep_webhook(session: Session, campaign: Campaign, url: str | None) -> bool:
    """Set or remove the site's webhook URL; False if unchanged."""
    if campaign.webhook_url == url:
        return False
    campaign.webhook_url = url
    campaign.webhook_salt = campaign.webhook_salt or secrets.token_urlsafe(24)
    if url is None:
        session.execute(
            update(Milestone)
            .where(Milestone.campaign_slug == campaign.slug, Milestone.tell_at.is_not(None))
            .values(tell_at=None)
        )
    return True


def change_secret(campaign: Campaign) -> None:
    """Sign webhooks with a new secret from now on."""
    campaign.webhook_salt = secrets.token_urlsafe(24)


def tell_again(session: Session, milestone: Milestone) -> None:
    """Retry the site's failed webhook, if none is in progress."""
    if milestone.tell_at is None:
        milestone.tell_at, milestone.attempts = now(), 0
        hint(session, Job.MILESTONES)


def list_milestones(session: Session, slug: str, most: int) -> Sequence[Milestone]:
    """The campaign's milestones, latest first."""
    return session.scalars(
        select(Milestone)
        .where(Milestone.campaign_slug == slug)
        .order_by(Milestone.id.desc())
        .limit(most)
    ).all()


def list_news(session: Session, most: int) -> Sequence[Milestone]:
    """Recent milestones, and webhooks that failed."""
    return session.scalars(
        select(Milestone)
        .where(
            or_(
                Milestone.reached_at > now() - _NEWS,
                and_(
                    Milestone.error.is_not(None),
                    Milestone.told_at.is_(None),
                    Milestone.reached_at > now() - _FORGOTTEN,
                ),
            )
        )
        .order_by(Milestone.id.desc())
        .limit(most)
        .options(joinedload(Milestone.campaign))
    ).all()


def _note(session: Session, campaign: Campaign, progress: Progress) -> None:
    """Record the highest number; report the goal or the highest milestone passed."""
    before, campaign.most_members = campaign.most_members, progress.members
    found = between(before, progress.members, campaign.goal) if before is not None else {}
    if not found:
        return
    members = next((step for step, part in found.items() if part == _GOAL), max(found))
    at = now()
    milestone = Milestone(
        campaign_slug=campaign.slug,
        members=members,
        percent=found[members],
        goal=campaign.goal,
        reached_at=at,
        tell_at=at if campaign.webhook_url else None,
        attempts=0,
    )
    session.add(milestone)
    session.flush()
    log.info("milestone", campaign=campaign.slug, members=members)
    for staff in session.scalars(
        select(Staff).where(Staff.deactivated_at.is_(None), Staff.wants_milestones)
    ):
        _write_to(session, staff, campaign, milestone, progress)


def _write_to(
    session: Session, staff: Staff, campaign: Campaign, milestone: Milestone, progress: Progress
) -> None:
    with force_locale(staff.language):
        days = whole_days(campaign.deadline - now())
        enqueue_to_staff(
            session,
            staff.id,
            key=f"milestone {milestone.id}",
            subject=name_of(milestone),
            paragraphs=[
                _(
                    "“%(headline)s” has %(members)s of %(goal)s members.",
                    headline=by_language(campaign.headlines),
                    members=format_decimal(progress.members),
                    goal=format_decimal(campaign.goal),
                ),
                ngettext(
                    "%(left)s more are needed, with %(num)s day left.",
                    "%(left)s more are needed, with %(num)s days left.",
                    days,
                    left=format_decimal(progress.remaining),
                )
                if progress.remaining
                else _("We’ve reached the goal, and readers can still join."),
                _("You can turn off these e-mails in your account."),
            ],
            link=(_("Open the overview"), f"{current_settings().public_url}/staff"),
        )


def name_of(milestone: Milestone) -> str:
    """A milestone in words, for an e-mail's subject."""
    members = format_decimal(milestone.members)
    if milestone.percent == _GOAL:
        return _("Goal reached: %(members)s members", members=members)
    if milestone.percent:
        return _(
            "%(percent)s%% of the goal reached: %(members)s members",
            percent=milestone.percent,
            members=members,
        )
    return _("%(members)s members reached", members=members)


def _tell(milestone: Milestone) -> str | None:
    """Send the webhook; returns the error, if any."""
    campaign = milestone.campaign
    data: dict[str, Any] = {
        "campaign": campaign.slug,
        "members": milestone.members,
        "percent": milestone.percent,
        "goal": milestone.goal,
        "page": f"{current_settings().public_url}/campaigns/{campaign.slug}",
    }
    content = {"type": "milestone", "timestamp": iso(milestone.reached_at), "data": data}
    try:
        outgoing_webhook.tell(campaign, f"milestone_{campaign.slug}_{milestone.members}", content)
    except HookError as error:
        log.warning("site_not_told", campaign=campaign.slug, error=str(error))
        return str(error)
    return None
