"""Who is not written to, what went to many, and what staff changed about the e-mails."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base


class SuppressionReason(StrEnum):
    """Why an address gets no e-mails: it does not exist, or its owner called one of them spam."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"


class Suppression(Base):
    """An address that gets no e-mails, as a keyed hash (``hash_address``). Every sending asks.

    ``detail`` is what the mail provider said, without addresses.
    """

    __tablename__ = "suppression"

    address_hash: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[SuppressionReason]
    detail: Mapped[str | None]
    at: Mapped[datetime]


class EmailSwitch(Base):
    """Whether a kind of e-mail is sent, where staff said so."""

    __tablename__ = "email_switch"

    kind: Mapped[str] = mapped_column(primary_key=True)
    is_on: Mapped[bool]


class EmailWording(Base):
    """A kind's subject, heading and text as staff wrote them, in one language."""

    __tablename__ = "email_wording"

    kind: Mapped[str] = mapped_column(primary_key=True)
    language: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    heading: Mapped[str]
    text: Mapped[str]
    changed_at: Mapped[datetime]
    staff_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("staff.id"), index=True)


class Mailing(Base):
    """An e-mail to everybody who asked for news, once: to those who had asked when it began."""

    __tablename__ = "mailing"

    kind: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
