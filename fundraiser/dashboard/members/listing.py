"""Filter, sort and page the list of members, fast even with a million people.

A page starts after the last person of the previous one, found through the index of its order. It
counts nothing: counting a million people would be the slowest part.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    ColumnExpressionArgument,
    Select,
    func,
    literal_column,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import InstrumentedAttribute, aliased

from fundraiser.db import now
from fundraiser.members.gifts import LOOKS_LIKE_CODE, Gift, hash_code
from fundraiser.members.models import MEMBER_WORDS, Interval, Member, Membership, Source
from fundraiser.members.overdue import overdue, overdue_since
from fundraiser.paging import PAGE, read_key
from fundraiser.payments.models import Customer, Payment
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from zoneinfo import ZoneInfo

    from sqlalchemy import FromClause
    from sqlalchemy.orm import Session

_AT_FIRST = 3_000  # people to look through
_NOT_RARE = 15  # of the first who fit, for which it is worth to look further
_LONGEST = 200  # characters of what is typed
_MOST_OPTIONS = 250
_YEARS = range(1900, 2200)
_NUMBER = re.compile(r"(?:№|#|no\.?)?\s{0,5}(\d[\d\s.,]{0,18})", re.IGNORECASE)
# The short list of one filter is looked up person by person in another's: their rows are in memory
# more often than not, and PostgreSQL's own cost of a page would have it read all of both instead.
_THROUGH_INDEXES = text("SET LOCAL enable_seqscan = off; SET LOCAL random_page_cost = 1.1")
_AS_BEFORE = text("SET LOCAL enable_seqscan TO DEFAULT; SET LOCAL random_page_cost TO DEFAULT")


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


# Whoever is in one of these leaves without having cancelled; who has no end stands last.
_END_OTHERWISE = {State.OVERDUE, State.GIFT, State.COMPLIMENTARY}
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
_LEAVING_WITHIN = {Leaving.WEEK: timedelta(days=7), Leaving.MONTH: timedelta(days=30)}


class Sort(StrEnum):
    """The order of the list; the last one is for people who leave or are overdue."""

    NEWEST = "newest"
    OLDEST = "oldest"
    NAME = "name"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters as typed, from the URL; an empty text is no filter.

    All except words, status and country apply to the latest membership.
    """

    q: str = ""
    state: str = ""
    tier: str = ""
    interval: str = ""
    currency: str = ""
    country: str = ""
    campaign: str = ""
    ref: str = ""
    joined_from: str = ""
    joined_to: str = ""
    leaving: str = ""
    sort: str = ""

    def query(self) -> dict[str, str]:
        """The filters as a URL's query."""
        return {name: value for name, value in asdict(self).items() if value}

    def narrowing(self) -> bool:
        """Whether there are filters other than words."""
        return bool(self.query().keys() - {"q", "sort"})


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the filters."""

    tiers: Sequence[str]
    currencies: Sequence[str]
    countries: Sequence[str]
    campaigns: Sequence[str]
    refs: Sequence[str]


class Listed(NamedTuple):
    """A person in the list, with the latest membership."""

    member: Member
    membership: Membership | None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of people; ``after`` is the next page's key, if any.

    ``lost``: the requested page doesn't exist, so this is the first.
    """

    rows: list[Listed]
    after: int | None
    lost: bool = False


def read_options(session: Session) -> Options:
    """The values that occur, looked up in indexes."""
    return Options(
        tiers=_values(session, Membership.tier),
        currencies=_values(session, Membership.currency),
        countries=_values(session, Member.country),
        campaigns=_values(session, Membership.campaign),
        refs=[*_values(session, Membership.ref), *_values(session, Membership.utm)],
    )


def read_filters(typed: Mapping[str, str], options: Options) -> tuple[Filters, dict[str, str]]:
    """Parse the filters; with a message for each invalid one."""
    cleaned = {
        name: "".join(email for email in typed.get(name, "") if email.isprintable()).strip()
        for name in Filters.__dataclass_fields__
    }
    filters = Filters(**cleaned)
    known: dict[str, Sequence[str]] = {
        "state": list(State),
        "tier": options.tiers,
        "interval": list(Interval),
        "currency": options.currencies,
        "country": options.countries,
        "campaign": options.campaigns,
        "leaving": list(Leaving),
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
        if cleaned[name] and _day(cleaned[name]) is None:
            errors[name] = _("Enter the date as year, month and day, like 2026-03-03.")
    first, last = (_day(cleaned[name]) for name in ("joined_from", "joined_to"))
    if first and last and last < first:
        errors["joined_to"] = _("“Joined until” is before “Joined from”. Change one of them.")
    return filters, errors


def list_members(
    session: Session,
    filters: Filters,
    zone: ZoneInfo,
    after: str = "",
    *,
    most: int = PAGE,
) -> Page:
    """A page of people; ``after`` is the last person of the previous page."""
    wanted = _Wanted(filters, zone)
    last = _last_shown(session, wanted, after) if after else None
    lost = bool(after) and last is None
    found = wanted.find(session, last, most + 1)
    members = found[:most]
    memberships = newest_memberships(session, [member.id for member in members])
    return Page(
        rows=[Listed(member, memberships.get(member.id)) for member in members],
        after=members[-1].id if len(found) > most else None,
        lost=lost,
    )


def all_members(
    filters: Filters, zone: ZoneInfo
) -> tuple[Select[*tuple[Any, ...]], type[Membership]]:
    """All matches in the list's order, and the alias of the membership's table."""
    newest = aliased(Membership, _newest_of(Member.id))
    wanted = _Wanted(filters, zone)
    statement = (
        select()
        .select_from(Member)
        .outerjoin(newest, literal_column("true"))
        .where(*wanted.people(Member), *wanted.memberships(newest))
        .order_by(*wanted.order(Member, newest))
    )
    return statement, newest


def newest_memberships(session: Session, ids: Sequence[int]) -> dict[int, Membership]:
    """The latest membership of each of these people."""
    rows = session.scalars(
        select(Membership)
        .where(Membership.member_id.in_(ids))
        .order_by(Membership.member_id, Membership.started_at, Membership.id)
    )
    return {membership.member_id: membership for membership in rows}


class _Wanted:
    """Valid filters as SQL conditions and an order."""

    def __init__(self, filters: Filters, zone: ZoneInfo) -> None:
        self.filters = filters
        self.sort = Sort(filters.sort or Sort.NEWEST)
        first, last = _day(filters.joined_from), _day(filters.joined_to)
        self.begin = _start(first, zone) if first else None
        self.end = _start(last + timedelta(days=1), zone) if last else None

    def people(self, who: type[Member]) -> list[ColumnExpressionArgument[bool]]:
        """Conditions on the person."""
        filters = self.filters
        conditions: list[ColumnExpressionArgument[bool]] = []
        if filters.q:
            named = _named(filters.q, who)
            conditions.append(_has_words(filters.q) if named is None else named)
        match filters.state:
            case State.COUNTING:
                conditions.append(who.counting)
            case State.NOT_COUNTING:
                conditions.append(~who.counting)
            case State.LEFT:
                conditions += [~who.counting, who.number.is_not(None)]
            case State.NEVER:
                conditions.append(who.number.is_(None))
        if filters.country:
            conditions.append(who.country == filters.country)
        return conditions + self.joined(who)

    def joined(self, who: type[Member]) -> list[ColumnExpressionArgument[bool]]:
        """When the person first counted, or first became known."""
        joined = _joined(who)
        conditions: list[ColumnExpressionArgument[bool]] = []
        if self.begin:
            conditions.append(joined >= self.begin)
        if self.end:
            conditions.append(joined < self.end)
        return conditions

    def memberships(self, newest: type[Membership]) -> list[ColumnExpressionArgument[bool]]:
        """Conditions on the latest membership."""
        filters = self.filters
        conditions: list[ColumnExpressionArgument[bool]] = [
            getattr(newest, name) == value
            for name in ("tier", "interval", "currency", "campaign")
            if (value := getattr(filters, name))
        ]
        if filters.ref:
            conditions.append(or_(newest.ref == filters.ref, newest.utm == filters.ref))
        if filters.state == State.OVERDUE:
            conditions.append(overdue(newest))
        if filters.state == State.COMPLIMENTARY:
            conditions.append(newest.source == Source.COMPLIMENTARY)
        if filters.state == State.GIFT:
            conditions.append(newest.source == Source.GIFT)
        if filters.leaving or (self.sort is Sort.LEAVING and filters.state not in _END_OTHERWISE):
            conditions += [newest.cancel_at > now(), newest.ended_at.is_(None)]
            if filters.leaving in _LEAVING_WITHIN:
                conditions.append(
                    newest.cancel_at <= now() + _LEAVING_WITHIN[Leaving(filters.leaving)]
                )
        return conditions

    def keys(self, who: type[Member], newest: type[Membership]) -> tuple[Any, Any]:
        """The sort keys; the last is the person's unique ID."""
        match self.sort:
            case Sort.NAME:
                return func.lower(func.coalesce(who.name, who.email, "")), who.id
            case Sort.LEAVING if self.filters.state == State.OVERDUE:
                return overdue_since(newest), newest.member_id
            case Sort.LEAVING if self.filters.state in _END_OTHERWISE:
                ends = func.coalesce(newest.cancel_at, newest.counts_until, _NEVER)
                return ends, newest.member_id
            case Sort.LEAVING:
                return newest.cancel_at, newest.member_id
        return _joined(who), who.id

    def order(self, who: type[Member], newest: type[Membership]) -> list[ColumnElement[Any]]:
        return self.directed(*self.keys(who, newest))

    def directed(self, *keys: ColumnElement[Any]) -> list[ColumnElement[Any]]:
        return [key.desc() for key in keys] if self.sort is Sort.NEWEST else list(keys)

    def after(
        self, who: type[Member], newest: type[Membership], last: Sequence[Any] | None
    ) -> list[ColumnExpressionArgument[bool]]:
        """SQL: everybody after the last person of the previous page."""
        if last is None:
            return []
        keys, ends = tuple_(*self.keys(who, newest)), tuple_(*last)
        return [keys < ends if self.sort is Sort.NEWEST else keys > ends]

    def find(self, session: Session, last: Sequence[Any] | None, most: int) -> Sequence[Member]:
        """Find this many matches.

        Common values appear soon in the list's own order; for rare ones there are indexes. The
        planner can't tell which is which: it guesses that one person in 200 has a word, and assumes
        that filters are independent. So we check the first people: if some match, so many do that
        reading on is faster than finding all.
        """
        if self.sort is Sort.LEAVING:
            return session.scalars(self._by_their_end(last, most)).all()
        is_rare = self.filters.q and _named(self.filters.q, Member) is not None
        if not is_rare:
            found = session.scalars(self._among_the_next(_AT_FIRST, last, most)).all()
            if len(found) == most or not self.filters.query().keys() - {"sort"}:
                return found
            if len(found) >= _NOT_RARE:
                further = 2 * _AT_FIRST * most // len(found)
                found = session.scalars(self._among_the_next(further, last, most)).all()
                if len(found) == most:
                    return found
        session.execute(_THROUGH_INDEXES)
        found = session.scalars(self._by_their_marks(last, most)).all()
        session.execute(_AS_BEFORE)
        return found

    def _among_the_next(self, window: int, last: Sequence[Any] | None, most: int) -> Select[Member]:
        """Check this many people in the list's order, until there are enough matches.

        Sorts by a column, so that PostgreSQL can use the index's order.
        """
        place, _key = self.keys(Member, Membership)
        first = select(Member, place.label("place")).where(*self.after(Member, Membership, last))
        if self.sort is not Sort.NAME:
            first = first.where(*self.joined(Member))
        them = first.order_by(*self.order(Member, Membership)).limit(window).subquery()
        who = aliased(Member, them)
        statement = select(who).where(*self.people(who))
        newest = aliased(Membership, _newest_of(who.id))
        if conditions := self.memberships(newest):
            statement = statement.join(newest, literal_column("true")).where(*conditions)
        return statement.order_by(*self.directed(them.c.place, them.c.id)).limit(most)

    def _by_their_marks(self, last: Sequence[Any] | None, most: int) -> Select[Member]:
        """Find all matches through the filters' indexes, and sort them."""
        fitting = select(Member.id).where(
            *self.people(Member), *self.after(Member, Membership, last)
        )
        if conditions := self.memberships(Membership):
            fitting = fitting.join(Membership, Membership.member_id == Member.id).where(
                *conditions, _is_newest()
            )
        who = fitting.cte("who").prefix_with("MATERIALIZED")
        return (
            select(Member)
            .where(Member.id.in_(select(who.c.id)))
            .order_by(*self.order(Member, Membership))
            .limit(most)
        )

    def _by_their_end(self, last: Sequence[Any] | None, most: int) -> Select[Member]:
        """People who will leave, by the time of their end."""
        return (
            select(Member)
            .join(Membership, Membership.member_id == Member.id)
            .where(
                *self.people(Member),
                *self.memberships(Membership),
                *self.after(Member, Membership, last),
                _is_newest(),
            )
            .order_by(*self.order(Member, Membership))
            .limit(most)
        )


def _last_shown(session: Session, wanted: _Wanted, after: str) -> Sequence[Any] | None:
    """The sort keys of the previous page's last person; None if there is none."""
    key = read_key(after)
    if not key:
        return None
    newest = aliased(Membership, _newest_of(Member.id))
    keys = session.execute(
        select(*wanted.keys(Member, newest))
        .select_from(Member)
        .outerjoin(newest, literal_column("true"))
        .where(Member.id == key)
    ).first()
    return None if keys is None or None in keys else keys


def _joined(who: type[Member]) -> ColumnElement[datetime]:
    return func.coalesce(who.first_counted_at, who.created_at)


def _newest_of(member_id: ColumnElement[int] | InstrumentedAttribute[int]) -> FromClause:
    return (
        select(Membership)
        .where(Membership.member_id == member_id)
        .order_by(Membership.started_at.desc(), Membership.id.desc())
        .limit(1)
        .lateral("newest")
    )


def _is_newest() -> ColumnElement[bool]:
    later = aliased(Membership)
    return ~(
        select(later.id)
        .where(
            later.member_id == Membership.member_id,
            tuple_(later.started_at, later.id) > tuple_(Membership.started_at, Membership.id),
        )
        .exists()
    )


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


def _named(query: str, who: type[Member]) -> ColumnElement[bool] | None:
    """The person with this Stripe ID, gift code or member number; None if nobody has it.

    A gift code matches its giver and its recipient.
    """
    if query.startswith("cus_"):
        return who.id.in_(select(Customer.member_id).where(Customer.id == query))
    if query.startswith("sub_"):
        return who.id.in_(select(Membership.member_id).where(Membership.reference == query))
    if query.startswith(("ch_", "py_")):
        return who.id.in_(select(Payment.member_id).where(Payment.charge_id == query))
    if LOOKS_LIKE_CODE.fullmatch(query):
        both = select(func.unnest(array([Gift.giver_id, Gift.recipient_id])))
        return who.id.in_(both.where(Gift.code_hash == hash_code(query)))
    if number := _NUMBER.fullmatch(query):
        return who.number == int(re.sub(r"\D", "", number[1]))
    return None


def _has_words(query: str) -> ColumnElement[bool]:
    """SQL: the name or address has words with these prefixes."""
    # The words are cut as the index cuts them; quotes and backslashes can't leave their quotes.
    words = re.sub(r"[@.+\-_'’\\]", " ", query).split()
    wanted = " & ".join(f"'{word}':*" for word in words)
    return literal_column(MEMBER_WORDS).op("@@", is_comparison=True)(
        func.to_tsquery(literal_column("'simple'"), wanted)
    )


def _day(typed: str) -> date | None:
    try:
        day = date.fromisoformat(typed)
    except ValueError:
        return None
    return day if day.year in _YEARS else None


def _start(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)
