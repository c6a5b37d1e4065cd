"""Merge two records of one person, and undo a merge."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import structlog
from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Table,
    and_,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, aliased, mapped_column

from fundraiser.db import Base, Identifier, now
from fundraiser.errors import UnprocessableError
from fundraiser.members.counting import recount_many
from fundraiser.members.models import (
    ENDED,
    Cause,
    LedgerEntry,
    Member,
    MemberAlias,
    Membership,
    Source,
    alike,
    fold_address,
)
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta

    from sqlalchemy import Column, ColumnElement, Select
    from sqlalchemy.orm import Session

log = structlog.get_logger()

_WORDS = ("email", "name", "country", "supporter_since", "supporter_name", "invite_code")
_KEPT = ("name", "country", "invite_code")
_AT_ONCE = 100  # memberships whose people are compared with all others
_LONGEST = 1.0  # seconds for which we look for similar people


class MemberMerge(Base):
    """A merge by staff: ``other_id`` was merged, and which rows moved.

    ``moved`` has the keys of the rows by table and column; ``before`` the values of both members.
    """

    __tablename__ = "member_merge"

    id: Mapped[Identifier]
    kept_id: Mapped[int] = mapped_column(BigInteger, index=True)
    other_id: Mapped[int] = mapped_column(BigInteger, index=True)
    moved: Mapped[dict[str, Any]]
    before: Mapped[dict[str, Any]]
    staff_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("staff.id"), index=True)
    merged_at: Mapped[datetime]
    undone_at: Mapped[datetime | None]


class DifferentPeople(Base):
    """Two similar people whom staff marked as different; ``first_id`` is the lower ID."""

    __tablename__ = "different_people"

    first_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    second_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    staff_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("staff.id"), index=True)
    at: Mapped[datetime]


@dataclass(frozen=True, slots=True)
class Likeness:
    """Two people who may be one, and what they share: ``address``, ``name`` or ``card``."""

    first: Member
    second: Member
    by: str


@dataclass(frozen=True, slots=True)
class Alike:
    """Similar people, and the membership before which to go on looking; None if that was all."""

    pairs: list[Likeness]
    before: int | None


def merge(
    session: Session, kept_id: int, other_id: int, grace: timedelta, *, staff_id: int | None
) -> MemberMerge:
    """Merge ``other_id`` into ``kept_id``, with memberships, e-mails and notes.

    Raises:
        UnprocessableError: they are merged already, or both pay through Stripe.
    """
    kept, other = _lock_both(session, kept_id, other_id)
    if not can_merge(session, kept, other):
        raise UnprocessableError(_why_not(kept, other))
    before = {"kept": _words_of(kept), "other": _words_of(other), "address": other.address}
    address = other.address
    moved = absorb(session, kept, other)
    done = MemberMerge(
        kept_id=kept.id,
        other_id=other.id,
        moved=moved,
        before=before,
        staff_id=staff_id,
        merged_at=now(),
    )
    session.add(done)
    if address:
        session.execute(insert(MemberAlias).values(address=address, member_id=kept.id))
    session.flush()
    _recount(session, (kept_id, other_id), grace, f"merge {done.id}")
    return done


def can_merge(session: Session, kept: Member, other: Member) -> bool:
    """Whether two people can be merged; if both pay through Stripe, one must end first."""
    return kept.id != other.id and not (
        _pays_by_stripe(session, kept) and _pays_by_stripe(session, other)
    )


def _why_not(kept: Member, other: Member) -> str:
    if kept.id == other.id:
        return _("They’re already one person.")
    return _(
        "Both pay through Stripe. Cancel one of the two memberships first, then merge the people."
    )


def _pays_by_stripe(session: Session, member: Member) -> bool:
    runs = exists().where(
        Membership.member_id == member.id,
        Membership.source == Source.STRIPE,
        Membership.status.not_in(ENDED),
    )
    return bool(session.scalar(select(runs)))


def separate(session: Session, merge_id: int, grace: timedelta) -> bool:
    """Undo a merge; False if it was already undone.

    Each row goes back unless it has moved again since. Newer rows stay, except for memberships that
    came under the other's own address: they are the other's.
    """
    done = session.get_one(MemberMerge, merge_id, with_for_update=True)
    if done.undone_at is not None:
        return False
    kept, other = _lock_both(session, done.kept_id, done.other_id)
    session.execute(
        delete(MemberAlias).where(
            MemberAlias.member_id == kept.id, MemberAlias.address == done.before["address"]
        )
    )
    for name, value in done.before["other"].items():
        setattr(other, name, _from_json(name, value))
    for name in _KEPT:
        if getattr(kept, name) == done.before["other"][name]:
            setattr(kept, name, done.before["kept"][name])
    session.flush()
    for place, keys in done.moved.items():
        table_name, _dot, column_name = place.partition(".")
        table = Base.metadata.tables[table_name]
        column = table.c[column_name]
        key = _key_of(table, column)
        session.execute(
            update(table).where(key.in_(keys), column == kept.id).values({column_name: other.id})
        )
    _give_back_newer(session, kept, other, done.before["address"])
    done.undone_at = now()
    session.flush()
    session.expire_all()
    _recount(session, (done.kept_id, done.other_id), grace, f"merge {done.id} undone")
    return True


def _give_back_newer(session: Session, kept: Member, other: Member, address: str | None) -> None:
    """Move what came under the other's addresses while both were one: from lists and from Stripe.

    The other's addresses are its own and those of people merged into it before.
    """
    aliases = select(MemberAlias.address).where(MemberAlias.member_id == other.id)
    theirs = {address, *session.scalars(aliases)} - {None}
    row, customer = (Base.metadata.tables[name] for name in ("import_row", "customer"))
    session.execute(
        update(Membership)
        .where(
            Membership.member_id == kept.id,
            Membership.id.in_(
                select(row.c.membership_id).where(
                    row.c.member_id == kept.id, row.c.address.in_(theirs)
                )
            ),
        )
        .values(member_id=other.id)
    )
    session.execute(
        update(row)
        .where(row.c.member_id == kept.id, row.c.address.in_(theirs))
        .values(member_id=other.id)
    )
    customers = [
        found.id
        for found in session.execute(
            select(customer.c.id, customer.c.email).where(customer.c.member_id == kept.id)
        )
        if fold_address(found.email) in theirs
    ]
    for table in Base.metadata.sorted_tables if customers else ():
        names = {"customer_id", "member_id"}
        if table is customer or names <= set(table.c.keys()):
            key = table.c.id if table is customer else table.c.customer_id
            session.execute(
                update(table)
                .where(table.c.member_id == kept.id, key.in_(customers))
                .values(member_id=other.id)
            )


def _lock_both(session: Session, kept_id: int, other_id: int) -> tuple[Member, Member]:
    found = {
        member.id: member
        for member in session.scalars(
            select(Member)
            .where(Member.id.in_((kept_id, other_id)))
            .order_by(Member.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    }
    if not {kept_id, other_id} <= found.keys():
        raise UnprocessableError(_("One of these people isn’t here any more."))
    return found[kept_id], found[other_id]


def _recount(session: Session, ids: Sequence[int], grace: timedelta, ref: str) -> None:
    members = session.scalars(select(Member).where(Member.id.in_(ids)).order_by(Member.id)).all()
    recount_many(session, members, grace, cause=Cause.MERGE, cause_ref=ref)


def _words_of(member: Member) -> dict[str, Any]:
    values = {name: getattr(member, name) for name in _WORDS}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def _from_json(name: str, value: Any) -> Any:  # noqa: ANN401 - of any column
    return datetime.fromisoformat(value) if name.endswith("_since") and value else value


def absorb(session: Session, kept: Member, other: Member) -> dict[str, list[Any]]:
    """Move everything known of ``other`` to ``kept``; ``other`` loses address and name.

    Returns the keys of the moved rows by table and column. Ledger rows never change, so they stay.
    Both members' rows must be locked.
    """
    members = cast("Table", Member.__table__)
    kept.name, kept.country = kept.name or other.name, kept.country or other.country
    code, other.invite_code = other.invite_code, None
    other.email = other.name = other.country = None
    other.supporter_since = other.supporter_name = None
    session.flush()
    kept.invite_code = kept.invite_code or code
    moved: dict[str, list[Any]] = {}
    for table in Base.metadata.sorted_tables:
        if table is LedgerEntry.__table__:
            continue
        for column in table.columns:
            if not any(key.column is members.c.id for key in column.foreign_keys):
                continue
            try:
                with session.begin_nested():
                    keys = session.scalars(
                        update(table)
                        .where(column == other.id, *_not_both(table, column, kept.id))
                        .values({column.name: kept.id})
                        .returning(_key_of(table, column))
                    ).all()
            except IntegrityError:
                # Both people have one, and only one is allowed: keep that of the kept person.
                log.info("merge_kept_both", table=table.name, member=kept.id, other=other.id)
                continue
            if keys:
                moved[f"{table.name}.{column.name}"] = list(keys)
    session.expire_all()
    return moved


def _not_both(table: Table, owner: Column[Any], kept_id: int) -> tuple[ColumnElement[bool], ...]:
    """Of rows identified by a person and a thing, such as a label: those that ``kept`` hasn't."""
    if owner.name not in table.primary_key.columns or len(table.primary_key.columns) == 1:
        return ()
    key, both = _key_of(table, owner), table.alias()
    return (key.not_in(select(both.c[key.name]).where(both.c[owner.name] == kept_id)),)


def _key_of(table: Table, owner: Column[Any]) -> Column[Any]:
    """The column that, together with the owner's, identifies a row."""
    return next(column for column in table.primary_key.columns if column is not owner)


def say_different(session: Session, one: int, two: int, *, staff_id: int) -> None:
    """Record that two similar people are different, so that we don't suggest merging them again."""
    session.execute(
        insert(DifferentPeople)
        .values(first_id=min(one, two), second_id=max(one, two), staff_id=staff_id, at=now())
        .on_conflict_do_nothing()
    )


def find_alike(session: Session, most: int, before: int | None = None) -> Alike:
    """Find people who may be counted twice: they are similar, and one of them pays elsewhere.

    They have the same address without dots and tags, the same name, or cards with the same last
    four digits and also the same last name or the same address before the @: of a million
    cards a hundred share their digits, which alone say nothing.

    Goes through memberships from elsewhere, the latest first, until it has found enough or a second
    is over; ``before`` is where an earlier search ended.
    """
    found: dict[tuple[int, int], Likeness] = {}
    until = time.monotonic() + _LONGEST
    step = _next_step(session, before)
    while step and len(found) < most:
        for by, pairs in _pairs_of([member_id for _id, member_id in step]):
            for first, second in session.execute(pairs.limit(2 * most)):
                pair = (min(first.id, second.id), max(first.id, second.id))
                found.setdefault(pair, Likeness(first, second, by))
        before = step[-1][0]
        step = _next_step(session, before)
        if time.monotonic() > until:
            break
    return Alike(list(found.values())[:most], before if step else None)


def _next_step(session: Session, before: int | None) -> list[tuple[int, int]]:
    """Memberships from elsewhere and their members' IDs, counted down from ``before``."""
    step = select(Membership.id, Membership.member_id).where(Membership.origin.is_not(None))
    if before is not None:
        step = step.where(Membership.id < before)
    rows = session.execute(step.order_by(Membership.id.desc()).limit(_AT_ONCE))
    return [(membership_id, member_id) for membership_id, member_id in rows]


def _pairs_of(members: list[int]) -> Iterator[tuple[str, Select[Member, Member]]]:
    """Queries for people who are similar to one of these, and how."""
    one, two = aliased(Member), aliased(Member)
    told_apart = exists().where(
        DifferentPeople.first_id == func.least(one.id, two.id),
        DifferentPeople.second_id == func.greatest(one.id, two.id),
    )
    # As an array: the planner would go through everybody, as it thinks that many are alike.
    pairs = select(one, two).where(
        one.id == func.any(literal(members, ARRAY(BigInteger))),
        one.id != two.id,
        one.counting,
        two.counting,
        ~told_apart,
        or_(one.name.is_not(None), one.address.is_not(None)),
    )
    name = func.lower(func.coalesce(two.name, two.email, ""))
    yield "address", pairs.join(two, alike(two) == alike(one))
    yield "name", pairs.join(two, name == func.lower(one.name))
    theirs, others = aliased(Membership), aliased(Membership)
    same_card = (
        pairs.join(theirs, theirs.member_id == one.id)
        .join(others, others.card_last4 == theirs.card_last4)
        .join(two, two.id == others.member_id)
    )
    is_theirs = and_(theirs.origin.is_not(None), theirs.status.not_in(ENDED))
    yield "card", same_card.where(is_theirs, _share_word(one, two))


def _share_word(one: type[Member], two: type[Member]) -> ColumnElement[bool]:
    """Whether both have the same last name, or the same address before the @."""

    def last(of: type[Member]) -> ColumnElement[str]:
        return func.regexp_replace(func.lower(func.trim(of.name)), "^.*[[:space:]]", "")

    def local(of: type[Member]) -> ColumnElement[str]:
        return func.split_part(alike(of), "@", 1)

    return or_(
        and_(last(two) == last(one), func.length(last(one)) > 1),
        and_(local(two) == local(one), local(one) != ""),
    )


def list_merges(session: Session, most: int) -> Sequence[MemberMerge]:
    """The latest merges that can be undone."""
    return session.scalars(
        select(MemberMerge)
        .where(MemberMerge.undone_at.is_(None))
        .order_by(MemberMerge.id.desc())
        .limit(most)
    ).all()
