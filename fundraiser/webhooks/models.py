"""How far we have read Stripe's list of events."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base


class EventWatermark(Base):
    """How far we have read Stripe's list of events: one row.

    We have stored all events up to ``event_id``. A check reads from the latest event back to that
    one: ``cursor`` is where it has got to, ``newest_id`` the next ``event_id``.
    """

    __tablename__ = "event_watermark"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    event_id: Mapped[str | None]
    cursor: Mapped[str | None]
    newest_id: Mapped[str | None]
    looked_at: Mapped[datetime | None]
    found: Mapped[int] = mapped_column(BigInteger, default=0)
