"""Somebody started to join and did not finish, and wanted to be told: three hours later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exists

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Wording
from fundraiser.emails.parts.queries import Due, days, due_to_readers
from fundraiser.emails.parts.reminders import about_reminder, asking_to_join, example_about_reminder
from fundraiser.joining.reminders import Reminder, ReminderKind
from fundraiser.outbox import OncePer, Recipient
from fundraiser.payments.models import Checkout
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.campaigns.models import Campaign


def _due(at: datetime) -> Due:
    is_finished = exists().where(
        Checkout.id == Reminder.checkout_id, Checkout.reference.is_not(None)
    )
    return due_to_readers(
        Reminder.kind == ReminderKind.UNFINISHED,
        Reminder.due_at <= at,
        Reminder.due_at > at - days(2),
        ~is_finished,
    )


def _body(session: Session, due_at: datetime, campaign: Campaign, _answer: str) -> Body:
    reason = _("You’re getting this e-mail because you agreed to it when you started to join.")
    return asking_to_join(session, _say, campaign, reason, due_at)


def _say(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("You were one step away from joining %(newsroom)s", newsroom=v["newsroom"]),
        _("You haven’t finished joining"),
        [
            _(
                "Did something go wrong, or have you already paid? Reply to this e-mail "
                "and we’ll help."
            ),
            _(
                "If you’d still like to join, it takes a minute. We won’t e-mail you "
                "about this again."
            ),
        ],
    )


KIND = Kind(
    label=lambda: _("Unfinished sign-up"),
    to=Recipient.READER,
    once_per=OncePer.RECIPIENT,
    due=_due,
    body=about_reminder(_body),
    example=example_about_reminder(_body),
)
