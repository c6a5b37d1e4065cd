"""An e-mail becomes a message: one layout, in HTML and in plain text, in the member's language."""

from __future__ import annotations

from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import format_datetime
from functools import cache, partial
from typing import TYPE_CHECKING

from flask import current_app, render_template
from flask_babel import force_locale
from mjml import mjml2html

from fundraiser.config import current_settings
from fundraiser.db import memoize, now
from fundraiser.emails.bodies import body_of, body_to_staff
from fundraiser.emails.feedback import suppressed
from fundraiser.emails.gifts import body_to_recipient
from fundraiser.emails.invitations import body_to_reader
from fundraiser.emails.links import TOPIC_OF, Reference, address_of
from fundraiser.emails.message import Message, in_words, mailbox, write_source
from fundraiser.emails.models import SuppressionReason
from fundraiser.emails.parts import NotDueError
from fundraiser.emails.sweep import is_still_due, kinds_switched_off
from fundraiser.emails.wording import as_staff_want_it
from fundraiser.joining.reminders import Reminder
from fundraiser.members.address_changes import changed_address
from fundraiser.members.addresses import address_to_check
from fundraiser.members.gifts import Gift
from fundraiser.members.models import Member
from fundraiser.newsroom.models import Staff
from fundraiser.outbox import EmailKind, wants
from fundraiser.texts import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2 import Environment, Template
    from sqlalchemy.orm import Session

    from fundraiser.emails.parts import Body
    from fundraiser.outbox import Email


class UndeliverableError(Exception):
    """Nothing can be sent to this person's address; the message is one sentence for staff."""


def write(session: Session, email: Email) -> Message:
    """The e-mail as it stands now, ready to be sent.

    Raises:
        NotOwedError: it is not to be sent any more.
        UndeliverableError: the address is none that an e-mail can be sent to.
    """
    recipient = _recipient_of(session, email)
    _check_that_it_is_wanted(session, email, recipient.address)
    with force_locale(recipient.language):
        words = as_staff_want_it(session, email.kind, recipient.words(session, email))
        text, html = render(words, recipient.stop_address)
    sender, address = current_settings().mail_from, _checked(recipient.address)
    headers = _headers(email, recipient, words.subject) | {"To": address}
    return Message(sender, address, write_source(headers, text, html))


def render(words: Body, stop_address: str | None = None) -> tuple[str, str]:
    """The e-mail as plain text and as HTML."""
    text = render_template("emails/layout.txt", words=words, stop_address=stop_address)
    layout = _layout(current_app.jinja_env)
    return text, render_template(layout, words=words, stop_address=stop_address)


@cache
def _layout(templates: Environment) -> Template:
    """The layout as HTML, compiled from MJML once a process."""
    name = "emails/layout.mjml"
    assert templates.loader  # noqa: S101 - Flask's always has one
    source, _, _ = templates.loader.get_source(templates, name)
    return templates.from_string(mjml2html(source, disable_comments=True, fonts={}))


def _check_that_it_is_wanted(session: Session, email: Email, address: str) -> None:
    """Ask what every sending asks: the suppression list, staff, the person, the reason again."""
    reason = suppressed(session, address)
    if reason is SuppressionReason.BOUNCE:
        raise NotDueError("An e-mail to this address came back, so none is sent to it.")
    # Who called an e-mail spam may still ask to be let in.
    if reason is SuppressionReason.COMPLAINT and email.kind not in {
        EmailKind.SIGN_IN,
        EmailKind.GIFT_CODE,
    }:
        raise NotDueError("The person called an e-mail of ours spam, so no other is sent.")
    if email.kind in memoize(session, "off", lambda: kinds_switched_off(session)):
        raise NotDueError("E-mails of this kind are switched off.")
    topic = TOPIC_OF.get(email.kind)
    if topic and not wants(session, email.member_id or 0, topic):
        raise NotDueError("The person does not want e-mails of this kind.")
    if not is_still_due(session, email):
        raise NotDueError("The reason for the e-mail was gone before it could leave.")


@dataclass(frozen=True, slots=True)
class _Recipient:
    """``stop_address``: where e-mails like this one can be refused, if it is not about money."""

    address: str
    language: str
    words: Callable[[Session, Email], Body]
    stop_address: str | None = None


def _recipient_of(session: Session, email: Email) -> _Recipient:
    if email.staff_id is not None:
        staff = session.get_one(Staff, email.staff_id)
        if staff.deactivated_at:
            raise NotDueError("The account was closed before the e-mail could leave.")
        return _Recipient(staff.email, email.context.get("language", "en"), body_to_staff)
    if email.reminder_id is not None:
        reminder = session.get_one(Reminder, email.reminder_id)
        if reminder.stopped_at:
            raise NotDueError("The reader did not want the e-mail any more.")
        stop = address_of(Reference(reminder_id=reminder.id))
        return _Recipient(reminder.email, reminder.language, body_to_reader, stop)
    if email.gift_id is not None:
        gift = session.get_one(Gift, email.gift_id)
        to = address_to_check(session, email.context.get("check", 0)) or gift.recipient_email
        if to is None:
            raise NotDueError("The address was erased before the e-mail could leave.")
        return _Recipient(to, gift.language, body_to_recipient)
    member = session.get_one(Member, email.member_id)
    if member.email is None:
        raise NotDueError("The person's address was erased before the e-mail could leave.")
    address = _address_of(session, email) or member.email
    language = member.language if member.language in LANGUAGES else "en"
    topic = TOPIC_OF.get(email.kind)
    stop_address = address_of(Reference(member_id=member.id, topic=topic)) if topic else None
    return _Recipient(address, language, partial(body_of, member=member), stop_address)


def _address_of(session: Session, email: Email) -> str | None:
    """Where an e-mail goes that is not for the member's own address, or not for it alone."""
    told = email.context
    if email.kind is EmailKind.ADDRESS_CHANGED:
        address = changed_address(session, told["change"], told["end"])
        if address is None:
            raise NotDueError("The change was forgotten before the e-mail could leave.")
        return address
    # A code goes to the address that it is to prove, which is not the member’s yet.
    return address_to_check(session, told["check"]) if "check" in told else None


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
    """The address as mail servers take it."""
    local, _, domain = address.rpartition("@")
    try:
        return Address(addr_spec=f"{local}@{domain.encode('idna').decode()}").addr_spec
    except (ValueError, MessageError) as error:
        raise UndeliverableError("The address is none that an e-mail can be sent to.") from error
