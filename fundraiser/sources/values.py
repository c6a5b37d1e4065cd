"""Parse cells: dates, amounts and words in people's notations."""

from __future__ import annotations

import math
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from fundraiser.members.models import Interval
from fundraiser.sources.readings import RowError, Says, Why

if TYPE_CHECKING:
    from collections.abc import Iterable

Moment = TypeVar("Moment", date, datetime)
Cell: TypeAlias = "str | int | float | bool | date | datetime | time | timedelta | None"

_DAY = re.compile(
    r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})"
    r"(?:[ T,]{1,2}(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d{1,6})?)?\s{0,2}([AaPp][Mm])?"
    r"\s?(Z|UTC|GMT)?"
)
_WORDS = ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%d-%b-%Y", "%d-%b-%y")
_EPOCH = date(1899, 12, 30)  # of Excel's day numbers
_SERIAL = range(20_000, 80_000)  # 1954 to 2119
_YEARS = range(1900, 2300)
_LONGEST = 64
_MONTHS_OF_A_YEAR = 12
_CENTURY = 100
_GROUP = 3  # digits between two separators of thousands
_BLANKS = str.maketrans(dict.fromkeys("\xa0\u202f\u2009'’ ", None))
_AMOUNT = re.compile(r"-?[0-9]{1,3}(?:[.,]?[0-9]{1,3}){0,6}")
_YES = {"yes", "true", "1", "y", "ja", "wahr", "oui", "vrai", "sí", "так", "істина", "tak", "sim"}
_INTERVALS = (
    (Interval.MONTH, ("month", "monat", "mois", "mensu", "mies", "mes", "міся", "меся", "mth")),
    (Interval.YEAR, ("year", "annu", "anual", "jahr", "jähr", "año", "rok", "рік", "рок", "год")),
    (Interval.WEEK, ("week", "woche", "semain", "tydz", "тиж", "недел")),
    (Interval.DAY, ("daily", "täglich", "щодня")),
)
_EVERY = {"1": Interval.MONTH, "12": Interval.YEAR}


def text_of(cell: Cell) -> str:
    """A cell as text; whole numbers without decimals."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def is_yes(cell: Cell) -> bool:
    return text_of(cell).strip().lower() in _YES


def read_interval(cell: Cell) -> tuple[Interval, int] | None:
    """Parse how often something is paid; None if unclear."""
    words = text_of(cell).strip().lower()[:_LONGEST]
    if words in _EVERY:
        return _EVERY[words], 1
    if any(word in words for word in ("quarter", "quartal", "kvartal", "кварт")):
        return Interval.MONTH, 3
    for interval, stems in _INTERVALS:
        if any(stem in words for stem in stems):
            return interval, 1
    return None


@dataclass(slots=True)
class Notation:
    """A file's notation for dates and decimals: as given, or as its own cells prove.

    An ambiguous value (12/09/2026; 1,250) is read as unambiguous ones of its column.
    """

    date_order: str | None = None
    decimal: str | None = None
    _orders: Counter[str] = field(default_factory=Counter)
    _decimals: Counter[str] = field(default_factory=Counter)

    def look_at_days(self, cells: Iterable[Cell]) -> None:
        for cell in cells:
            if isinstance(cell, str) and len(cell) <= _LONGEST:
                found = _DAY.fullmatch(cell.strip())
                if found and found[2] != "." and len(found[1]) <= 2 < len(found[4]):  # noqa: PLR2004 - digits
                    first, second = int(found[1]), int(found[3])
                    if first > _MONTHS_OF_A_YEAR:
                        self._orders["dmy"] += 1
                    elif second > _MONTHS_OF_A_YEAR:
                        self._orders["mdy"] += 1
                    else:
                        self._orders["either"] += 1

    def look_at_amounts(self, cells: Iterable[Cell]) -> None:
        for cell in cells:
            if isinstance(cell, str) and len(cell) <= _LONGEST:
                _, mark = _split(cell)
                if mark:
                    self._decimals[mark] += 1

    @property
    def order(self) -> str | None:
        """``dmy`` or ``mdy``; None if unknown, or if the cells disagree."""
        if self.date_order:
            return self.date_order
        known = {name for name in ("dmy", "mdy") if self._orders[name]}
        return known.pop() if len(known) == 1 else None

    @property
    def is_day_first_unclear(self) -> bool:
        return self.order is None and self._orders["either"] > 0

    @property
    def mark(self) -> str | None:
        """The decimal mark, ``.`` or ``,``."""
        if self.decimal:
            return self.decimal
        return next(iter(self._decimals)) if len(self._decimals) == 1 else None

    def read_day(self, cell: Cell, looks: list[str] | None = None) -> date | datetime | None:
        """Parse a date, with its time if given; None for an empty cell.

        Raises:
            RowError: there is no such date, or it is ambiguous.
        """
        if isinstance(cell, datetime | date):
            return cell
        if isinstance(cell, bool):
            raise RowError(Why.NO_SUCH_DAY)
        if isinstance(cell, int | float):
            return _from_serial(cell, looks)
        written = text_of(cell).replace("\xa0", " ").strip()
        if not written:
            return None
        if len(written) > _LONGEST:
            raise RowError(Why.NO_SUCH_DAY)
        if written.isascii() and written.isdigit() and len(written) == len("46365"):
            return _from_serial(int(written), looks)
        if found := _DAY.fullmatch(written):
            return self._from_numbers(found)
        with suppress(ValueError):
            return in_years(datetime.fromisoformat(written.removesuffix(" UTC")))
        for shape in _WORDS:
            with suppress(ValueError):
                return in_years(datetime.strptime(written, shape).replace(tzinfo=UTC)).date()
        raise RowError(Why.NO_SUCH_DAY)

    def _from_numbers(self, found: re.Match[str]) -> date | datetime:
        first, mark, second, third = found[1], found[2], found[3], found[4]
        if len(first) > 2:  # noqa: PLR2004 - a year has four digits
            year, month, day = int(first), int(second), int(third)
        else:
            year = int(third) + (2000 if int(third) < _CENTURY else 0)
            day, month = int(first), int(second)
            if mark != "." and self._is_month_first(day, month):
                day, month = month, day
        try:
            whole = date(year, month, day)
            if found[5] is None:
                return in_years(whole)
            hour = int(found[5])
            if found[8]:
                hour = hour % 12 + (12 if found[8].lower() == "pm" else 0)
            clock = time(hour, int(found[6]), int(found[7] or 0))
        except ValueError:
            raise RowError(Why.NO_SUCH_DAY) from None
        return in_years(datetime.combine(whole, clock, UTC if found[9] else None))

    def _is_month_first(self, first: int, second: int) -> bool:
        if first > _MONTHS_OF_A_YEAR or second > _MONTHS_OF_A_YEAR:
            return second > _MONTHS_OF_A_YEAR
        if first == second:
            return False
        if self.order is None:
            raise RowError(Why.WHICH_MONTH, Says.ASK)
        return self.order == "mdy"

    def read_amount(self, cell: Cell) -> Decimal | None:
        """Parse an amount; None for an empty cell.

        Raises:
            RowError: it is none, or ambiguous.
        """
        if isinstance(cell, bool | date | time | timedelta):
            raise RowError(Why.BAD_AMOUNT)
        if isinstance(cell, int | float):
            if not math.isfinite(cell):
                raise RowError(Why.BAD_AMOUNT)
            return Decimal(str(cell))
        if not text_of(cell).strip():
            return None
        return self._amount_of(text_of(cell))

    def _amount_of(self, written: str) -> Decimal:
        digits, mark = _split(written)
        if digits is None:
            raise RowError(Why.BAD_AMOUNT)
        unclear = [sign for sign in ".," if sign in digits] if mark is None else []
        if unclear and digits.count(unclear[0]) == 1:
            # 1,250 is one and a quarter or one thousand and a half hundred.
            mark = self.mark
            if mark is None:
                raise RowError(Why.WHICH_DECIMAL, Says.ASK)
        for sign in ".,":
            if sign != mark:
                digits = digits.replace(sign, "")
        try:
            return Decimal(digits.replace(mark or ".", "."))
        except InvalidOperation:
            raise RowError(Why.BAD_AMOUNT) from None


@lru_cache(maxsize=1024)  # a list has few different amounts, and each is looked at twice
def _split(written: str) -> tuple[str | None, str | None]:
    """An amount's digits and marks (None if it is none), and its decimal mark if certain.

    A sign or a currency's name may surround it.
    """
    if len(written) > _LONGEST:
        return None, None
    bare = written.strip().replace("\N{MINUS SIGN}", "-").translate(_BLANKS)
    start, end = 0, len(bare)
    while start < end and not (bare[start].isdigit() or bare[start] == "-"):
        start += 1
    while end > start and not bare[end - 1].isdigit():
        end -= 1
    beside = bare[:start] + bare[end:]
    digits = bare[start:end]
    if any(sign.isdigit() for sign in beside) or "=" in beside or not _AMOUNT.fullmatch(digits):
        return None, None
    if "." in digits and "," in digits:
        last = max(".,", key=digits.rfind)
        whole = digits[: digits.rfind(last)]
        return (digits, last) if digits.count(last) == 1 and _has_groups(whole) else (None, None)
    sign = next((sign for sign in ".," if sign in digits), None)
    if sign is None:
        return digits, None
    if digits.count(sign) > 1:
        return (digits, None) if _has_groups(digits) else (None, None)
    after = len(digits) - 1 - digits.index(sign)
    return digits, (sign if after != _GROUP else None)


def _has_groups(digits: str) -> bool:
    """Whether each separator is followed by three digits, as for thousands."""
    groups = digits.replace(",", ".").split(".")
    return all(len(group) == _GROUP for group in groups[1:])


def _from_serial(number: float, looks: list[str] | None) -> date | datetime:
    """Convert a spreadsheet's day number, counted from its epoch."""
    if not math.isfinite(number) or int(number) not in _SERIAL:
        raise RowError(Why.NO_SUCH_DAY)
    if looks is not None:
        looks.append(Why.SERIAL_DATE)
    day = _EPOCH + timedelta(days=int(number))
    part = number - int(number)
    if not part:
        return day
    return datetime.combine(day, time()) + timedelta(seconds=round(part * 86_400))


def in_years(moment: Moment) -> Moment:
    """Check that the time is within years that calendars and the database support.

    Raises:
        RowError: it isn't.
    """
    if moment.year not in _YEARS:
        raise RowError(Why.NO_SUCH_DAY)
    return moment
