"""A letter becomes a message: one layout, in HTML and in plain text, in the member's language."""

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
from fundraiser.db import now, read_once
from fundraiser.emails.feedback import suppressed
from fundraiser.emails.gifts import words_to_recipient
from fundraiser.emails.invitations import words_to_reader
from fundraiser.emails.links import TOPIC_OF, Reference, address_of
from fundraiser.emails.message import Message, in_words, mailbox, write_source
from fundraiser.emails.models import Ground
from fundraiser.emails.parts import NotOwedError
from fundraiser.emails.sweep import is_still_owed, kinds_switched_off
from fundraiser.emails.wording import as_staff_want_it
from fundraiser.emails.words import words_of, words_to_staff
from fundraiser.joining.reminders import Reminder
from fundraiser.members.address_changes import changed_address
from fundraiser.members.addresses import address_to_check
from fundraiser.members.gifts import Gift
from fundraiser.members.models import Member
from fundraiser.newsroom.models import Staff
from fundraiser.outbox import LetterKind, wants
from fundraiser.texts import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2 import Environment, Template
    from sqlalchemy.orm import Session

    from fundraiser.emails.parts import Words
    from fundraiser.outbox import Letter


class UndeliverableError(Exception):
    """Nothing can be sent to this person's address; the message is one sentence for staff."""


def write(session: Session, letter: Letter) -> Message:
    """The letter as it stands now, ready to be sent.

    Raises:
        NotOwedError: it is not to be sent any more.
        UndeliverableError: the address is none that a letter can be sent to.
    """
    recipient = _recipient_of(session, letter)
    _check_that_it_is_wanted(session, letter, recipient.address)
    with force_locale(recipient.language):
        words = as_staff_want_it(session, letter.kind, recipient.words(session, letter))
        text, html = render(words, recipient.stop_address)
    sender, address = current_settings().mail_from, _checked(recipient.address)
    headers = _headers(letter, recipient, words.subject) | {"To": address}
    return Message(sender, address, write_source(headers, text, html))


def render(words: Words, stop_address: str | None = None) -> tuple[str, str]:
    """The letter as plain text and as HTML."""
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


def _check_that_it_is_wanted(session: Session, letter: Letter, address: str) -> None:
    """Ask what every sending asks: the suppression list, staff, the person, the reason again."""
    ground = suppressed(session, address)
    if ground is Ground.BOUNCE:
        raise NotOwedError("A letter to this address came back, so none is sent to it.")
    # Who called a letter spam may still ask to be let in.
    if ground is Ground.COMPLAINT and letter.kind not in {LetterKind.SIGN_IN, LetterKind.GIFT_CODE}:
        raise NotOwedError("The person called a letter of ours spam, so no other is sent.")
    if letter.kind in read_once(session, "off", lambda: kinds_switched_off(session)):
        raise NotOwedError("Letters of this kind are switched off.")
    topic = TOPIC_OF.get(letter.kind)
    if topic and not wants(session, letter.member_id or 0, topic):
        raise NotOwedError("The person does not want letters of this kind.")
    if not is_still_owed(session, letter):
        raise NotOwedError("The reason for the letter was gone before it could leave.")


@dataclass(frozen=True, slots=True)
class _Recipient:
    """``stop_address``: where letters like this one can be refused, if it is not about money."""

    address: str
    language: str
    words: Callable[[Session, Letter], Words]
    stop_address: str | None = None


def _recipient_of(session: Session, letter: Letter) -> _Recipient:
    if letter.staff_id is not None:
        staff = session.get_one(Staff, letter.staff_id)
        if staff.deactivated_at:
            raise NotOwedError("The account was closed before the letter could leave.")
        return _Recipient(staff.email, letter.context.get("language", "en"), words_to_staff)
    if letter.reminder_id is not None:
        reminder = session.get_one(Reminder, letter.reminder_id)
        if reminder.stopped_at:
            raise NotOwedError("The reader did not want the letter any more.")
        stop = address_of(Reference(reminder_id=reminder.id))
        return _Recipient(reminder.email, reminder.language, words_to_reader, stop)
    if letter.gift_id is not None:
        gift = session.get_one(Gift, letter.gift_id)
        to = address_to_check(session, letter.context.get("check", 0)) or gift.recipient_email
        if to is None:
            raise NotOwedError("The address was erased before the letter could leave.")
        return _Recipient(to, gift.language, words_to_recipient)
    member = session.get_one(Member, letter.member_id)
    if member.email is None:
        raise NotOwedError("The person's address was erased before the letter could leave.")
    address = _address_of(session, letter) or member.email
    language = member.language if member.language in LANGUAGES else "en"
    topic = TOPIC_OF.get(letter.kind)
    stop_address = address_of(Reference(member_id=member.id, topic=topic)) if topic else None
    return _Recipient(address, language, partial(words_of, member=member), stop_address)


def _address_of(session: Session, letter: Letter) -> str | None:
    """Where a letter goes that is not for the member's own address, or not for it alone."""
    told = letter.context
    if letter.kind is LetterKind.ADDRESS_CHANGED:
        address = changed_address(session, told["change"], told["end"])
        if address is None:
            raise NotOwedError("The change was forgotten before the letter could leave.")
        return address
    # A code goes to the address that it is to prove, which is not the member’s yet.
    return address_to_check(session, told["check"]) if "check" in told else None


def _headers(letter: Letter, recipient: _Recipient, subject: str) -> dict[str, str]:
    settings = current_settings()
    newsroom = mailbox(settings.mail_name or settings.newsroom_name, settings.mail_from, "Reply-To")
    headers = {
        "From": newsroom,
        "Reply-To": newsroom,
        "Subject": in_words(subject, "Subject"),
        "Date": format_datetime(now()),
        # The same each time the letter is sent, so that a mailbox can show it once.
        "Message-ID": f"<letter-{letter.id}@{settings.mail_from.rpartition('@')[2]}>",
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
        raise UndeliverableError("The address is none that a letter can be sent to.") from error
