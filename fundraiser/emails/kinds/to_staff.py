"""An e-mail to somebody of the staff, written by what causes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link
from fundraiser.outbox import Email, OncePer, Recipient
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def _body(_session: Session, email: Email) -> Body:
    told = email.context
    return Body(
        has_account=False,
        to_staff=True,
        subject=told["subject"],
        heading=told["subject"],
        paragraphs=told["paragraphs"],
        link=Link(*told["link"]) if told["link"] else None,
        reason=_(
            "You’re getting this e-mail because you have an account in the newsroom’s dashboard."
        ),
    )


KIND = Kind(
    label=lambda: _("Messages to staff"),
    to=Recipient.STAFF,
    urgent=True,
    once_per=OncePer.RECIPIENT,
    body=_body,
    secret=True,
)
