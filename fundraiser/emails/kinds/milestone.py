"""A campaign has passed a quarter of its goal: to members who asked for news."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.mailings import begin_mailing
from fundraiser.emails.parts.body import Body, Wording
from fundraiser.emails.parts.campaigns import about_campaign, example_about_campaign, news_of
from fundraiser.outbox import OncePer, Topic
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.campaigns.models import Campaign
    from fundraiser.campaigns.progress import Progress

_NAME = __name__.rpartition(".")[-1]
_QUARTERS = (25, 50, 75, 100)  # per cent of a campaign's goal


def _mailing(session: Session, progress: Progress, at: datetime) -> str | None:
    """The highest quarter of the goal that was passed since we last looked; each counts once.

    Those passed before anybody looked, at this campaign or at a new goal, are told to nobody.
    """
    passed = [quarter for quarter in _QUARTERS if progress.percent >= quarter]
    is_first_look = begin_mailing(session, _NAME, f"{progress.campaign} {progress.goal}", at)
    new = [
        quarter
        for quarter in passed
        if begin_mailing(session, _NAME, f"{_key(progress, quarter)}, passed", at)
    ]
    return _key(progress, max(new)) if new and not is_first_look else None


def _key(progress: Progress, quarter: int) -> str:
    return f"{progress.campaign} {quarter}% of {progress.goal}"


def _body(session: Session, campaign: Campaign) -> Body:
    return news_of(session, campaign, _say)


def _say(v: Mapping[str, str]) -> Wording:
    return Wording(
        _(
            "%(newsroom)s: the campaign has reached %(members)s members",
            newsroom=v["newsroom"],
            members=v["members"],
        ),
        _("%(members)s members so far", members=v["members"]),
        [
            _(
                "You asked us how the campaign is going: this is how far we’ve got. Thank you "
                "for your support."
            )
        ],
    )


KIND = Kind(
    label=lambda: _("Campaign milestone"),
    once_per=OncePer.RECIPIENT,
    mailing=_mailing,
    body=about_campaign(_body),
    example=example_about_campaign(_body),
    topic=Topic.CAMPAIGN,
)
