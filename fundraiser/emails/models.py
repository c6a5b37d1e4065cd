"""Models: suppression list, mailings, and staff's settings for e-mails."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base


class SuppressionReason(StrEnum):
    """Why we suppress an address: it doesn't exist, or its owner reported spam."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"


class Suppression(Base):
    """A suppressed address, as a keyed hash (``hash_address``); checked before every e-mail.

    ``detail`` is the mail provider's text, without addresses.
    """

    __tablename__ = "suppression"

    address_hash: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[SuppressionReason]
    detail: Mapped[str | None]
    at: Mapped[datetime]


class EmailSwitch(Base):
    """Whether staff have switched a kind of e-mail on or off."""

    __tablename__ = "email_switch"

    kind: Mapped[str] = mapped_column(primary_key=True)
    is_on: Mapped[bool]


class EmailWording(Base):
    """A kind's subject, heading and text by staff, in one language."""

    __tablename__ = "email_wording"

    kind: Mapped[str] = mapped_column(primary_key=True)
    language: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    heading: Mapped[str]
    text: Mapped[str]
    changed_at: Mapped[datetime]
    staff_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("staff.id"), index=True)


class Mailing(Base):
    """A mailing to everybody who had asked for news when it started; sent once."""

    __tablename__ = "mailing"

    kind: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
