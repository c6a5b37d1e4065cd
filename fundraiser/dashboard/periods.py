"""Periods of whole months that staff choose, and those to compare them with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_YEAR = 12


class Against(StrEnum):
    """What a period is compared with: as many months before it, or the same of the last year."""

    BEFORE = "before"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class Period:
    """Whole months, from the first day of the first (``first``) to that of the last (``last``)."""

    first: date
    last: date

    @property
    def months(self) -> list[date]:
        return [months_before(self.first, -count) for count in range(self.length)]

    @property
    def length(self) -> int:
        return _number(self.last) - _number(self.first) + 1

    @property
    def end(self) -> date:
        """The last day."""
        return months_before(self.last, -1) - timedelta(days=1)

    def back(self, months: int) -> Period:
        return Period(months_before(self.first, months), months_before(self.last, months))

    def against(self, other: Against) -> Period:
        """The period to compare this one with."""
        return self.back(self.length if other is Against.BEFORE else _YEAR)

    def query(self) -> dict[str, str]:
        """The period as a URL's query."""
        return {"from": f"{self.first:%Y-%m}", "to": f"{self.last:%Y-%m}"}


@dataclass(frozen=True, slots=True)
class Choice:
    """What staff chose: a period, what to compare it with, and whether what they typed was wrong.

    ``months`` are those on offer, latest first.
    """

    period: Period
    other: Against
    months: list[date]
    is_wrong: bool = False

    @property
    def compared(self) -> Period:
        return self.period.against(self.other)

    def shortcuts(self) -> dict[str, Period]:
        """Periods that staff often ask for, by name."""
        this = self.months[0]
        last = months_before(this, 1)
        found = {
            "this": Period(this, this),
            "last": Period(last, last),
            "quarter": Period(months_before(last, 2), last),
            "year": Period(months_before(last, _YEAR - 1), last),
        }
        return {name: one for name, one in found.items() if one.first >= self.months[-1]}


def read_choice(
    typed: Mapping[str, str], earliest: date | None, today: date, *, usual: int = 1
) -> Choice:
    """The period in a URL's query; as many whole months as are ``usual`` if there is none.

    ``earliest`` is the first month with figures.
    """
    this = today.replace(day=1)
    start = min(earliest or this, this)
    months = Period(start, this).months[::-1]
    end = months[1] if len(months) > 1 else this
    usually = Period(max(months_before(end, usual - 1), start), end)
    first = _month(typed.get("from", ""), usually.first)
    last = _month(typed.get("to", ""), usually.last)
    asked = typed.get("against") or Against.BEFORE
    is_right = first in months and last in months and asked in set(Against)
    if first is None or last is None or not is_right or last < first:
        return Choice(usually, Against.BEFORE, months, is_wrong=True)
    return Choice(Period(first, last), Against(asked), months)


def months_before(first: date, months: int) -> date:
    """The first day of the month that many months before one, or after it if less than none."""
    year, month = divmod(_number(first) - months, _YEAR)
    return date(year, month + 1, 1)


def _number(first: date) -> int:
    return first.year * _YEAR + first.month - 1


def _month(typed: str, otherwise: date) -> date | None:
    if not typed:
        return otherwise
    try:
        return date.fromisoformat(f"{typed}-01")
    except ValueError:
        return None
