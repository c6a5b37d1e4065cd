"""The columns of e-mails and of their kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request, url_for
from markupsafe import Markup

from fundraiser.dashboard import labels
from fundraiser.dashboard.columns import Column, macro, person
from fundraiser.db import now
from fundraiser.outbox import EmailState
from fundraiser.texts import N_, date_and_time, gettext as _

if TYPE_CHECKING:
    from sqlalchemy import Row

    from fundraiser.joining.reminders import Reminder
    from fundraiser.members.gifts import Gift
    from fundraiser.members.models import Member
    from fundraiser.newsroom.models import Staff
    from fundraiser.outbox import Email

CAN_BE_SENT_AGAIN = {EmailState.FAILED, EmailState.BOUNCED, EmailState.UNKNOWN}


def _to(row: Row[Email, Member | None, Staff | None, Reminder | None, Gift | None]) -> str:
    _email, member, colleague, reminder, gift = row
    if member:
        return person(member)
    if colleague:
        return colleague.name
    if gift:
        return gift.recipient_email or gift.recipient_name
    return reminder.email if reminder else ""


def _state(email: Email) -> Markup:
    return macro(
        "email_state",
        email,
        labels.email_state(email.state),
        email.state in CAN_BE_SENT_AGAIN,
        email.unknown_at and email.state is not EmailState.UNKNOWN,
        request.args.get("state", ""),
    )


def _when(email: Email) -> Markup | str:
    """When the e-mail was sent; of a queued one, when it leaves and why not before."""
    if email.state is not EmailState.QUEUED:
        return date_and_time(email.sent_at or email.created_at)
    if email.attempts:
        why = _("The last attempt failed. We try again then.")
    elif email.due_at > now():
        why = _("We send it then, unless it’s no longer needed.")
    else:
        why = _("Due. We send it after the e-mails that are before it.")
    return Markup('{}<span class="note detail" data-test="leaves">{}</span>').format(
        date_and_time(email.due_at), why
    )


def _kind(row: tuple[str, str, bool, bool]) -> Markup:
    kind, name, _is_on, _is_changed = row
    return Markup('<a href="{}">{}</a>').format(url_for("email_pages.show", kind=kind), name)


COLUMNS = (
    Column(title=N_("To"), shown=_to),
    Column(title=N_("E-mail"), shown=lambda row: labels.email(row.Email.kind)),
    Column(title=N_("Status"), shown=lambda row: _state(row.Email)),
    Column(
        title=N_("When"),
        shown=lambda row: _when(row.Email),
        style="number secondary",
    ),
)

# Of a kind's name, its label, whether it is switched on, and whether staff changed its text.
KIND_COLUMNS = (
    Column(title=N_("E-mail"), shown=_kind),
    Column(title=N_("Switched on"), shown=lambda row: _("Yes") if row[2] else _("No")),
    Column(
        title=N_("Text"),
        shown=lambda row: _("Edited by staff") if row[3] else _("Original"),
        style="secondary",
    ),
)
