"""A campaign's progress: the figures for its page, the widget and staff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from fundraiser.campaigns.models import Campaign, CampaignStatus, Counts
from fundraiser.db import now
from fundraiser.errors import NotFoundError
from fundraiser.members.eligibility import RULE
from fundraiser.members.ledger import Balance, balance_at, changed_before, read_balance
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Progress:
    """A campaign's figures; ``as_of`` is the number's last change, ``version`` the ledger's."""

    campaign: str
    members: int
    goal: int
    status: CampaignStatus
    deadline: datetime
    as_of: datetime
    version: int
    revision: int

    @property
    def percent(self) -> float:
        """Percent of the goal, rounded down to a tenth, so that 100 never comes too early."""
        return self.members * 1000 // self.goal / 10

    @property
    def remaining(self) -> int:
        return max(self.goal - self.members, 0)

    @property
    def surplus(self) -> int:
        return max(self.members - self.goal, 0)

    def as_json(self) -> dict[str, Any]:
        """The public JSON's fields, in order."""
        return {
            "campaign": self.campaign,
            "members": self.members,
            "goal": self.goal,
            "percent": self.percent,
            "remaining": self.remaining,
            "status": self.status.value,
            "deadline": iso(self.deadline),
            "rule": RULE,
            "as_of": iso(self.as_of),
            "version": self.version,
            "revision": self.revision,
        }


def iso(at: datetime) -> str:
    """Format a time for the public JSON: UTC, whole seconds."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def find_campaign(session: Session, slug: str) -> Campaign:
    """Find the campaign with this slug.

    Raises:
        NotFoundError: there is none.
    """
    campaign = session.get(Campaign, slug)
    if campaign is None:
        raise NotFoundError(_("There’s no campaign at this address."))
    return campaign


def current_campaign(session: Session) -> Campaign | None:
    """The campaign of the membership page: the running one that ends first.

    If none is running, the latest one that isn't archived.
    """
    at = now()
    open_campaigns = select(Campaign).where(Campaign.archived_at.is_(None))
    return (
        session.scalars(
            open_campaigns.where(Campaign.starts_at <= at, Campaign.deadline > at)
            .order_by(Campaign.deadline)
            .limit(1)
        ).first()
        or session.scalars(open_campaigns.order_by(Campaign.deadline.desc()).limit(1)).first()
    )


def open_campaigns(session: Session) -> Sequence[str]:
    """The slugs of all campaigns that aren't archived."""
    return session.scalars(select(Campaign.slug).where(Campaign.archived_at.is_(None))).all()


def all_campaigns(session: Session) -> Sequence[str]:
    """The slugs of all campaigns."""
    return session.scalars(select(Campaign.slug)).all()


def read_progress(session: Session, campaign: Campaign, balance: Balance | None = None) -> Progress:
    """The current figures; after the deadline, those at the deadline.

    ``balance`` is the ledger's, if the caller has read it.

    Ledger rows never change and never get an earlier time, and an ended campaign keeps its start,
    deadline, goal and rule. So we read the result each time and it is always the same. Only
    ``version`` follows the ledger.
    """
    at = now()
    balance = balance or read_balance(session)
    ended = at >= campaign.deadline
    members, as_of = balance.members, balance.changed_at
    if ended:
        members = balance_at(session, campaign.deadline)
        as_of = changed_before(session, campaign.deadline) or campaign.starts_at
    if campaign.counts is Counts.NEW:
        members = (
            members - balance_at(session, campaign.starts_at) if at > campaign.starts_at else 0
        )
    return Progress(
        campaign=campaign.slug,
        members=members,
        goal=campaign.goal,
        status=_status(campaign, members, at),
        deadline=campaign.deadline,
        as_of=as_of,
        version=balance.version,
        revision=campaign.revision,
    )


def _status(campaign: Campaign, members: int, at: datetime) -> CampaignStatus:
    if campaign.archived_at:
        return CampaignStatus.ARCHIVED
    if at < campaign.starts_at:
        return CampaignStatus.SCHEDULED
    if at >= campaign.deadline:
        return CampaignStatus.ENDED
    return CampaignStatus.REACHED if members >= campaign.goal else CampaignStatus.RUNNING
