"""Campaigns as staff plan them: created, changed, ended, archived; their goals with a history."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sqlalchemy import select

from fundraiser.campaigns.catalogue import list_tiers
from fundraiser.campaigns.models import Campaign, Counts, Goal
from fundraiser.config import LOOPBACK
from fundraiser.db import lock, now
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.members.models import Interval
from fundraiser.newsroom.models import Staff
from fundraiser.payments.checkout import CURRENCIES, price_of
from fundraiser.texts import by_language, gettext as _

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

MOST_MEMBERS, LONGEST_SLUG = 99_999_999, 40  # the public JSON keeps to its 300 bytes
_SLUG = re.compile(rf"(?!-)(?:[a-z0-9]|-(?!-|$)){{1,{LONGEST_SLUG}}}")
_HOST = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){0,20}")
_HTTPS = 443
_OURS = {"new"}  # an address of the staff's pages


@dataclass(frozen=True, slots=True)
class Plan:
    """A campaign as staff want it; headlines and messages by language, sites as origins.

    ``tiers`` are by the alphabet: readers see them in the order that the tiers themselves have.
    """

    headlines: dict[str, str]
    messages: dict[str, str]
    counts: Counts
    starts_at: datetime
    deadline: datetime
    tiers: list[str]
    default_tier: str
    default_currency: str
    sites: list[str]


@dataclass(frozen=True, slots=True)
class GoalChange:
    """One row of a goal's history; ``before`` is None for the first, ``staff`` for the operator."""

    at: datetime
    staff: Staff | None
    before: int | None
    members: int


def plan_of(campaign: Campaign) -> Plan:
    """The campaign as it is planned now."""
    return Plan(
        headlines=dict(campaign.headlines),
        messages=dict(campaign.messages),
        counts=campaign.counts,
        starts_at=campaign.starts_at,
        deadline=campaign.deadline,
        tiers=sorted(campaign.tiers),
        default_tier=campaign.default_tier,
        default_currency=campaign.default_currency,
        sites=list(campaign.sites),
    )


def read_slug(text: str) -> str:
    """The campaign's part of its addresses.

    Raises:
        UnprocessableError: it can't stand in an address.
    """
    slug = text.strip().lower()
    if not _SLUG.fullmatch(slug) or slug in _OURS:
        raise UnprocessableError(
            _(
                "Write the address in small Latin letters, figures and single hyphens, like "
                "spring-2027, with %(most)s characters at most.",
                most=LONGEST_SLUG,
            ),
            field="slug",
        )
    return slug


def read_goal(text: str) -> int:
    """A number of members, as people write it: 25000, 25 000 or 25,000.

    Raises:
        UnprocessableError: it is none, or none that a campaign can have.
    """
    digits = re.sub(r"(?<=\d)[ \xa0\u202f,.'’](?=\d{3}(?!\d))", "", text.strip())
    if not (digits.isascii() and digits.isdecimal()) or not 0 < len(digits) <= len(
        str(MOST_MEMBERS)
    ):
        raise UnprocessableError(
            _("Enter the goal as a number of members in figures, like 25000."), field="goal"
        )
    if int(digits) == 0:
        raise UnprocessableError(_("The goal must be 1 member or more."), field="goal")
    return int(digits)


def read_site(text: str, *, is_demonstration: bool) -> str:
    """A site as browsers name it, its origin: https://news.example.org.

    Raises:
        UnprocessableError: it is no https origin; a demonstration's may be http on this machine.
    """
    try:
        parts = urlsplit(text.strip())
        host = (parts.hostname or "").encode("idna").decode()
        port = f":{parts.port}" if parts.port and parts.port != _HTTPS else ""
    except (ValueError, UnicodeError):
        parts, host, port = urlsplit(""), "", ""
    is_ours = parts.scheme == "http" and host in LOOPBACK and is_demonstration
    has_more = parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username
    if not _HOST.fullmatch(host) or has_more or not (parts.scheme == "https" or is_ours):
        raise UnprocessableError(
            _(
                "“%(site)s” can’t be one of the sites. Write each as https:// and its name, like "
                "https://news.example.org, with nothing after it.",
                site=text.strip(),
            ),
            field="sites",
        )
    return f"{parts.scheme}://{host}{port}"


def lock_campaign(session: Session, slug: str) -> Campaign:
    """The campaign of this slug, kept from everybody else until the transaction ends.

    Raises:
        NotFoundError: there is none.
    """
    campaign = session.get(Campaign, slug, with_for_update=True, populate_existing=True)
    if campaign is None:
        raise NotFoundError(_("There is no campaign at this address."))
    return campaign


def list_campaigns(session: Session) -> list[Campaign]:
    """All of them, the one that ends last first; the archived ones after the others."""
    return list(
        session.scalars(
            select(Campaign).order_by(Campaign.archived_at.is_not(None), Campaign.deadline.desc())
        )
    )


def find_problems(session: Session, plan: Plan, campaign: Campaign | None) -> dict[str, str]:
    """What keeps this plan from being the campaign's (None: a new one's), by the form's field."""
    at = now()
    problems = {}
    if campaign and at >= campaign.starts_at:
        if plan.starts_at != campaign.starts_at:
            problems["starts_at"] = _("The campaign has begun, so that its start stays as it is.")
        if plan.counts != campaign.counts:
            problems["counts"] = _(
                "The campaign has begun, so that it goes on counting as it does."
            )
    if campaign and at >= campaign.deadline:
        if plan.deadline != campaign.deadline:
            problems["deadline"] = _("The campaign has ended, so that its deadline stays as it is.")
    elif plan.deadline <= plan.starts_at:
        problems["deadline"] = _("The deadline must be after the start.")
    elif plan.deadline <= at:
        problems["deadline"] = _("The deadline must be in the future.")
    return problems | _problems_with_tiers(session, plan)


def _problems_with_tiers(session: Session, plan: Plan) -> dict[str, str]:
    offered = {tier.slug: tier for tier in list_tiers(session) if tier.slug in plan.tiers}
    chosen = offered.get(plan.default_tier)
    if not offered:
        return {"tiers": _("Choose the memberships that readers can take, one or more.")}
    if chosen is None or chosen.retired_at:
        return {"default_tier": _("Choose one of the memberships that are on offer here.")}
    if plan.default_currency not in CURRENCIES:
        currencies = ", ".join(CURRENCIES)
        return {
            "default_currency": _(
                "Choose a currency that we take: %(currencies)s.", currencies=currencies
            )
        }
    if price_of(chosen, Interval.MONTH, plan.default_currency) is None:
        return {
            "default_currency": _(
                "“%(tier)s” has no price a month in %(currency)s. Choose another currency, or give "
                "it that price first.",
                tier=by_language(chosen.names),
                currency=plan.default_currency,
            )
        }
    return {}


def create_campaign(
    session: Session, slug: str, plan: Plan, *, goal: int, timezone: str, staff: Staff
) -> Campaign:
    """Make a campaign; made twice with the same words, it is made once.

    Raises:
        UnprocessableError: another campaign has this slug.
    """
    lock(session, "campaign", slug)
    found = session.get(Campaign, slug)
    if found and plan_of(found) == plan and found.goal == goal:
        return found
    if found:
        raise UnprocessableError(
            _("There is a campaign at this address already. Choose another."), field="slug"
        )
    at = now()
    campaign = Campaign(
        slug=slug,
        headlines=plan.headlines,
        messages=plan.messages,
        counts=plan.counts,
        starts_at=plan.starts_at,
        deadline=plan.deadline,
        timezone=timezone,
        tiers=plan.tiers,
        default_tier=plan.default_tier,
        default_currency=plan.default_currency,
        sites=plan.sites,
        created_at=at,
        goals=[Goal(members=goal, set_at=at, staff_id=staff.id)],
    )
    session.add(campaign)
    session.flush()
    return campaign


def change_campaign(campaign: Campaign, plan: Plan, timezone: str) -> None:
    """Give a campaign, which the caller has locked, this plan; open pages fetch it anew."""
    campaign.headlines, campaign.messages = plan.headlines, plan.messages
    campaign.counts, campaign.starts_at = plan.counts, plan.starts_at
    campaign.deadline, campaign.timezone = plan.deadline, timezone
    campaign.tiers, campaign.default_tier = plan.tiers, plan.default_tier
    campaign.default_currency, campaign.sites = plan.default_currency, plan.sites
    campaign.revision += 1


def set_goal(campaign: Campaign, members: int, staff: Staff) -> bool:
    """Set a new goal on a campaign that the caller has locked; False if it is the goal already.

    Raises:
        UnprocessableError: the campaign has ended.
    """
    if campaign.goal == members:
        return False
    if now() >= campaign.deadline:
        raise UnprocessableError(
            _("The campaign has ended, so that its goal stays as it is."), field="goal"
        )
    campaign.goals.append(Goal(members=members, set_at=now(), staff_id=staff.id))
    campaign.revision += 1
    return True


def read_goals(session: Session, campaign: Campaign) -> list[GoalChange]:
    """The goal's history, the newest first."""
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
    """End a campaign that the caller has locked, with the number of now; False if it has ended.

    Raises:
        UnprocessableError: it has not begun.
    """
    at = now()
    if at >= campaign.deadline:
        return False
    if at < campaign.starts_at:
        raise UnprocessableError(
            _("The campaign has not begun, so that it has no result. Archive it instead.")
        )
    campaign.deadline = at
    campaign.revision += 1
    return True


def archive_campaign(campaign: Campaign) -> bool:
    """Put away a campaign that does not run; False if it was so already.

    Raises:
        UnprocessableError: it runs.
    """
    if campaign.archived_at:
        return False
    if campaign.starts_at <= now() < campaign.deadline:
        raise UnprocessableError(_("The campaign is running. End it first."))
    campaign.archived_at = now()
    return True


def restore_campaign(campaign: Campaign) -> bool:
    """Take a campaign out of the archive; False if it was in none."""
    if campaign.archived_at is None:
        return False
    campaign.archived_at = None
    return True
