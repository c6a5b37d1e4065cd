"""Create, change, end and archive campaigns; goals with their history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.campaigns.catalogue import list_tiers
from fundraiser.campaigns.forms import Plan
from fundraiser.campaigns.models import Campaign, Goal
from fundraiser.db import lock, now
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.forms import values_of
from fundraiser.members.models import Interval
from fundraiser.newsroom.models import Staff
from fundraiser.payments.checkout import CURRENCIES, price_of
from fundraiser.texts import by_language, gettext as _

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class GoalChange:
    """A change of the goal; ``before`` is None for the first, ``staff`` for the operator."""

    at: datetime
    staff: Staff | None
    before: int | None
    members: int


def plan_of(campaign: Campaign) -> Plan:
    """The campaign's current values as a form."""
    return Plan(**values_of(campaign, Plan) | {"tiers": sorted(campaign.tiers)})


def lock_campaign(session: Session, slug: str) -> Campaign:
    """Find and lock the campaign with this slug.

    Raises:
        NotFoundError: there is none.
    """
    campaign = session.get(Campaign, slug, with_for_update=True, populate_existing=True)
    if campaign is None:
        raise NotFoundError(_("There’s no campaign at this address."))
    return campaign


def list_campaigns(session: Session) -> list[Campaign]:
    """All campaigns, latest deadline first; archived ones last."""
    return list(
        session.scalars(
            select(Campaign).order_by(Campaign.archived_at.is_not(None), Campaign.deadline.desc())
        )
    )


def find_problems(session: Session, plan: Plan, campaign: Campaign | None) -> dict[str, str]:
    """What prevents saving this plan for the campaign (None: a new one), by field."""
    at = now()
    problems = {}
    if campaign and at >= campaign.starts_at:
        if plan.starts_at != campaign.starts_at:
            problems["starts_at"] = _("The campaign has started, so you can’t change its start.")
        if plan.counts != campaign.counts:
            problems["counts"] = _("The campaign has started, so you can’t change who is counted.")
    if campaign and at >= campaign.deadline:
        if plan.deadline != campaign.deadline:
            problems["deadline"] = _("The campaign has ended, so you can’t change its deadline.")
    elif plan.deadline <= plan.starts_at:
        problems["deadline"] = _("The deadline must be after the start.")
    elif plan.deadline <= at:
        problems["deadline"] = _("The deadline must be in the future.")
    return problems | _problems_with_tiers(session, plan)


def _problems_with_tiers(session: Session, plan: Plan) -> dict[str, str]:
    offered = {tier.slug: tier for tier in list_tiers(session) if tier.slug in plan.tiers}
    chosen = offered.get(plan.default_tier)
    if not offered:
        return {"tiers": _("Choose at least one tier for readers.")}
    if chosen is None or chosen.retired_at:
        return {"default_tier": _("Choose one of the tiers on offer in this campaign.")}
    if plan.default_currency not in CURRENCIES:
        currencies = ", ".join(CURRENCIES)
        return {
            "default_currency": _(
                "Choose one of our currencies: %(currencies)s.", currencies=currencies
            )
        }
    if price_of(chosen, Interval.MONTH, plan.default_currency) is None:
        return {
            "default_currency": _(
                "“%(tier)s” has no monthly price in %(currency)s. Choose another "
                "currency, or add that price first.",
                tier=by_language(chosen.names),
                currency=plan.default_currency,
            )
        }
    return {}


def create_campaign(
    session: Session, slug: str, plan: Plan, *, goal: int, timezone: str, staff: Staff
) -> Campaign:
    """Create a campaign; safe to repeat with the same values.

    Raises:
        UnprocessableError: another campaign has this slug.
    """
    lock(session, "campaign", slug)
    found = session.get(Campaign, slug)
    if found and plan_of(found) == plan and found.goal == goal:
        return found
    if found:
        raise UnprocessableError(
            _("There’s already a campaign at this address. Choose another one."), field="slug"
        )
    at = now()
    campaign = Campaign(
        slug=slug,
        timezone=timezone,
        created_at=at,
        goals=[Goal(members=goal, set_at=at, staff_id=staff.id)],
        **values_of(plan, Plan),
    )
    session.add(campaign)
    session.flush()
    return campaign


def change_campaign(campaign: Campaign, plan: Plan, timezone: str) -> None:
    """Update a locked campaign; open pages fetch it again."""
    for name, value in values_of(plan, Plan).items():
        setattr(campaign, name, value)
    campaign.timezone = timezone
    campaign.revision += 1


def set_goal(campaign: Campaign, members: int, staff: Staff) -> bool:
    """Set a locked campaign's goal; False if unchanged.

    Raises:
        UnprocessableError: the campaign has ended.
    """
    if campaign.goal == members:
        return False
    if now() >= campaign.deadline:
        raise UnprocessableError(
            _("The campaign has ended, so you can’t change its goal."), field="goal"
        )
    campaign.goals.append(Goal(members=members, set_at=now(), staff_id=staff.id))
    campaign.revision += 1
    return True


def read_goals(session: Session, campaign: Campaign) -> list[GoalChange]:
    """The goal's history, latest first."""
    rows = session.execute(
        select(Goal, Staff)
        .outerjoin(Staff, Staff.id == Goal.staff_id)
        .where(Goal.campaign_slug == campaign.slug)
        .order_by(Goal.set_at, Goal.id)
    ).all()
    before = None
    changes = []
    for goal, staff in rows:
        changes.append(GoalChange(goal.set_at, staff, before, goal.members))
        before = goal.members
    return changes[::-1]


def end_campaign(campaign: Campaign) -> bool:
    """End a locked campaign with the current number; False if it has ended.

    Raises:
        UnprocessableError: it has not started.
    """
    at = now()
    if at >= campaign.deadline:
        return False
    if at < campaign.starts_at:
        raise UnprocessableError(
            _("The campaign hasn’t started, so it has no result. Archive it instead.")
        )
    campaign.deadline = at
    campaign.revision += 1
    return True


def archive_campaign(campaign: Campaign) -> bool:
    """Archive a campaign that isn't running; False if it already was.

    Raises:
        UnprocessableError: it is running.
    """
    if campaign.archived_at:
        return False
    if campaign.starts_at <= now() < campaign.deadline:
        raise UnprocessableError(_("The campaign is running. End it first."))
    campaign.archived_at = now()
    return True


def restore_campaign(campaign: Campaign) -> bool:
    """Restore a campaign from the archive; False if it wasn't there."""
    if campaign.archived_at is None:
        return False
    campaign.archived_at = None
    return True
