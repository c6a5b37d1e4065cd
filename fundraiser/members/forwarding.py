"""Rate limits for e-mails that one person has us send to an address that may be a stranger's.

Gift announcements, codes for a new address and reminders are wanted, but could be abused to e-mail
strangers in the newsroom's name. So each sender may cause a few a day, and each address gets a few
a day, whoever causes them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus

from sqlalchemy import Index, or_, select
from sqlalchemy.orm import Mapped, Session

from fundraiser.db import Base, Identifier, lock, now
from fundraiser.errors import FundraiserError
from fundraiser.members.models import fold_address
from fundraiser.security import keyed_digests
from fundraiser.texts import Named, gettext as _

A_DAY = timedelta(days=1)
MOST_OF_A_PERSON = 5
MOST_OF_A_NETWORK = 50  # readers of one mobile operator share a network
MOST_TO_AN_ADDRESS = 5


class TooOftenError(FundraiserError):
    """Too many e-mails were requested; ``field`` is the form field to show the error at."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    field = "email"


class ForwardedEmail(Base):
    """One e-mail that ``sender`` had us send to ``recipient``; both are keyed hashes."""

    __tablename__ = "forwarded_email"
    __table_args__ = (
        Index("ix_forwarded_email_sender", "sender", "at"),
        Index("ix_forwarded_email_recipient", "recipient", "at"),
    )

    id: Mapped[Identifier]
    sender: Mapped[str]
    recipient: Mapped[str]
    at: Mapped[datetime]


def forward(session: Session, sender: str, address: str, *, most: int = MOST_OF_A_PERSON) -> None:
    """Count an e-mail that ``sender`` ("member 5", a network's hash) causes to this address.

    Raises:
        TooOftenError: the sender has caused ``most`` within a day, or the address got five.
    """
    senders, recipients = keyed_digests("sender", sender), hashes_of_address(_mailbox(address))
    for name in sorted((senders[0], recipients[0])):
        lock(session, "forward", name)
    of_today = session.scalars(
        select(ForwardedEmail).where(
            or_(ForwardedEmail.sender.in_(senders), ForwardedEmail.recipient.in_(recipients)),
            ForwardedEmail.at > now() - A_DAY,
        )
    ).all()
    if sum(found.sender in senders for found in of_today) >= most:
        raise TooOftenError(
            Named(
                "limit-of-sender",
                _(
                    "You’ve reached the limit of e-mails we send for you in a day. Try again "
                    "tomorrow."
                ),
            )
        )
    if sum(found.recipient in recipients for found in of_today) >= MOST_TO_AN_ADDRESS:
        raise TooOftenError(
            Named(
                "limit-of-address",
                _(
                    "We’ve reached the limit of e-mails we send to this address in a day. Try "
                    "again tomorrow."
                ),
            )
        )
    session.add(ForwardedEmail(sender=senders[0], recipient=recipients[0], at=now()))
    session.flush()


def _mailbox(address: str) -> str:
    """The address without a tag: e-mails to olena+1@ and olena+2@ reach one mailbox."""
    local, at, domain = address.strip().rpartition("@")
    return f"{local.partition('+')[0] or local}{at}{domain}"


def hash_address(email: str) -> str:
    """Hash an address with our key, ignoring case, to find it again without storing it (hex)."""
    return hashes_of_address(email)[0]


def hashes_of_address(email: str) -> list[str]:
    """The address's hashes with each of our keys, newest first: a stored one may be older."""
    return keyed_digests("address", fold_address(email.strip()))
