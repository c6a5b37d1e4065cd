"""The filters of the list of members: what staff may ask, and what they typed."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from werkzeug.datastructures import MultiDict

from fundraiser.dashboard.models import Movement
from fundraiser.dashboard.retention.stays import FEEDBACK
from fundraiser.members.member_labels import list_labels
from fundraiser.members.models import Interval, Member, Membership, Source
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.orm import InstrumentedAttribute, Session

_LONGEST = 200  # characters of what is typed
_MOST_OPTIONS = 250
USUAL_COLUMNS = "email number pays since status"  # in alphabetical order, after the name
_LONGEST_COLUMNS = 400  # characters of all their names
_COLUMN_NAME = re.compile(r"[a-z-]{1,30}")
NO_REASON = "none"  # somebody cancelled without telling why
_YEARS = range(1900, 2200)


class State(StrEnum):
    """A person's status, as a filter."""

    COUNTING = "counting"
    NOT_COUNTING = "not-counting"
    OVERDUE = "overdue"
    LEFT = "left"
    NEVER = "never"
    COMPLIMENTARY = "complimentary"
    GIFT = "gift"


class Leaving(StrEnum):
    """People whose membership will end soon, as a filter."""

    WEEK = "week"
    MONTH = "month"
    ANY = "any"


class Held(StrEnum):
    """Which membership the filters are about, if not the latest: that which people joined with."""

    FIRST = "first"


class Period(StrEnum):
    """A calendar month or year, as a filter that stays true: next month it means the next."""

    THIS_MONTH = "this-month"
    LAST_MONTH = "last-month"
    THIS_YEAR = "this-year"
    LAST_YEAR = "last-year"

    def days(self, today: date) -> tuple[date, date]:
        """The first and the last day."""
        month, year = today.replace(day=1), today.replace(month=1, day=1)
        match self:
            case Period.THIS_MONTH:
                return month, today
            case Period.LAST_MONTH:
                last = month - timedelta(days=1)
                return last.replace(day=1), last
            case Period.THIS_YEAR:
                return year, today
            case Period.LAST_YEAR:
                return year.replace(year=year.year - 1), year - timedelta(days=1)


class Sort(StrEnum):
    """The order of the list; the last one is for people who leave or are overdue."""

    NEWEST = "newest"
    OLDEST = "oldest"
    NAME = "name"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters as typed, from the URL; an empty text is no filter.

    All except words, status, country, label and reason apply to the latest membership, or to the
    one that people joined with (``held``). With ``movement``
    (of the recurring income, in the months ``moved_from`` to ``moved_to``), so does not the
    currency, but to the movement.
    """

    q: str = ""
    state: str = ""
    tier: str = ""
    interval: str = ""
    currency: str = ""
    country: str = ""
    label: str = ""
    campaign: str = ""
    ref: str = ""
    joined_from: str = ""
    joined_to: str = ""
    joined: str = ""
    leaving: str = ""
    movement: str = ""
    moved_from: str = ""
    moved_to: str = ""
    reason: str = ""
    canceled_from: str = ""
    canceled_to: str = ""
    source: str = ""
    held: str = ""
    sort: str = ""
    columns: str = ""

    def query(self) -> dict[str, str]:
        """The filters as a URL's query."""
        return {name: value for name, value in asdict(self).items() if value}

    def narrowing(self) -> int:
        """How many filters there are other than words."""
        return len(self.query().keys() - {"q", "sort", "columns"})

    def column_names(self) -> frozenset[str]:
        """The columns that somebody chose; none means the usual ones."""
        return frozenset(self.columns.split())

    def joined_between(self, today: date) -> tuple[date | None, date | None]:
        """The first and the last day of joining, both included."""
        first, last = read_day(self.joined_from), read_day(self.joined_to)
        if self.joined:
            begin, end = Period(self.joined).days(today)
            first, last = max(first or begin, begin), min(last or end, end)
        return first, last


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the filters."""

    tiers: Sequence[str]
    currencies: Sequence[str]
    countries: Sequence[str]
    campaigns: Sequence[str]
    refs: Sequence[str]
    labels: Mapping[str, str] = field(default_factory=dict)


def read_options(session: Session) -> Options:
    """The values that occur, looked up in indexes."""
    return Options(
        tiers=_values(session, Membership.tier),
        currencies=_values(session, Membership.currency),
        countries=_values(session, Member.country),
        campaigns=_values(session, Membership.campaign),
        refs=[*_values(session, Membership.ref), *_values(session, Membership.utm)],
        labels={str(label.id): label.name for label in list_labels(session)},
    )


def read_filters(typed: Mapping[str, str], options: Options) -> tuple[Filters, dict[str, str]]:
    """Parse the filters; with a message for each invalid one."""
    cleaned = {
        name: "".join(email for email in typed.get(name, "") if email.isprintable()).strip()
        for name in Filters.__dataclass_fields__
    }
    cleaned["columns"] = _read_columns(typed)
    # A form sends these too where nobody chose anything: an address without them says the same.
    for name, usual in (("columns", USUAL_COLUMNS), ("sort", Sort.NEWEST)):
        if cleaned[name] == usual:
            cleaned[name] = ""
    filters = Filters(**cleaned)
    known: dict[str, Collection[str]] = {
        "state": list(State),
        "tier": options.tiers,
        "interval": list(Interval),
        "currency": options.currencies,
        "country": options.countries,
        "campaign": options.campaigns,
        "label": options.labels,
        "joined": list(Period),
        "leaving": list(Leaving),
        "movement": list(Movement),
        "reason": [NO_REASON, *FEEDBACK],
        "source": list(Source),
        "held": list(Held),
        "sort": list(Sort),
    }
    errors = {
        name: _("“%(value)s” isn’t one of the options here. Choose one from the list.", value=value)
        for name, choices in known.items()
        if (value := cleaned[name]) and value not in choices
    }
    for name in ("q", "ref"):
        if len(cleaned[name]) > _LONGEST:
            errors[name] = _("Enter %(count)s characters or fewer.", count=_LONGEST)
    for name in ("joined_from", "joined_to"):
        if cleaned[name] and read_day(cleaned[name]) is None:
            errors[name] = _("Enter the date as year, month and day, like 2026-03-03.")
    for name in ("moved_from", "moved_to", "canceled_from", "canceled_to"):
        if cleaned[name] and read_month(cleaned[name]) is None:
            errors[name] = _("Enter the month as year and month, like 2026-03.")
    first, last = (read_day(cleaned[name]) for name in ("joined_from", "joined_to"))
    if first and last and last < first:
        errors["joined_to"] = _("“Joined until” is before “Joined from”. Change one of them.")
    return filters, errors


def _read_columns(typed: Mapping[str, str]) -> str:
    """The chosen columns' names: ticked in a form, or in one text as in an address."""
    ticked = typed.getlist("columns") if isinstance(typed, MultiDict) else [typed.get("columns")]
    names = " ".join(text for text in ticked if text)[:_LONGEST_COLUMNS].split()
    return " ".join(sorted({name for name in names if _COLUMN_NAME.fullmatch(name)}))


def read_day(typed: str) -> date | None:
    """Parse a day, like 2026-03-03; None if it is none."""
    try:
        day = date.fromisoformat(typed)
    except ValueError:
        return None
    return day if day.year in _YEARS else None


def read_month(typed: str) -> date | None:
    """The first day of a typed month, like 2026-03; None if it is none."""
    return read_day(f"{typed}-01")


def _values(
    session: Session, column: InstrumentedAttribute[str | None] | InstrumentedAttribute[str]
) -> Sequence[str]:
    """The distinct values of an indexed column, each found by one step in the index."""
    found = select(func.min(column).label("value")).cte("found", recursive=True)
    following = select(func.min(column)).where(column > found.c.value).scalar_subquery()
    found = found.union_all(select(following).where(found.c.value.is_not(None)))
    return session.scalars(
        select(found.c.value).where(found.c.value.is_not(None)).limit(_MOST_OPTIONS)
    ).all()
