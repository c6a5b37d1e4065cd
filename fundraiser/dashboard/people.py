"""The members as staff look for them, and all that is known of one: read-only queries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Select, func, literal_column, select, text, tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased

from fundraiser.errors import NotFoundError
from fundraiser.members.models import MEMBER_WORDS, LedgerEntry, Member, Membership
from fundraiser.outbox import Letter
from fundraiser.payments.models import CheckoutKind, Customer, Look, Payment
from fundraiser.texts import gettext as _
from fundraiser.webhooks.models import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

PAGE = 50
MOST_OF_A_KIND = 100  # rows of one kind on a person's page
_AT_FIRST = 3000
_NUMBER = re.compile(r"(?:№|#|no\.?)?\s*(\d[\d\s.,]{0,18})", re.IGNORECASE)
_LARGEST_NUMBER = 2**63 - 1


class Filter(StrEnum):
    """Whom to list."""

    ALL = "all"
    COUNTING = "counting"
    NOT_COUNTING = "not-counting"


@dataclass(frozen=True, slots=True)
class Listed:
    """A person in the list, with the membership that began last."""

    member: Member
    membership: Membership | None


@dataclass(frozen=True, slots=True)
class Page:
    """``older`` is the key at which the next page begins, if there is one."""

    rows: list[Listed]
    older: int | None


@dataclass(frozen=True, slots=True)
class Person:
    """All that is known of a person; lists are newest first. ``looks`` are by customer."""

    member: Member
    customers: Sequence[Customer]
    looks: dict[str, Look]
    memberships: Sequence[Membership]
    payments: Sequence[Payment]
    letters: Sequence[Letter]
    ledger: Sequence[Row[LedgerEntry, str | None]]


def list_members(
    session: Session, query: str, which: Filter, before: int | None, *, most: int = PAGE
) -> Page:
    """A page of people, the newest first; ``before`` is where the page before it ended."""
    statement = select(Member).order_by(Member.id.desc())
    if which is not Filter.ALL:
        statement = statement.where(
            Member.counting if which is Filter.COUNTING else ~Member.counting
        )
    if before is not None:
        statement = statement.where(Member.id < before)
    query = query.strip()
    named = _named(query)
    if named is not None:
        statement = statement.where(named)
    if query and named is None:
        found = _find(session, statement, _has_words(query), most + 1)
    else:
        found = session.scalars(statement.limit(most + 1)).all()
    members = found[:most]
    memberships = newest_memberships(session, (member.id for member in members))
    return Page(
        rows=[Listed(member, memberships.get(member.id)) for member in members],
        older=members[-1].id if len(found) > most else None,
    )


def newest_memberships(session: Session, ids: Iterable[int]) -> dict[int, Membership]:
    """Each of these people's membership that began last."""
    rows = session.scalars(
        select(Membership)
        .where(Membership.member_id.in_(list(ids)))
        .ext(distinct_on(Membership.member_id))
        .order_by(Membership.member_id, Membership.started_at.desc())
    )
    return {membership.member_id: membership for membership in rows}


def read_newest_members(session: Session, count: int) -> list[tuple[LedgerEntry, Listed]]:
    """Who started to count last."""
    rows = session.execute(
        select(LedgerEntry, Member)
        .join(Member, Member.id == LedgerEntry.member_id)
        .where(LedgerEntry.change == 1)
        .order_by(LedgerEntry.version.desc())
        .limit(count)
    ).all()
    memberships = newest_memberships(session, {member.id for _entry, member in rows})
    return [(entry, Listed(member, memberships.get(member.id))) for entry, member in rows]


def read_person(session: Session, member_id: int) -> Person:
    """A person's page.

    Raises:
        NotFoundError: nobody has this number in our books.
    """
    member = session.get(Member, member_id) if member_id <= _LARGEST_NUMBER else None
    if member is None:
        raise NotFoundError(_("There is no such member. Look for the person in the list."))

    customers = session.scalars(
        select(Customer).where(Customer.member_id == member_id).order_by(Customer.id)
    ).all()
    looks = session.scalars(
        select(Look)
        .where(Look.customer_id.in_([customer.id for customer in customers]))
        .order_by(Look.id)
    )
    return Person(
        member=member,
        customers=customers,
        looks={look.customer_id: look for look in looks if look.customer_id},
        memberships=session.scalars(
            select(Membership)
            .where(Membership.member_id == member_id)
            .order_by(Membership.started_at.desc())
            .limit(MOST_OF_A_KIND)
        ).all(),
        payments=session.scalars(
            select(Payment)
            .where(Payment.member_id == member_id)
            .order_by(Payment.paid_at.desc(), Payment.id.desc())
            .limit(MOST_OF_A_KIND)
        ).all(),
        letters=session.scalars(
            select(Letter)
            .where(Letter.member_id == member_id)
            .order_by(Letter.id.desc())
            .limit(MOST_OF_A_KIND)
        ).all(),
        ledger=session.execute(
            select(LedgerEntry, Event.type)
            .outerjoin(Event, Event.id == LedgerEntry.cause_ref)
            .where(LedgerEntry.member_id == member_id)
            .order_by(LedgerEntry.turn.desc())
            .limit(MOST_OF_A_KIND)
        ).all(),
    )


def list_contributions(
    session: Session, before: int | None, *, most: int = PAGE
) -> tuple[Sequence[Row[Payment, Member]], int | None]:
    """One-time contributions, the newest first, and where the next page begins."""
    newest_first = (Payment.paid_at, Payment.id)
    statement = (
        select(Payment, Member)
        .join(Member, Member.id == Payment.member_id)
        .where(Payment.kind == CheckoutKind.CONTRIBUTION)
        .order_by(*(column.desc() for column in newest_first))
        .limit(most + 1)
    )
    if before is not None:
        last = select(*newest_first).where(Payment.id == before).scalar_subquery()
        statement = statement.where(tuple_(*newest_first) < last)
    found = session.execute(statement).all()
    return found[:most], found[most - 1][0].id if len(found) > most else None


def _find(
    session: Session, people: Select[Member], fits: ColumnElement[bool], most: int
) -> Sequence[Member]:
    """The newest of these people who fit.

    Whoever has a common word is met soon in the list's own order; a rare word has an index. The
    planner can't tell which it is: of the beginning of a word it guesses that one person in 200
    has it, and where nobody has, it would walk through the whole table for them.
    """
    newest = aliased(Member, people.limit(_AT_FIRST).subquery())
    found = session.scalars(select(newest).where(fits).order_by(newest.id.desc()).limit(most)).all()
    if len(found) == most:
        return found
    who = select(Member.id).where(fits).cte("who").prefix_with("MATERIALIZED")
    session.execute(text("SET LOCAL enable_seqscan = off"))
    found = session.scalars(people.where(Member.id.in_(select(who.c.id))).limit(most)).all()
    session.execute(text("SET LOCAL enable_seqscan = on"))
    return found


def _named(query: str) -> ColumnElement[bool] | None:
    """Who is meant by a name at Stripe or a member's number; None if the query is neither."""
    if query.startswith("cus_"):
        return Member.id.in_(select(Customer.member_id).where(Customer.id == query))
    if query.startswith("sub_"):
        return Member.id.in_(select(Membership.member_id).where(Membership.reference == query))
    if query.startswith(("ch_", "py_")):
        return Member.id.in_(select(Payment.member_id).where(Payment.charge_id == query))
    if number := _NUMBER.fullmatch(query):
        return Member.number == int(re.sub(r"\D", "", number[1]))
    return None


def _has_words(query: str) -> ColumnElement[bool]:
    """Who has words in the name or the address that begin so."""
    # The words are cut as the index cuts them; quotes and backslashes can't leave their quotes.
    words = re.sub(r"[@.+\-_'’\\]", " ", query).split()
    wanted = " & ".join(f"'{word}':*" for word in words)
    return literal_column(MEMBER_WORDS).op("@@", is_comparison=True)(
        func.to_tsquery(literal_column("'simple'"), wanted)
    )
