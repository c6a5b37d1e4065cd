"""A campaign ends in three days, its goal not reached: to members who asked for news."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from fundraiser.campaigns.models import Campaign, CampaignStatus
from fundraiser.campaigns.progress import Progress, read_progress
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, NotDueError, Wording
from fundraiser.emails.parts.campaigns import example_about_campaign, news_of
from fundraiser.outbox import Email, OncePer, Topic
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

_LAST_DAYS = timedelta(days=3)


def _mailing(_session: Session, progress: Progress, at: datetime) -> str | None:
    is_near = at > progress.deadline - _LAST_DAYS
    return progress.campaign if is_near and progress.status is CampaignStatus.RUNNING else None


def _read(session: Session, email: Email) -> Body:
    campaign = session.get_one(Campaign, email.context["campaign"])
    if not read_progress(session, campaign).remaining:
        raise NotDueError("The goal was reached before the e-mail could leave.")
    return _body(session, campaign)


def _body(session: Session, campaign: Campaign) -> Body:
    return news_of(session, campaign, _say)


def _say(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("Last days: %(remaining)s members to go", remaining=v["remaining"]),
        _("The campaign ends on %(date)s", date=v["date"]),
        [
            _(
                "The campaign has %(members)s members so far, and its goal is "
                "%(goal)s. If you know somebody who might join, send them our page.",
                members=v["members"],
                goal=v["goal"],
            )
        ],
    )


KIND = Kind(
    label=lambda: _("Last days of a campaign"),
    once_per=OncePer.RECIPIENT,
    mailing=_mailing,
    body=_read,
    example=example_about_campaign(_body),
    topic=Topic.CAMPAIGN,
)
