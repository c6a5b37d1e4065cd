"""Stripe's events, as they arrived."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base


class EventWatermark(Base):
    """How far we have looked through Stripe's list of events: one row.

    All events up to ``event_id`` are in our table. A look goes back from the list's newest event
    to that one: ``cursor`` is where it has come to, ``newest_id`` what ``event_id`` will then be.
    """

    __tablename__ = "event_watermark"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    event_id: Mapped[str | None]
    cursor: Mapped[str | None]
    newest_id: Mapped[str | None]
    looked_at: Mapped[datetime | None]
    found: Mapped[int] = mapped_column(BigInteger, default=0)
