"""Count refusals by reason: webhooks that we refused, and our calls that Stripe refused.

One row for each kind and reason keeps the table small, however many requests arrive.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base, memoize, now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session


class Refused(StrEnum):
    """What was refused: a webhook by us, or our call by Stripe because the key lacks a right."""

    WEBHOOK = "webhook"
    CALL = "call"


class Refusal(Base):
    """How often something was refused for one reason; ``recent`` since the last accepted one."""

    __tablename__ = "stripe_refusal"

    kind: Mapped[Refused] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True)
    total: Mapped[int] = mapped_column(BigInteger)
    recent: Mapped[int] = mapped_column(BigInteger)
    last_at: Mapped[datetime]


_LONGEST = 64
_RECENTLY = timedelta(days=1)
_NOTE = text("""
    INSERT INTO stripe_refusal AS known (kind, reason, total, recent, last_at)
    VALUES (:kind, :reason, 1, 1, :at)
    ON CONFLICT (kind, reason) DO UPDATE
    SET total = known.total + 1, recent = known.recent + 1, last_at = excluded.last_at
""")
_ACCEPTED = text("UPDATE stripe_refusal SET recent = 0 WHERE kind = 'webhook' AND recent > 0")


def note_refusal(engine: Engine, kind: Refused, reason: str) -> None:
    """Count a refusal, in a separate transaction because the request's is rolled back."""
    values = {"kind": kind.value, "reason": reason[:_LONGEST], "at": now()}
    # If the database is down, other alarms ring.
    with suppress(SQLAlchemyError), engine.begin() as connection:
        connection.execute(_NOTE, values)


def note_accepted(session: Session) -> None:
    """Reset the recent refusals of webhooks after an accepted one."""
    session.execute(_ACCEPTED)


def read_refusals(session: Session) -> Sequence[Refusal]:
    """All refusals ever, by kind and reason."""
    return memoize(
        session,
        Refusal,
        lambda: session.scalars(select(Refusal).order_by(Refusal.kind, Refusal.reason)).all(),
    )


def refused_webhooks(session: Session) -> dict[str, int]:
    """How many webhooks we refused since the last accepted one, by reason."""
    return {
        found.reason: found.recent
        for found in read_refusals(session)
        if found.kind is Refused.WEBHOOK and found.recent
    }


def refused_calls(session: Session) -> list[str]:
    """The rights that our key lacked during the last day."""
    since = now() - _RECENTLY
    return [
        found.reason
        for found in read_refusals(session)
        if found.kind is Refused.CALL and found.last_at > since
    ]
