"""What campaigns tell to who asked, and what is said to readers who left an address."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flask_babel import format_decimal

from fundraiser.campaigns.models import Campaign
from fundraiser.campaigns.progress import current_campaign, read_progress
from fundraiser.config import current_settings
from fundraiser.emails.links import Reference, address_of
from fundraiser.emails.parts import Body, Link, NotDueError, Wording, bar_of, compose, last_day
from fundraiser.joining.reminders import Reminder
from fundraiser.outbox import EmailKind
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.outbox import Email


def body_about_campaign(session: Session, email: Email) -> Body:
    """What a campaign tells to those who asked: a milestone, or that the end is near."""
    campaign = session.get_one(Campaign, email.context["campaign"])
    is_last = email.kind is EmailKind.LAST_DAYS
    if is_last and not read_progress(session, campaign).remaining:
        raise NotDueError("The goal was reached before the e-mail could leave.")
    return body_of_campaign(session, email.kind, campaign)


def body_of_campaign(session: Session, kind: EmailKind, campaign: Campaign) -> Body:
    """What this kind of e-mail says of a campaign as it stands."""
    progress = read_progress(session, campaign)
    values = {
        "newsroom": current_settings().newsroom_name,
        "members": format_decimal(progress.members),
        "goal": format_decimal(progress.goal),
        "remaining": format_decimal(progress.remaining),
        "date": last_day(campaign),
    }

    def say(v: Mapping[str, str]) -> Wording:
        if kind is EmailKind.LAST_DAYS:
            return Wording(
                _(
                    "The last days: %(remaining)s members are still needed",
                    remaining=v["remaining"],
                ),
                _("Until %(date)s", date=v["date"]),
                [
                    _(
                        "%(members)s people are members now, and the goal is %(goal)s. If you know "
                        "somebody who would join, pass the page on.",
                        members=v["members"],
                        goal=v["goal"],
                    )
                ],
            )
        return Wording(
            _("%(newsroom)s has %(members)s members", newsroom=v["newsroom"], members=v["members"]),
            _("We are %(members)s", members=v["members"]),
            [_("You asked us to tell you how the campaign goes. You are one of them. Thank you.")],
        )

    home = current_settings().public_url
    return replace(
        compose(say, values, _("You get this letter because you asked for news of the campaign.")),
        bar=bar_of(session, campaign),
        link=Link(_("See how far we are"), f"{home}/campaigns/{campaign.slug}"),
    )


def body_to_reader(session: Session, email: Email) -> Body:
    """What an e-mail says to a reader who left an address."""
    reminder = session.get_one(Reminder, email.reminder_id)
    campaign = session.get(Campaign, reminder.campaign_slug) or current_campaign(session)
    if campaign is None:
        raise NotDueError("The campaign that it is about is not known any more.")
    if email.kind is EmailKind.REMINDER_CONFIRMATION and reminder.confirmed_at:
        raise NotDueError("The reader had confirmed the wish before the e-mail could leave.")
    answer = address_of(Reference(reminder_id=reminder.id))
    return body_of_reminder(session, email.kind, reminder.due_at, campaign, answer)


def body_of_reminder(
    session: Session, kind: EmailKind, due_at: datetime, campaign: Campaign, answer: str
) -> Body:
    """What is said to a reader who is to be reminded then; ``answer`` is where to say yes or no."""
    home = current_settings().public_url
    values = {"newsroom": current_settings().newsroom_name, "month": date(due_at, "LLLL y")}
    join = Link(_("Become a member"), f"{home}/join?campaign={campaign.slug}")
    match kind:
        case EmailKind.REMINDER_CONFIRMATION:
            said, reason = (
                _ask_to_confirm,
                _("You get this letter because somebody left this address at our campaign."),
            )
            return replace(
                compose(said, values, reason),
                has_account=False,
                link=Link(_("Yes, remind me"), answer),
            )
        case EmailKind.REMINDER:
            said, reason = (
                _remind,
                _("You get this letter because you asked for it at our campaign."),
            )
        case _:
            said, reason = (
                _unfinished,
                _("You get this letter because you agreed to it when you began to join."),
            )
    return replace(
        compose(said, values, reason),
        bar=bar_of(session, campaign),
        has_account=False,
        link=join,
    )


def _ask_to_confirm(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("Shall we remind you in %(month)s?", month=v["month"]),
        _("Shall we remind you in %(month)s?", month=v["month"]),
        [
            _(
                "Somebody asked us to write to this address then, once, about becoming a member of "
                "%(newsroom)s. We do so only if you say yes.",
                newsroom=v["newsroom"],
            ),
            _("If it was not you, do nothing: you will not hear from us again."),
        ],
    )


def _remind(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("You asked us to remind you: %(newsroom)s", newsroom=v["newsroom"]),
        _("You asked us to remind you"),
        [
            _("You wanted to think about becoming a member later. Now is later."),
            _("This is the only reminder. We will not write again."),
        ],
    )


def _unfinished(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("You began to become a member of %(newsroom)s", newsroom=v["newsroom"]),
        _("Your membership was not finished"),
        [
            _("If something didn’t work, or you have paid, reply to this e-mail and tell us."),
            _("If you want to join, it takes a minute. We will not write about it again."),
        ],
    )
