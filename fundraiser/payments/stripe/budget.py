"""Rate limits that all processes share, for calls to Stripe and e-mails."""

from __future__ import annotations

import math
import time
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base
from fundraiser.payments.stripe.patience import NoTurnError

if TYPE_CHECKING:
    from sqlalchemy import Engine

# Always in the same order, to avoid deadlocks.
_TAKE_SLOTS = text("""
    INSERT INTO call_budget AS budget (endpoint, free_at)
    SELECT name, statement_timestamp() + make_interval(secs => gap)
    FROM unnest(CAST(:names AS text[]), CAST(:gaps AS float8[])) AS wanted (name, gap)
    ORDER BY name
    ON CONFLICT (endpoint) DO UPDATE
    SET free_at = greatest(budget.free_at, clock_timestamp())
        + (excluded.free_at - statement_timestamp())
    WHERE budget.free_at <= clock_timestamp() + make_interval(secs => :patience)
    RETURNING endpoint, extract(epoch FROM free_at - clock_timestamp())::float8
""")
_FOR_EVER = 86_400.0  # seconds
# Calls arrive less evenly than they leave, so stay a little below the limit.
_LEFT_FREE = 0.97
# Workers' share of each limit; the rest is for people who wait, such as readers who pay.
_WORKERS_SHARE = 0.98
# Seconds: readers' calls come out of the workers' share, but hold them back no longer than this.
_HELD_BACK = 1.0
# Stripe's two-part resources, and words that follow a resource and aren't IDs.
_NAMESPACES = {"checkout", "billing_portal", "test_helpers"}
_VERBS = {"create_preview", "search"}


class CallBudget(Base):
    """When the next call to an endpoint may leave."""

    __tablename__ = "call_budget"
    __table_args__ = {"prefixes": ["UNLOGGED"]}  # noqa: RUF012 - SQLAlchemy reads it as it stands

    endpoint: Mapped[str] = mapped_column(primary_key=True)
    free_at: Mapped[datetime]


class Budget:
    """Space the calls to an endpoint evenly: ``per_second``, or 0 for no limit."""

    def __init__(self, engine: Engine, per_second: int) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._rate = per_second

    def wait(self, endpoint: str) -> None:
        """Wait until this call may leave."""
        if self._rate:
            _take_slots(self._engine, {endpoint: self._rate})


class StripeLimits:
    """Keep all processes together within Stripe's limits, for each operation and in total.

    An operation is a method and a path template. ``each`` and ``in_all`` are calls a second; 0
    means no limit. Urgent calls come out of the workers' share too: workers take what is left.
    """

    def __init__(self, engine: Engine, *, each: int, in_all: int) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._each, self._in_all = each * _LEFT_FREE, in_all * _LEFT_FREE

    def wait(self, operation: str, *, urgent: bool, patience: float = math.inf) -> None:
        """Wait until this call may leave."""
        if not self._each:
            return
        until = time.monotonic() + patience
        share = {f"{operation} by workers": self._each, "all by workers": self._in_all}
        of_workers = {name: rate * _WORKERS_SHARE for name, rate in share.items()}
        if not urgent:
            # Workers wait here first, so that their queue doesn't block urgent calls.
            _take_slots(self._engine, of_workers, until)
        _take_slots(self._engine, {operation: self._each, "all": self._in_all}, until)
        if urgent:
            _advance(self._engine, of_workers, _HELD_BACK)


def operation_of(method: str, url: str) -> str:
    """The operation under which Stripe counts a call, like ``GET /v1/customers/:id``."""
    path = url.partition("?")[0].partition("/v1/")[2].strip("/").split("/")
    length = 2 if path[0] in _NAMESPACES else 1
    resource, rest = path[:length], path[length:]
    if rest and rest[0] not in _VERBS:
        rest[0] = ":id"
    return f"{method.upper()} /v1/{'/'.join(resource + rest)}"


def _take_slots(engine: Engine, rates: dict[str, float], until: float = math.inf) -> None:
    """Take the next slot at each of these rates (calls a second), and sleep until the latest."""
    found = _advance(engine, rates, min(until - time.monotonic(), _FOR_EVER))
    if len(found) < len(rates):
        raise NoTurnError
    wait = max(free_in - 1 / rates[name] for name, free_in in found.items())
    if wait > 0:
        time.sleep(wait)


def _advance(engine: Engine, rates: dict[str, float], patience: float) -> dict[str, float]:
    """Take a slot at each rate that has one within ``patience`` (seconds).

    Returns in how many seconds the slot after it is free, of those that were taken.
    """
    gaps = [1 / rate for rate in rates.values()]
    values = {"names": list(rates), "gaps": gaps, "patience": patience}
    with engine.connect() as connection:
        found = connection.execute(_TAKE_SLOTS, values).all()
    return {str(name): float(free_in) for name, free_in in found}
