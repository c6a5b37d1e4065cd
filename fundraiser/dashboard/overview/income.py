"""Monthly and yearly income, by currency and in the newsroom's own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import TYPE_CHECKING

from babel.numbers import is_currency
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on, insert

from fundraiser.dashboard.models import ExchangeRate, Part
from fundraiser.db import now
from fundraiser.errors import UnprocessableError
from fundraiser.members.models import Interval
from fundraiser.money import decimals
from fundraiser.newsroom.models import Staff
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from fundraiser.dashboard.models import DailyFigure

EARLIEST = date(2000, 1, 1)
_MONTHS = 12
_LARGEST_RATE = Decimal(1_000_000)
_DECIMALS = 8


@dataclass(frozen=True, slots=True)
class Income:
    """The yearly income in a currency if all memberships stay; in its smallest unit.

    ``recurring`` is the sum of all monthly amounts, None for days before it was kept.
    """

    currency: str
    memberships: int
    yearly: int
    recurring: int | None = None

    @property
    def monthly(self) -> int:
        """MRR, as ``yearly`` is ARR: of earlier days a twelfth of that, rounded."""
        if self.recurring is not None:
            return self.recurring
        return int((Decimal(self.yearly) / _MONTHS).to_integral_value(ROUND_HALF_EVEN))


@dataclass(frozen=True, slots=True)
class Total:
    """The total in the newsroom's currency, except for currencies ``without_rate``."""

    income: Income
    without_rate: tuple[str, ...]


def incomes(figures: Iterable[DailyFigure], recurring: Iterable[DailyFigure] = ()) -> list[Income]:
    """Income by currency from one day's figures and its MRR, most people first."""
    months = {row.currency: row.amount for row in recurring if row.key == Part.ALL}
    people: dict[str, int] = {}
    yearly: dict[str, int] = {}
    for figure in figures:
        times = _MONTHS if figure.key == Interval.MONTH else 1
        people[figure.currency] = people.get(figure.currency, 0) + figure.people
        yearly[figure.currency] = yearly.get(figure.currency, 0) + figure.amount * times
    found = [
        Income(currency, people[currency], yearly[currency], months.get(currency))
        for currency in people
    ]
    return sorted(found, key=lambda income: (-income.memberships, income.currency))


def total(found: Iterable[Income], own: str, rates: Mapping[str, Decimal]) -> Total:
    """The total in ``own``, at these exchange rates."""
    yearly, monthly, memberships = Decimal(0), Decimal(0), 0
    is_kept = False
    without: list[str] = []
    for income in found:
        rate = Decimal(1) if income.currency == own else rates.get(income.currency)
        if rate is None:
            without.append(income.currency)
            continue
        yearly += Decimal(income.yearly).scaleb(-decimals(income.currency)) * rate
        monthly += Decimal(income.monthly).scaleb(-decimals(income.currency)) * rate
        is_kept = is_kept or income.recurring is not None
        memberships += income.memberships
    year, month = (
        int(sum_.scaleb(decimals(own)).to_integral_value(ROUND_HALF_EVEN))
        for sum_ in (yearly, monthly)
    )
    in_own = Income(own, memberships, year, month if is_kept else None)
    return Total(in_own, tuple(sorted(without)))


def rates_in_force(session: Session, own: str, day: date) -> dict[str, ExchangeRate]:
    """The latest rate of each currency on that day."""
    newest = (
        select(ExchangeRate)
        .where(ExchangeRate.own == own, ExchangeRate.day <= day)
        .ext(distinct_on(ExchangeRate.currency))
        .order_by(ExchangeRate.currency, ExchangeRate.day.desc())
    )
    return {rate.currency: rate for rate in session.scalars(newest)}


def list_rates(session: Session, own: str, most: int) -> Sequence[Row[ExchangeRate, Staff]]:
    """All entered rates, latest day first, with who entered them."""
    return session.execute(
        select(ExchangeRate, Staff)
        .join(Staff, Staff.id == ExchangeRate.staff_id)
        .where(ExchangeRate.own == own)
        .order_by(ExchangeRate.day.desc(), ExchangeRate.currency)
        .limit(most)
    ).all()


def enter_rate(
    session: Session,
    staff: Staff,
    *,
    currency: str,
    own: str,
    day: date,
    rate: Decimal,
    today: date,
) -> Decimal | None:
    """Store or correct a day's rate; returns the one before, if any.

    Raises:
        UnprocessableError: the currency is unknown or the newsroom's own, or the day is in the
            future.
    """
    if not is_currency(currency) or currency == own:
        raise UnprocessableError(
            _("Choose a currency that readers pay in, other than your own."), field="currency"
        )
    if not EARLIEST <= day <= today:
        raise UnprocessableError(_("Enter a day from 2000 on, up to today."), field="day")
    before = session.scalar(
        select(ExchangeRate.rate).where(
            ExchangeRate.currency == currency, ExchangeRate.own == own, ExchangeRate.day == day
        )
    )
    row = {"rate": rate, "entered_at": now(), "staff_id": staff.id}
    session.execute(
        insert(ExchangeRate)
        .values(currency=currency, own=own, day=day, **row)
        .on_conflict_do_update(
            index_elements=[ExchangeRate.currency, ExchangeRate.own, ExchangeRate.day], set_=row
        )
    )
    return before


def read_rate(typed: str) -> Decimal:
    """Parse a typed rate (0.8564 or 0,8564).

    Raises:
        UnprocessableError: it is no rate.
    """
    try:
        rate = Decimal(typed.strip().replace(",", "."))
    except InvalidOperation:
        rate = Decimal(0)
    if not rate.is_finite() or not 0 < rate < _LARGEST_RATE:
        raise UnprocessableError(_("Enter the rate in figures, like 0.8564."), field="rate")
    if round(rate, _DECIMALS) != rate:
        raise UnprocessableError(
            _("Enter the rate with at most %(count)s decimal places.", count=_DECIMALS),
            field="rate",
        )
    return rate
