"""Asks a reader whether it was they who wanted to be reminded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, NotDueError, Wording, compose
from fundraiser.emails.parts.reminders import (
    about_reminder,
    example_about_reminder,
    reminder_values,
)
from fundraiser.joining.reminders import Reminder
from fundraiser.outbox import Email, OncePer, Recipient
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.campaigns.models import Campaign


def _read(session: Session, email: Email) -> Body:
    if session.get_one(Reminder, email.reminder_id).confirmed_at:
        raise NotDueError("The reader had confirmed the wish before the e-mail could leave.")
    return about_reminder(_body)(session, email)


def _body(_session: Session, due_at: datetime, _campaign: Campaign, answer: str) -> Body:
    return replace(
        compose(
            _say,
            reminder_values(due_at),
            _(
                "You’re getting this e-mail because somebody left this address on our "
                "campaign page."
            ),
        ),
        has_account=False,
        link=Link(_("Yes, remind me"), answer),
    )


def _say(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("Shall we remind you in %(month)s?", month=v["month"]),
        _("Shall we remind you in %(month)s?", month=v["month"]),
        [
            _(
                "Somebody asked us to e-mail this address then, once, about becoming "
                "a member of %(newsroom)s. We’ll only do so if you say yes.",
                newsroom=v["newsroom"],
            ),
            _("If that wasn’t you, there’s nothing to do: we won’t remind you."),
        ],
    )


KIND = Kind(
    label=lambda: _("Reminder needs confirming"),
    to=Recipient.READER,
    urgent=True,
    once_per=OncePer.RECIPIENT,
    body=_read,
    example=example_about_reminder(_body),
)
