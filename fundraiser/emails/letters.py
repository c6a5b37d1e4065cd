"""A letter becomes a message: one layout, in HTML and in plain text, in the member's language."""

from __future__ import annotations

from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from functools import partial
from typing import TYPE_CHECKING

from flask import render_template
from flask_babel import force_locale
from mjml import mjml2html

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.emails.models import Reminder
from fundraiser.emails.parts import NotOwedError
from fundraiser.emails.words import words_of, words_to_reader, words_to_staff
from fundraiser.members.addresses import address_to_check
from fundraiser.members.models import Member
from fundraiser.newsroom.models import Staff
from fundraiser.texts import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from fundraiser.emails.parts import Words
    from fundraiser.outbox import Letter


class UndeliverableError(Exception):
    """Nothing can be sent to this person's address; the message is one sentence for staff."""


def write(session: Session, letter: Letter) -> EmailMessage:
    """The letter as it stands now, ready to be sent.

    Raises:
        NotOwedError: it is not to be sent any more.
        UndeliverableError: the address is none that a letter can be sent to.
    """
    recipient = _recipient_of(session, letter)
    with force_locale(recipient.language):
        words = recipient.words(session, letter)
        text, html = render(words)
    message = _envelope(letter, recipient.address)
    message["Subject"] = words.subject
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = recipient.language  # last: setting the content clears it
    return message


def render(words: Words) -> tuple[str, str]:
    """The letter as plain text and as HTML."""
    text = render_template("emails/layout.txt", words=words)
    html = mjml2html(
        render_template("emails/layout.mjml", words=words), disable_comments=True, fonts={}
    )
    return text, html


@dataclass(frozen=True, slots=True)
class _Recipient:
    address: str
    language: str
    words: Callable[[Session, Letter], Words]


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
        return _Recipient(reminder.email, reminder.language, words_to_reader)
    member = session.get_one(Member, letter.member_id)
    if member.email is None:
        raise NotOwedError("The person's address was erased before the letter could leave.")
    # A code goes to the address that it is to prove, which is not the member’s yet.
    check = letter.context.get("check")
    address = (address_to_check(session, check) if check else None) or member.email
    language = member.language if member.language in LANGUAGES else "en"
    return _Recipient(address, language, partial(words_of, member=member))


def _envelope(letter: Letter, address: str) -> EmailMessage:
    settings = current_settings()
    newsroom = Address(settings.newsroom_name, addr_spec=settings.mail_from)
    message = EmailMessage()
    message["From"] = newsroom
    message["Reply-To"] = newsroom
    message["To"] = _recipient(address)
    message["Date"] = now()
    # The same each time the letter is sent, so that a mailbox can show it once.
    message["Message-ID"] = f"<letter-{letter.id}@{newsroom.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    return message


def _recipient(address: str) -> Address:
    local, _, domain = address.rpartition("@")
    try:
        return Address(addr_spec=f"{local}@{domain.encode('idna').decode()}")
    except (ValueError, MessageError) as error:
        raise UndeliverableError("The address is none that a letter can be sent to.") from error
