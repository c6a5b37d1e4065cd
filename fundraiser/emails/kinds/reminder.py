"""The reminder that a reader asked for, in the month they chose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Wording
from fundraiser.emails.parts.queries import Due, days, due_to_readers
from fundraiser.emails.parts.reminders import about_reminder, asking_to_join, example_about_reminder
from fundraiser.joining.reminders import Reminder, ReminderKind
from fundraiser.outbox import OncePer, Recipient
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.campaigns.models import Campaign


def _due(at: datetime) -> Due:
    return due_to_readers(
        Reminder.kind == ReminderKind.LATER, Reminder.due_at <= at, Reminder.due_at > at - days(7)
    )


def _body(session: Session, due_at: datetime, campaign: Campaign, _answer: str) -> Body:
    reason = _("You’re getting this e-mail because you asked for a reminder on our campaign page.")
    return asking_to_join(session, _say, campaign, reason, due_at)


def _say(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("Your reminder from %(newsroom)s", newsroom=v["newsroom"]),
        _("You asked us to remind you"),
        [
            _("You wanted to think about becoming a member, and asked us to get back to you now."),
            _("This is the only reminder: we won’t e-mail you about it again."),
        ],
    )


KIND = Kind(
    label=lambda: _("Reminder"),
    to=Recipient.READER,
    once_per=OncePer.RECIPIENT,
    due=_due,
    body=about_reminder(_body),
    example=example_about_reminder(_body),
)
