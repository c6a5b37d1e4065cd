"""Models: campaigns, goals and milestones."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from fundraiser.db import Base, Identifier
from fundraiser.newsroom.models import Staff


class Counts(StrEnum):
    """What a campaign counts: all members, or members since its start."""

    ALL = "all"
    NEW = "new"


class CampaignStatus(StrEnum):
    """A campaign's status, derived from its times and the number, never stored."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    REACHED = "reached"
    ENDED = "ended"
    ARCHIVED = "archived"


class Campaign(Base):
    """An appeal for members until a deadline.

    ``headlines``, ``messages``, ``reasons`` (one a line) and ``captions`` (of the picture) are by
    language. ``sites`` are the origins that may embed the
    campaign and get readers back. ``revision`` increases with each change of its appearance.
    ``most_members`` is the highest number at a milestone check; None before the first.
    ``webhook_url`` is where we report milestones; ``webhook_salt`` is part of the signing secret.
    """

    __tablename__ = "campaign"

    slug: Mapped[str] = mapped_column(primary_key=True)
    headlines: Mapped[dict[str, str]]
    messages: Mapped[dict[str, str]]
    reasons: Mapped[dict[str, str]] = mapped_column(default=dict, server_default=text("'{}'"))
    captions: Mapped[dict[str, str]] = mapped_column(default=dict, server_default=text("'{}'"))
    counts: Mapped[Counts]
    starts_at: Mapped[datetime]
    deadline: Mapped[datetime]
    timezone: Mapped[str]
    theme: Mapped[str] = mapped_column(default="auto")
    accent: Mapped[str] = mapped_column(default="#0b5d46")
    tiers: Mapped[list[str]]
    default_tier: Mapped[str]
    default_currency: Mapped[str]
    sites: Mapped[list[str]]
    revision: Mapped[int] = mapped_column(default=1)
    archived_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    most_members: Mapped[int | None] = mapped_column(BigInteger)
    webhook_url: Mapped[str | None]
    webhook_salt: Mapped[str | None]

    goals: Mapped[list[Goal]] = relationship(
        back_populates="campaign", order_by="Goal.set_at, Goal.id", lazy="selectin"
    )

    @property
    def goal(self) -> int:
        """The current goal: the latest."""
        return self.goals[-1].members

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class Goal(Base):
    """A goal of a campaign; a new goal is a new row, so that the history stays.

    ``staff_id`` is who set it; None means the operator.
    """

    __tablename__ = "goal"
    __table_args__ = (CheckConstraint("members > 0", name="members"),)

    id: Mapped[Identifier]
    campaign_slug: Mapped[str] = mapped_column(ForeignKey("campaign.slug"), index=True)
    members: Mapped[int] = mapped_column(BigInteger)
    set_at: Mapped[datetime]
    staff_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey(Staff.id), index=True)

    campaign: Mapped[Campaign] = relationship(back_populates="goals", lazy="raise")


class CampaignPicture(Base):
    """A campaign's picture as JPEG, in a row of its own because few pages need its bytes.

    ``name`` changes with the content, so that browsers may keep it for ever.
    """

    __tablename__ = "campaign_picture"

    campaign_slug: Mapped[str] = mapped_column(ForeignKey("campaign.slug"), primary_key=True)
    name: Mapped[str]
    content: Mapped[bytes] = mapped_column(deferred=True)
    width: Mapped[int]
    height: Mapped[int]


class Milestone(Base):
    """A number of members that a campaign reached while running, recorded once.

    ``percent`` is its share of the ``goal`` at the time, if a tenth; 100 is the goal itself.
    ``tell_at`` is when to call the site's webhook; ``error`` describes the last attempt for staff.
    """

    __tablename__ = "milestone"
    __table_args__ = (
        UniqueConstraint("campaign_slug", "members"),
        Index("ix_milestone_tell_at", "tell_at", postgresql_where="tell_at IS NOT NULL"),
    )

    id: Mapped[Identifier]
    campaign_slug: Mapped[str] = mapped_column(ForeignKey("campaign.slug"))
    members: Mapped[int] = mapped_column(BigInteger)
    percent: Mapped[int | None]
    goal: Mapped[int] = mapped_column(BigInteger)
    reached_at: Mapped[datetime]
    tell_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    told_at: Mapped[datetime | None]
    error: Mapped[str | None]

    campaign: Mapped[Campaign] = relationship(lazy="raise")
