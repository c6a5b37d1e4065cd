"""Where a campaign stands, in words: goal reached, last day, over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.campaigns.models import CampaignStatus
from fundraiser.db import now
from fundraiser.texts import Named, date, gettext as _

if TYPE_CHECKING:
    from fundraiser.campaigns.models import Campaign
    from fundraiser.campaigns.progress import Progress

_OVER = {CampaignStatus.ENDED, CampaignStatus.ARCHIVED}


def message_after(campaign: Campaign, progress: Progress) -> str | None:
    """The message from the goal or the end on, in place of the newsroom's own; None before."""
    sentence = _message_after(campaign, progress)
    # A Ukrainian date ends in a full stop of its own.
    return sentence.replace("..", ".") if sentence else None


def _message_after(campaign: Campaign, progress: Progress) -> str | None:
    day = date(campaign.deadline)
    if progress.status in _OVER:
        if progress.members >= progress.goal:
            return _("The campaign ended on %(date)s, and we reached the goal.", date=day)
        return _("The campaign ended on %(date)s.", date=day)
    if progress.status is CampaignStatus.REACHED:
        return _(
            "We’ve reached the goal and are still counting. The campaign ends on %(date)s.",
            date=day,
        )
    return None


def state_of(campaign: Campaign, progress: Progress) -> Named | None:
    """A word or two beside the number; None while the campaign simply runs, or is to come."""
    if progress.status in _OVER:
        return Named("ended", _("Ended"))
    if progress.status is CampaignStatus.REACHED:
        return Named("reached", _("Goal reached"))
    if progress.status is CampaignStatus.RUNNING and _is_last_day(campaign):
        return Named("last-day", _("Last day"))
    return None


def _is_last_day(campaign: Campaign) -> bool:
    return (
        now().astimezone(campaign.zone).date() == campaign.deadline.astimezone(campaign.zone).date()
    )
