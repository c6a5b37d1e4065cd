"""Read the monthly recurring income of any months: opening, movements, closing and ratios."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from fundraiser.dashboard.models import ExchangeRate, Movement, MrrMovement, MrrSum
from fundraiser.money import decimals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.dashboard.periods import Period

_LOSSES = (Movement.CONTRACTION, Movement.CHURN)


@dataclass(frozen=True, slots=True)
class Rates:
    """All exchange rates in the newsroom's ``own`` currency, by currency, oldest first."""

    own: str
    by_currency: Mapping[str, list[tuple[date, Decimal]]]

    def on(self, currency: str, day: date) -> Decimal | None:
        """The rate in force on a day; before the first one entered, that one."""
        if currency == self.own:
            return Decimal(1)
        found = self.by_currency.get(currency)
        if not found:
            return None
        return next((rate for at, rate in reversed(found) if at <= day), found[0][1])

    def worth(self, amounts: Mapping[str, int], day: date) -> int:
        """Amounts by currency, together in our own; those without any rate are left out."""
        exact = sum(
            (
                Decimal(amount).scaleb(-decimals(currency)) * rate
                for currency, amount in amounts.items()
                if (rate := self.on(currency, day)) is not None
            ),
            Decimal(0),
        )
        return int(exact.scaleb(decimals(self.own)).to_integral_value(ROUND_HALF_EVEN))


@dataclass(frozen=True, slots=True)
class Statement:
    """The recurring income of a period, in the smallest unit of ``currency``.

    ``opening`` and all ``moved`` are ``closing``. ``payers`` are people at the end. ``kept`` and
    ``kept_net`` are gross and net retention (shares of the opening), ``quick`` the gains for each
    unit of loss; None without an opening or a loss.
    """

    period: Period
    currency: str
    opening: int
    moved: dict[Movement, int]
    changes: dict[Movement, int]
    closing: int
    payers: int
    kept: float | None = None
    kept_net: float | None = None

    @property
    def per_member(self) -> int | None:
        """ARPM: the closing by member, rounded."""
        return round(Decimal(self.closing) / self.payers) if self.payers > 0 else None

    @property
    def quick(self) -> float | None:
        lost = -sum(self.moved[kind] for kind in _LOSSES)
        gains = (Movement.NEW, Movement.EXPANSION, Movement.REACTIVATION)
        return sum(self.moved[kind] for kind in gains) / lost if lost else None


@dataclass(frozen=True, slots=True)
class Movements:
    """All movements added up by month.

    ``by_month`` has amounts and changes by kind and currency, ``balances`` amounts and payers by
    currency at each month's end, oldest first.
    """

    rates: Rates
    today: date
    by_month: Mapping[date, Mapping[Movement, Mapping[str, tuple[int, int]]]]
    balances: Mapping[date, Mapping[str, tuple[int, int]]]

    @property
    def currencies(self) -> list[str]:
        return sorted(
            {c for kinds in self.by_month.values() for one in kinds.values() for c in one}
        )

    @property
    def without_rate(self) -> list[str]:
        """Currencies that the total leaves out."""
        return [code for code in self.currencies if self.rates.on(code, self.today) is None]

    @property
    def earliest(self) -> date | None:
        return min(self.by_month, default=None)

    def statement(self, period: Period, currency: str | None = None) -> Statement:
        """A period's statement in one currency, or in total in our own.

        The total has each month's rates: what it changes by them is ``exchange``.
        """
        opening, payers = self._balance(period.first, currency)
        balance, moved, changes = opening, Counter[Movement](), Counter[Movement]()
        for month in period.months:
            closing, payers = self._balance(next_month(month), currency)
            found, count = self._month(month, currency)
            if currency is None:
                found[Movement.EXCHANGE] = 0
                found[Movement.EXCHANGE] = closing - balance - sum(found.values())
            moved.update(found)
            changes.update(count)
            balance = closing
        return Statement(
            period,
            currency or self.rates.own,
            opening,
            {kind: moved[kind] for kind in Movement},
            {kind: changes[kind] for kind in Movement},
            balance,
            payers,
        )

    def _balance(self, before: date, currency: str | None) -> tuple[int, int]:
        """What members paid at the end of the day before, and how many of them."""
        ended = [month for month in self.balances if month < before]
        found = self.balances[ended[-1]] if ended else {}
        amounts = {
            code: amount
            for code, (amount, _payers) in found.items()
            if code == currency or (currency is None and self.rates.on(code, before) is not None)
        }
        payers = sum(found[code][1] for code in amounts)
        return self._worth(amounts, before - timedelta(days=1), currency), payers

    def _month(
        self, month: date, currency: str | None
    ) -> tuple[Counter[Movement], Counter[Movement]]:
        moved, changes = Counter[Movement](), Counter[Movement]()
        last = next_month(month) - timedelta(days=1)
        for kind, sums in self.by_month.get(month, {}).items():
            amounts = {code: found[0] for code, found in sums.items() if currency in {None, code}}
            moved[kind] = self._worth(amounts, last, currency)
            changes[kind] = sum(sums[code][1] for code in amounts)
        return moved, changes

    def _worth(self, amounts: Mapping[str, int], day: date, currency: str | None) -> int:
        if currency is not None:
            return amounts.get(currency, 0)
        return self.rates.worth(amounts, min(day, self.today))


def read_movements(session: Session, own: str, today: date) -> Movements:
    """All movements, added up by month."""
    by_month: dict[date, dict[Movement, dict[str, tuple[int, int]]]] = defaultdict(dict)
    balances: dict[date, dict[str, tuple[int, int]]] = {}
    balance: dict[str, tuple[int, int]] = {}
    one = MrrSum
    for month, kind, currency, amount, payers, changes in session.execute(
        select(
            *(one.month, one.kind, one.currency),
            *(func.sum(one.amount), func.sum(one.payers), func.sum(one.changes)),
        )
        .group_by(one.month, one.kind, one.currency)
        .order_by(one.month)
    ):
        by_month[month].setdefault(kind, {})[currency] = (int(amount), int(changes))
        before = balance.get(currency, (0, 0))
        balance[currency] = (before[0] + int(amount), before[1] + int(payers))
        balances[month] = dict(balance)
    return Movements(_read_rates(session, own), today, by_month, balances)


def read_kept(
    session: Session, movements: Movements, period: Period, currency: str | None
) -> tuple[float | None, float | None]:
    """Gross and net retention: of the people who paid at the start, at the end's exchange rates.

    Somebody who left and came back has left; imports, merges and erasures are no loss.
    """
    one = MrrSum
    opening, gained, lost = Counter[str](), Counter[str](), Counter[str]()
    is_before = one.month < period.first
    rows = session.execute(
        select(is_before, one.kind, one.currency, func.sum(one.amount))
        .where(one.month <= period.last, one.began < period.first)
        .group_by(is_before, one.kind, one.currency)
    )
    for before, kind, code, amount in rows:
        if currency not in {None, code}:
            continue
        if before:
            opening[code] += int(amount)
        elif kind in _LOSSES:
            lost[code] += int(amount)
        elif kind is Movement.EXPANSION:
            gained[code] += int(amount)

    def worth(amounts: Mapping[str, int]) -> int:
        if currency is not None:
            return amounts.get(currency, 0)
        return movements.rates.worth(amounts, min(period.end, movements.today))

    start = worth(opening)
    if start <= 0:
        return None, None
    kept = start + worth(lost)
    return kept / start, (kept + worth(gained)) / start


def read_known_since(session: Session) -> datetime | None:
    """When the first run was: changes of amounts before it aren't known."""
    return session.scalar(select(func.min(MrrMovement.recorded_at)))


def next_month(month: date) -> date:
    """The first day of the next month."""
    return (month + timedelta(days=31)).replace(day=1)


def _read_rates(session: Session, own: str) -> Rates:
    found: dict[str, list[tuple[date, Decimal]]] = defaultdict(list)
    rows: Iterable[ExchangeRate] = session.scalars(
        select(ExchangeRate).where(ExchangeRate.own == own).order_by(ExchangeRate.day)
    )
    for rate in rows:
        found[rate.currency].append((rate.day, rate.rate))
    return Rates(own, found)
