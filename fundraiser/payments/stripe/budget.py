"""One budget of Stripe calls, shared by all processes."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base

if TYPE_CHECKING:
    from sqlalchemy import Engine

_TAKE_A_SLOT = text("""
    INSERT INTO call_budget AS budget (endpoint, free_at)
    VALUES (:endpoint, clock_timestamp() + make_interval(secs => :gap))
    ON CONFLICT (endpoint) DO UPDATE
    SET free_at = greatest(budget.free_at, clock_timestamp()) + make_interval(secs => :gap)
    RETURNING extract(epoch FROM free_at - clock_timestamp()) - :gap
""")


class CallBudget(Base):
    """When the next call to an endpoint may leave."""

    __tablename__ = "call_budget"
    __table_args__ = {"prefixes": ["UNLOGGED"]}  # noqa: RUF012 - SQLAlchemy reads it as it stands

    endpoint: Mapped[str] = mapped_column(primary_key=True)
    free_at: Mapped[datetime]


class Budget:
    """Spaces the calls to each endpoint evenly: ``per_second`` of them, 0 for as many as come."""

    def __init__(self, engine: Engine, per_second: int) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._gap = 1 / per_second if per_second else 0.0

    def wait(self, endpoint: str) -> None:
        """Wait for this call's turn."""
        if not self._gap:
            return
        with self._engine.connect() as connection:
            wait = connection.scalar(_TAKE_A_SLOT, {"endpoint": endpoint, "gap": self._gap})
        if wait and wait > 0:
            time.sleep(float(wait))
