"""Parts of e-mails about a campaign, and the progress bar for others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from flask_babel import format_decimal, ngettext
from sqlalchemy.orm import Session

from fundraiser.campaigns.models import Campaign, Counts
from fundraiser.campaigns.progress import current_campaign, read_progress
from fundraiser.config import current_settings
from fundraiser.db import memoize, now
from fundraiser.emails.parts.body import Bar, Body, Link, Say, compose
from fundraiser.texts import date, gettext as _, language

if TYPE_CHECKING:
    from fundraiser.members.models import Member, Membership
    from fundraiser.outbox import Email

CampaignBody = Callable[[Session, Campaign], Body]


def about_campaign(body: CampaignBody) -> Callable[[Session, Email], Body]:
    """The body of an e-mail whose context names a campaign."""

    def read(session: Session, email: Email) -> Body:
        return body(session, session.get_one(Campaign, email.context["campaign"]))

    return read


def example_about_campaign(body: CampaignBody) -> Callable[[Session, Member | None], Body | None]:
    """An example about the current campaign; None if there is none."""

    def read(session: Session, _member: Member | None) -> Body | None:
        campaign = current_campaign(session)
        return body(session, campaign) if campaign else None

    return read


def news_of(session: Session, campaign: Campaign, say: Say) -> Body:
    """An e-mail with this text and the campaign's progress."""
    progress = read_progress(session, campaign)
    values = {
        "newsroom": current_settings().newsroom_name,
        "members": format_decimal(progress.members),
        "goal": format_decimal(progress.goal),
        "remaining": format_decimal(progress.remaining),
        "date": last_day(campaign),
    }
    return replace(
        compose(
            say, values, _("You’re getting this e-mail because you asked for news of the campaign.")
        ),
        bar=bar_of(session, campaign),
        link=Link(_("See how far we are"), campaign_page(campaign)),
    )


def campaign_page(campaign: Campaign) -> str:
    return f"{current_settings().public_url}/campaigns/{campaign.slug}"


def bar_of(session: Session, campaign: Campaign) -> Bar:
    """The campaign's progress; cached for e-mails rendered together."""
    name = ("bar", campaign.slug, language())
    return memoize(session, name, lambda: _bar_of(session, campaign))


def _bar_of(session: Session, campaign: Campaign) -> Bar:
    progress = read_progress(session, campaign)
    goal = format_decimal(progress.goal)
    if campaign.counts is Counts.NEW:
        of = ngettext("of %(goal)s new member", "of %(goal)s new members", progress.goal, goal=goal)
    else:
        of = ngettext("of %(goal)s member", "of %(goal)s members", progress.goal, goal=goal)
    after = None
    if progress.surplus:
        surplus = format_decimal(progress.surplus)
        after = _("%(surplus)s more than the goal", surplus=surplus)
    elif now() < progress.deadline:
        remaining = format_decimal(progress.remaining)
        after = _(
            "%(remaining)s still needed by %(date)s", remaining=remaining, date=last_day(campaign)
        )
    return Bar(format_decimal(progress.members), of, min(progress.percent, 100.0), after)


def last_day(campaign: Campaign) -> str:
    """The campaign's last day; the deadline may be the midnight that ends it."""
    return date(campaign.deadline - timedelta(seconds=1))


def campaign_of(session: Session, membership: Membership) -> Campaign | None:
    """The campaign through which somebody joined, or the current one."""
    slug = membership.campaign
    campaign = (
        memoize(session, ("campaign", slug), lambda: session.get(Campaign, slug)) if slug else None
    )
    return campaign or memoize(session, "campaign", lambda: current_campaign(session))
