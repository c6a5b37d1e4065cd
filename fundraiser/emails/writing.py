"""Render an e-mail of the outbox as a message, in HTML and plain text, in its reader's language."""

from __future__ import annotations

from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import format_datetime
from functools import cache
from typing import TYPE_CHECKING

from flask import current_app, render_template
from flask_babel import force_locale
from mjml import mjml2html

from fundraiser.addresses import to_ascii
from fundraiser.config import current_settings
from fundraiser.db import memoize, now
from fundraiser.emails.feedback import suppressed
from fundraiser.emails.kinds import KINDS
from fundraiser.emails.links import Reference, address_of
from fundraiser.emails.message import Message, in_words, mailbox, write_source
from fundraiser.emails.models import SuppressionReason
from fundraiser.emails.parts.body import NotDueError
from fundraiser.emails.sweep import is_still_due, kinds_switched_off
from fundraiser.emails.wording import as_staff_want_it
from fundraiser.joining.reminders import Reminder
from fundraiser.members.gifts import Gift
from fundraiser.members.models import Member
from fundraiser.newsroom.models import Staff
from fundraiser.outbox import Recipient, wants
from fundraiser.texts import DEFAULT_LANGUAGE, known_language

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from sqlalchemy.orm import Session

    from fundraiser.emails.kind import Kind
    from fundraiser.emails.parts.body import Body
    from fundraiser.outbox import Email


class UndeliverableError(Exception):
    """We can't send to this address; the message is for staff."""


def write(session: Session, email: Email) -> Message:
    """Render an e-mail as of now.

    Raises:
        NotDueError: it should no longer be sent.
        UndeliverableError: we can't send to the address.
    """
    kind = KINDS.get(email.kind)
    if kind is None:
        raise NotDueError("There is no such e-mail any more.")
    recipient = _recipient_of(session, kind, email)
    _check_that_it_is_wanted(session, kind, email, recipient.address)
    with force_locale(recipient.language):
        body = as_staff_want_it(session, kind, kind.body(session, email))
        text, html = render(body, recipient.stop_address)
    sender, address = current_settings().mail_from, _checked(recipient.address)
    headers = _headers(email, recipient, body.subject) | {"To": address}
    return Message(sender, address, write_source(headers, text, html))


def render(body: Body, stop_address: str | None = None) -> tuple[str, str]:
    """Render a body as plain text and as HTML."""
    text = render_template("emails/layout.txt", body=body, stop_address=stop_address)
    layout = _layout(current_app.jinja_env)
    return text, render_template(layout, body=body, stop_address=stop_address)


@cache
def _layout(templates: Environment) -> Template:
    """Compile the layout from MJML to HTML, once a process."""
    name = "emails/layout.mjml"
    assert templates.loader  # noqa: S101 - Flask's always has one
    source, _, _ = templates.loader.get_source(templates, name)
    return templates.from_string(mjml2html(source, disable_comments=True, fonts={}))


def _check_that_it_is_wanted(session: Session, kind: Kind, email: Email, address: str) -> None:
    """Raise ``NotDueError`` if suppression, staff, the member or the e-mail's query forbid it."""
    reason = suppressed(session, address)
    if reason is SuppressionReason.BOUNCE:
        raise NotDueError("An e-mail to this address came back, so none is sent to it.")
    if reason is SuppressionReason.COMPLAINT and not kind.despite_complaint:
        raise NotDueError("The person called an e-mail of ours spam, so no other is sent.")
    if kind.name in memoize(session, "off", lambda: kinds_switched_off(session)):
        raise NotDueError("E-mails of this kind are switched off.")
    if kind.topic and not wants(session, email.member_id or 0, kind.topic):
        raise NotDueError("The person does not want e-mails of this kind.")
    if not is_still_due(session, kind, email):
        raise NotDueError("The reason for the e-mail was gone before it could leave.")


@dataclass(frozen=True, slots=True)
class _Recipient:
    """A recipient; ``stop_address`` is the unsubscribe link, None if there is no choice."""

    address: str
    language: str
    stop_address: str | None = None


def _recipient_of(session: Session, kind: Kind, email: Email) -> _Recipient:
    match kind.to:
        case Recipient.STAFF:
            staff = session.get_one(Staff, email.staff_id)
            if staff.deactivated_at:
                raise NotDueError("The account was closed before the e-mail could leave.")
            return _Recipient(staff.email, email.context.get("language", DEFAULT_LANGUAGE))
        case Recipient.READER:
            reminder = session.get_one(Reminder, email.reminder_id)
            if reminder.stopped_at:
                raise NotDueError("The reader did not want the e-mail any more.")
            stop = address_of(Reference(reminder_id=reminder.id))
            return _Recipient(reminder.email, reminder.language, stop)
        case Recipient.GIFT:
            gift = session.get_one(Gift, email.gift_id)
            to = _other_address(session, kind, email) or gift.recipient_email
            if to is None:
                raise NotDueError("The address was erased before the e-mail could leave.")
            return _Recipient(to, gift.language)
        case Recipient.MEMBER:
            member = session.get_one(Member, email.member_id)
            if member.email is None:
                raise NotDueError("The person's address was erased before the e-mail could leave.")
            to = _other_address(session, kind, email) or member.email
            language = known_language(member.language)
            reference = Reference(member_id=member.id, topic=kind.topic)
            return _Recipient(to, language, address_of(reference) if kind.topic else None)


def _other_address(session: Session, kind: Kind, email: Email) -> str | None:
    return kind.address(session, email) if kind.address else None


def _headers(email: Email, recipient: _Recipient, subject: str) -> dict[str, str]:
    settings = current_settings()
    newsroom = mailbox(settings.mail_name or settings.newsroom_name, settings.mail_from, "Reply-To")
    headers = {
        "From": newsroom,
        "Reply-To": newsroom,
        "Subject": in_words(subject, "Subject"),
        "Date": format_datetime(now()),
        # The same each time the e-mail is sent, so that a mailbox can show it once.
        "Message-ID": f"<letter-{email.id}@{settings.mail_from.rpartition('@')[2]}>",
        "Auto-Submitted": "auto-generated",
        "Content-Language": recipient.language,
    }
    if recipient.stop_address:
        # RFC 8058: the mailbox's own button sends a POST there.
        headers["List-Unsubscribe"] = f"<{recipient.stop_address}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return headers


def _checked(address: str) -> str:
    """An address for SMTP: ASCII, with an international domain in Punycode."""
    try:
        return Address(addr_spec=to_ascii(address) or address).addr_spec
    except (ValueError, MessageError) as error:
        raise UndeliverableError("The address is none that an e-mail can be sent to.") from error
