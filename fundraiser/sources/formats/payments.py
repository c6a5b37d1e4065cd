"""Combine one payer's payments, as PayPal, Ko-fi, Donorbox and banks list them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from fundraiser.members.models import Interval
from fundraiser.sources.readings import Reading, Why, add_interval

if TYPE_CHECKING:
    from fundraiser.sources.readings import Context

_MONTHLY = (timedelta(days=26), timedelta(days=36))
_YEARLY = (timedelta(days=350), timedelta(days=380))


@dataclass(slots=True)
class Payer:
    """One payer's rows combined: the latest payment, and whether it was returned."""

    reading: Reading
    name: str = ""
    at: datetime | None = None
    gross: Decimal = Decimal(0)
    reference: str = ""
    is_day: bool = False
    interval: Interval | None = None
    gaps: list[timedelta] = field(default_factory=list)
    pending: bool = False
    refunded_at: datetime | None = None

    def add_payment(self, at: datetime, reference: str, *, is_day: bool = False) -> bool:
        """Add a payment that arrived; True if it is the latest so far."""
        before = self.at
        if before is not None:
            self.gaps = [*self.gaps[-11:], abs(at - before)]
        self.reading.started_at = min(self.reading.started_at or at, at)
        if before is not None and at < before:
            return False
        self.at, self.reference, self.is_day, self.refunded_at = at, reference, is_day, None
        return True

    def finish(self, context: Context) -> Reading:
        """Set what the payer's payments prove."""
        reading = self.reading
        if self.at is None:
            return reading.is_not_paying(Why.PENDING if self.pending else Why.NEVER_PAID)
        reading.interval = interval = self.interval or self._by_its_gaps()
        if interval is None:
            return reading.ask(Why.NO_INTERVAL)
        paid = self.at.astimezone(context.zone) if self.is_day else self.at
        end = add_interval(paid.date() if self.is_day else paid, interval)
        reading.counts_until = context.until(end)
        if self.refunded_at:
            reading.refunded_at = self.refunded_at
            return reading.is_not_paying(Why.REFUNDED)
        return reading

    def _by_its_gaps(self) -> Interval | None:
        """Derive the interval from two or more payments."""
        for (least, most), interval in ((_MONTHLY, Interval.MONTH), (_YEARLY, Interval.YEAR)):
            if self.gaps and all(least <= gap <= most for gap in self.gaps):
                return interval
        return None
