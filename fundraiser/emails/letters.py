"""A letter becomes a message: one layout, in HTML and in plain text, in the member's language."""

from __future__ import annotations

from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from typing import TYPE_CHECKING

from flask import render_template
from flask_babel import force_locale
from mjml import mjml2html

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.emails.words import NotOwedError, words_of
from fundraiser.members.addresses import address_to_check
from fundraiser.members.models import Member
from fundraiser.texts import LANGUAGES

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.outbox import Letter


class UndeliverableError(Exception):
    """Nothing can be sent to this person's address; the message is one sentence for staff."""


def write(session: Session, letter: Letter) -> EmailMessage:
    """The letter as it stands now, ready to be sent.

    Raises:
        NotOwedError: it is not to be sent any more.
        UndeliverableError: the address is none that a letter can be sent to.
    """
    member = session.get_one(Member, letter.member_id)
    if member.email is None:
        raise NotOwedError("The person's address was erased before the letter could leave.")
    language = member.language if member.language in LANGUAGES else "en"
    with force_locale(language):
        words = words_of(session, letter, member)
        text = render_template("emails/layout.txt", words=words)
        html = mjml2html(
            render_template("emails/layout.mjml", words=words), disable_comments=True, fonts={}
        )
    # A code goes to the address that it is to prove, which is not the member’s yet.
    check = letter.context.get("check")
    address = (address_to_check(session, check) if check else None) or member.email
    message = _envelope(letter, address)
    message["Subject"] = words.subject
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = language  # last: setting the content clears it
    return message


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
