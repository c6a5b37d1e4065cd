"""Parts of e-mails to readers who left an address and aren't members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from fundraiser.campaigns.models import Campaign
from fundraiser.campaigns.progress import current_campaign
from fundraiser.config import current_settings
from fundraiser.emails.links import Reference, address_of
from fundraiser.emails.parts.body import Body, Link, NotDueError, Say, compose, example_link
from fundraiser.emails.parts.campaigns import bar_of
from fundraiser.joining.reminders import Reminder, months_to_choose
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from fundraiser.members.models import Member
    from fundraiser.outbox import Email

ReminderBody = Callable[[Session, datetime, Campaign, str], Body]


def about_reminder(body: ReminderBody) -> Callable[[Session, Email], Body]:
    """The body of an e-mail about a reminder: date, campaign and confirmation link."""

    def read(session: Session, email: Email) -> Body:
        reminder = session.get_one(Reminder, email.reminder_id)
        campaign = session.get(Campaign, reminder.campaign_slug) or current_campaign(session)
        if campaign is None:
            raise NotDueError("The campaign that it is about is not known any more.")
        answer = address_of(Reference(reminder_id=reminder.id))
        return body(session, reminder.due_at, campaign, answer)

    return read


def example_about_reminder(body: ReminderBody) -> Callable[[Session, Member | None], Body | None]:
    """An example for next month; None if there is no campaign."""

    def read(session: Session, _member: Member | None) -> Body | None:
        campaign = current_campaign(session)
        if campaign is None:
            return None
        return body(session, months_to_choose()[0], campaign, example_link())

    return read


def asking_to_join(
    session: Session, say: Say, campaign: Campaign, reason: str, due_at: datetime
) -> Body:
    """An e-mail with this text, the campaign's progress and a link to join."""
    return replace(
        compose(say, reminder_values(due_at), reason),
        bar=bar_of(session, campaign),
        has_account=False,
        link=Link(
            _("Become a member"), f"{current_settings().public_url}/join?campaign={campaign.slug}"
        ),
    )


def reminder_values(due_at: datetime) -> dict[str, str]:
    """The names for e-mails to readers."""
    return {"newsroom": current_settings().newsroom_name, "month": date(due_at, "LLLL y")}
