"""A membership's monthly amount: what each adds to the monthly recurring income (MRR)."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Numeric, case, cast, func

from fundraiser.members.models import PER_YEAR, Interval, Membership

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import InstrumentedAttribute

_MONTHS = 12


def monthly(amount: int, interval: Interval, interval_count: int = 1) -> int:
    """A charge as a monthly amount in the smallest unit, rounded: sums of these add up exactly."""
    exact = Decimal(amount) * PER_YEAR[interval] / (_MONTHS * interval_count)
    return int(exact.to_integral_value(ROUND_HALF_UP))


def monthly_in_sql(
    of: type[Membership],
    amount: ColumnElement[int] | InstrumentedAttribute[int] | None = None,
) -> ColumnElement[int]:
    """``monthly`` in SQL: of the membership's charge, or of another ``amount`` in its interval."""
    charge = of.amount if amount is None else amount
    a_year = case({name: charge * times for name, times in PER_YEAR.items()}, value=of.interval)
    return cast(func.round(cast(a_year, Numeric) / (_MONTHS * of.interval_count)), BigInteger)
