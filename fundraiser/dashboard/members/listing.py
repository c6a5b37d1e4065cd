"""Filter, sort and page the list of members, fast even with a million people.

A page starts after the last person of the previous one, found through the index of its order.
Matches are counted up to a limit, because counting most of a million people would be the slowest
part.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
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
from sqlalchemy.orm import InstrumentedAttribute, aliased

from fundraiser.dashboard.members.filters import (
    Filters,
    Held,
    Leaving,
    Sort,
    State,
)
from fundraiser.dashboard.members.happened import happened
from fundraiser.dashboard.members.search import has_words, has_words_by_index, named, read_words
from fundraiser.db import now
from fundraiser.members.ledger import read_balance
from fundraiser.members.member_labels import MemberLabel, labels_of
from fundraiser.members.models import Member, Membership, Source
from fundraiser.members.overdue import overdue, overdue_since
from fundraiser.paging import PAGE, read_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    from sqlalchemy import FromClause
    from sqlalchemy.orm import Session

_AT_FIRST = 3_000  # people to look through
_MOST_COUNTED = 10_000  # people
_NOT_RARE = 15  # of the first who fit, for which it is worth to look further
# The short list of one filter is looked up person by person in another's: their rows are in memory
# more often than not, and PostgreSQL's own cost of a page would have it read all of both instead.
_THROUGH_INDEXES = text("SET LOCAL enable_seqscan = off; SET LOCAL random_page_cost = 1.1")
_AS_BEFORE = text("SET LOCAL enable_seqscan TO DEFAULT; SET LOCAL random_page_cost TO DEFAULT")


# Whoever is in one of these leaves without having cancelled; who has no end stands last.
_END_OTHERWISE = {State.OVERDUE, State.GIFT, State.COMPLIMENTARY}
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
_LEAVING_WITHIN = {Leaving.WEEK: timedelta(days=7), Leaving.MONTH: timedelta(days=30)}


class Listed(NamedTuple):
    """A person in the list, with the latest membership."""

    member: Member
    membership: Membership | None
    labels: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A page of people; ``after`` is the next page's key, if any.

    ``lost``: the requested page doesn't exist, so this is the first.
    """

    rows: list[Listed]
    after: int | None
    lost: bool = False


def list_members(
    session: Session,
    filters: Filters,
    zone: ZoneInfo,
    after: str = "",
    *,
    most: int = PAGE,
) -> Page:
    """A page of people; ``after`` is the last person of the previous page."""
    wanted = _Wanted(session, filters, zone)
    last = _last_shown(session, wanted, after) if after else None
    lost = bool(after) and last is None
    found = wanted.find(session, last, most + 1)
    members = found[:most]
    ids = [member.id for member in members]
    memberships, labels = (
        newest_memberships(session, ids, first=wanted.first),
        labels_of(session, ids),
    )
    return Page(
        rows=[
            Listed(
                member,
                memberships.get(member.id),
                [label.name for label in labels.get(member.id, ())],
            )
            for member in members
        ],
        after=members[-1].id if len(found) > most else None,
        lost=lost,
    )


def count_members(session: Session, filters: Filters, zone: ZoneInfo) -> tuple[int, bool]:
    """Count the matches; the flag says that there are more than this number."""
    query = filters.query()
    for name in ("sort", "columns"):
        query.pop(name, None)
    wanted = _Wanted(session, filters, zone)
    if not query and wanted.sort is not Sort.LEAVING:
        return session.scalar(select(func.count(Member.id))) or 0, False
    if query == {"state": State.COUNTING} and wanted.sort is not Sort.LEAVING:
        return read_balance(session).members, False
    session.execute(_THROUGH_INDEXES)
    some = wanted.matching().limit(_MOST_COUNTED + 1).subquery()
    found = session.scalar(select(func.count()).select_from(some)) or 0
    session.execute(_AS_BEFORE)
    return min(found, _MOST_COUNTED), found > _MOST_COUNTED


def all_members(
    session: Session, filters: Filters, zone: ZoneInfo
) -> tuple[Select[*tuple[Any, ...]], type[Membership]]:
    """All matches in the list's order, and the alias of the membership's table."""
    wanted = _Wanted(session, filters, zone)
    newest = aliased(Membership, _newest_of(Member.id, first=wanted.first))
    statement = (
        select()
        .select_from(Member)
        .outerjoin(newest, literal_column("true"))
        .where(*wanted.people(Member), *wanted.memberships(newest))
        .order_by(*wanted.order(Member, newest))
    )
    return statement, newest


def matching_ids(session: Session, filters: Filters, zone: ZoneInfo) -> Select[int]:
    """The IDs of all matches."""
    return _Wanted(session, filters, zone).matching()


def newest_memberships(
    session: Session, ids: Sequence[int], *, first: bool = False
) -> dict[int, Membership]:
    """The latest membership of each of these people, or the ``first``."""
    rows = session.scalars(
        select(Membership)
        .where(Membership.member_id.in_(ids))
        .order_by(Membership.member_id, *_by_age(Membership, latest_first=first))
    )
    return {membership.member_id: membership for membership in rows}


class _Wanted:
    """Valid filters as SQL conditions and an order."""

    def __init__(self, session: Session, filters: Filters, zone: ZoneInfo) -> None:
        self.filters, self.zone = filters, zone
        self.first = filters.held == Held.FIRST
        self.named = named(filters.q, Member) is not None
        self.words = read_words(session, filters.q) if filters.q and not self.named else []
        self.sort = Sort(filters.sort or Sort.NEWEST)
        first, last = filters.joined_between(now().astimezone(zone).date())
        self.begin = _start(first, zone) if first else None
        self.end = _start(last + timedelta(days=1), zone) if last else None

    def people(
        self, who: type[Member], *, by_index: bool = True
    ) -> list[ColumnExpressionArgument[bool]]:
        """Conditions on the person; words are found by their index, or one person at a time."""
        filters = self.filters
        conditions: list[ColumnExpressionArgument[bool]] = []
        if filters.q and (found := named(filters.q, who)) is not None:
            conditions.append(found)
        elif filters.q:
            conditions.append(
                has_words_by_index(self.words) if by_index else has_words(self.words, who)
            )
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
        if filters.label:
            labelled = select(MemberLabel.member_id)
            conditions.append(
                who.id.in_(labelled.where(MemberLabel.label_id == int(filters.label)))
            )
        if self.first:
            conditions.append(who.number.is_not(None))
        return conditions + happened(filters, who, self.zone) + self.joined(who)

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
            for name in ("tier", "interval", "currency", "campaign", "source")
            if (value := getattr(filters, name)) and not (name == "currency" and filters.movement)
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
        if not self.named:
            # To look for words in a row takes four times as long as to compare a column.
            at_first = _AT_FIRST // 4 if self.words else _AT_FIRST
            found = session.scalars(self._among_the_next(at_first, last, most)).all()
            if len(found) == most or not self.filters.query().keys() - {"sort", "columns"}:
                return found
            if len(found) >= _NOT_RARE:
                further = 2 * at_first * most // len(found)
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
        statement = select(who).where(*self.people(who, by_index=False))
        newest = aliased(Membership, _newest_of(who.id, first=self.first))
        if conditions := self.memberships(newest):
            statement = statement.join(newest, literal_column("true")).where(*conditions)
        return statement.order_by(*self.directed(them.c.place, them.c.id)).limit(most)

    def _by_their_marks(self, last: Sequence[Any] | None, most: int) -> Select[Member]:
        """Find all matches through the filters' indexes, and sort them."""
        fitting = self.matching().where(*self.after(Member, Membership, last))
        who = fitting.cte("who").prefix_with("MATERIALIZED")
        return (
            select(Member)
            .where(Member.id.in_(select(who.c.id)))
            .order_by(*self.order(Member, Membership))
            .limit(most)
        )

    def matching(self) -> Select[int]:
        """The IDs of all matches, through the filters' indexes."""
        matching = select(Member.id).where(*self.people(Member))
        if conditions := self.memberships(Membership):
            matching = matching.join(Membership, Membership.member_id == Member.id).where(
                *conditions, _is_newest(first=self.first)
            )
        return matching

    def _by_their_end(self, last: Sequence[Any] | None, most: int) -> Select[Member]:
        """People who will leave, by the time of their end."""
        return (
            select(Member)
            .join(Membership, Membership.member_id == Member.id)
            .where(
                *self.people(Member),
                *self.memberships(Membership),
                *self.after(Member, Membership, last),
                _is_newest(first=self.first),
            )
            .order_by(*self.order(Member, Membership))
            .limit(most)
        )


def _last_shown(session: Session, wanted: _Wanted, after: str) -> Sequence[Any] | None:
    """The sort keys of the previous page's last person; None if there is none."""
    key = read_key(after)
    if not key:
        return None
    newest = aliased(Membership, _newest_of(Member.id, first=wanted.first))
    keys = session.execute(
        select(*wanted.keys(Member, newest))
        .select_from(Member)
        .outerjoin(newest, literal_column("true"))
        .where(Member.id == key)
    ).first()
    return None if keys is None or None in keys else keys


def _joined(who: type[Member]) -> ColumnElement[datetime]:
    return func.coalesce(who.first_counted_at, who.created_at)


def _newest_of(
    member_id: ColumnElement[int] | InstrumentedAttribute[int], *, first: bool
) -> FromClause:
    """SQL: the person's latest membership, or the ``first``."""
    return (
        select(Membership)
        .where(Membership.member_id == member_id)
        .order_by(*_by_age(Membership, latest_first=not first))
        .limit(1)
        .lateral("newest")
    )


def _is_newest(*, first: bool) -> ColumnElement[bool]:
    """SQL: whether it is the person's latest membership, or the ``first``."""
    other = aliased(Membership)
    theirs = tuple_(other.started_at, other.id)
    this = tuple_(Membership.started_at, Membership.id)
    return ~(
        select(other.id)
        .where(other.member_id == Membership.member_id, theirs < this if first else theirs > this)
        .exists()
    )


def _by_age(of: type[Membership], *, latest_first: bool) -> list[ColumnElement[Any]]:
    keys = (of.started_at, of.id)
    return [key.desc() if latest_first else key.asc() for key in keys]


def _start(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)
