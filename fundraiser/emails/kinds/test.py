"""A test of another e-mail to somebody of the staff, with a text that isn't saved yet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.emails import kinds
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, NotDueError
from fundraiser.members.models import Member
from fundraiser.outbox import Email, OncePer, Recipient
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def _body(session: Session, email: Email) -> Body:
    told = email.context
    kind = kinds.KINDS.get(told["kind"])
    member = session.get(Member, told["member"]) if told["member"] else None
    example = kind.example(session, member) if kind and kind.example else None
    if example is None:
        raise NotDueError("There is no example of this e-mail any more.")
    return replace(
        example,
        subject=_("Test: %(subject)s", subject=told["subject"]),
        heading=told["heading"],
        paragraphs=told["paragraphs"],
        original=None,
    )


KIND = Kind(
    label=lambda: _("Test of an e-mail"),
    to=Recipient.STAFF,
    urgent=True,
    once_per=OncePer.RECIPIENT,
    body=_body,
    secret=True,
)
