"""Count people: apply the rule to a person and append to the ledger if the answer changed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from sqlalchemy import String, bindparam, select

from fundraiser.db import now, upsert
from fundraiser.members import ledger
from fundraiser.members.eligibility import RULE, person_counts, verdicts_of
from fundraiser.members.models import (
    Cause,
    LedgerEntry,
    Member,
    MemberAlias,
    Membership,
    fold_address,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy.orm import Session

    from fundraiser.members.eligibility import Verdict

_AT_ONCE = 200
_LOOKED_AT = 2000
_PERSON = (
    select(Member)
    .where(Member.address == bindparam("address", type_=String))
    .with_for_update()
    .execution_options(populate_existing=True)
)
_ALIAS = select(MemberAlias.member_id).where(
    MemberAlias.address == bindparam("address", type_=String)
)
_MEMBERSHIPS = (
    select(Membership)
    .where(Membership.member_id.in_(bindparam("members", expanding=True)))
    .order_by(Membership.member_id, Membership.started_at)
    # Rows loaded before the upsert are stale: reload them.
    .execution_options(populate_existing=True)
)


def find_or_add_person(session: Session, email: str, *, language: str) -> Member:
    """Find or create the person with this address, ignoring case; locks the row."""
    row = {
        "email": email,
        "address": fold_address(email),
        "language": language,
        "created_at": now(),
        "counting": False,
        "sequence": 0,
    }
    merged_into = session.scalar(_ALIAS, {"address": row["address"]})
    if merged_into is not None:
        return session.get_one(Member, merged_into, with_for_update=True, populate_existing=True)
    upsert(session, Member, row)
    return session.scalars(_PERSON, {"address": row["address"]}).one()


def recount(
    session: Session,
    member: Member,
    grace: timedelta,
    *,
    cause: Cause,
    cause_ref: str | None = None,
    began: datetime | None = None,
) -> LedgerEntry | None:
    """Apply the rule to a person whose row is locked; returns the new ledger row, if any.

    ``began`` is when the person started to count, if that differs from the latest payment's time.
    """
    entries = recount_many(session, [member], grace, cause=cause, cause_ref=cause_ref, began=began)
    return entries[0] if entries else None


def recount_many(
    session: Session,
    members: Sequence[Member],
    grace: timedelta,
    *,
    cause: Cause,
    cause_ref: str | None = None,
    began: datetime | None = None,
    each: Mapping[int, tuple[str, datetime | None]] | None = None,
) -> list[LedgerEntry]:
    """Apply the rule to people whose rows are locked; returns the new ledger rows.

    Reads everybody at once and locks the ledger's head once, so that it is cheap for thousands.
    ``each`` maps a person's ID to the cause's reference and, if known better than by the rule, the
    time it happened.
    """
    session.flush()
    at = now()
    verdicts = verdicts_of_people(session, [member.id for member in members], at, grace)
    turning: list[tuple[Member, Verdict]] = []
    for member in members:
        verdict = verdicts[member.id]
        member.recount_at = verdict.until
        if verdict.counts != member.counting:
            turning.append((member, verdict))
    if not turning:
        return []
    left_at = ledger.left_at(
        session, [m for m, verdict in turning if verdict.counts and m.sequence]
    )
    head = ledger.lock_head(session)
    entries = []
    for member, verdict in turning:
        ref, known_at = (each or {}).get(member.id, (cause_ref, None))
        happened_at = known_at or (began if verdict.counts else None) or verdict.since or at
        if _is_over(cause, happened_at, left_at.get(member.id)):
            # The latest payment is older than the departure: we won a dispute, or the rule changed.
            happened_at = at
        entries.append(
            ledger.append(
                session,
                member,
                cause=cause,
                cause_ref=ref,
                reason=verdict.reason,
                happened_at=happened_at,
                head=head,
            )
        )
    return entries


def _is_over(cause: Cause, happened_at: datetime, left_at: datetime | None) -> bool:
    """Whether this start lies before the person's last departure, so isn't when they came back.

    An undone import is ignored: imported again, people start when they originally did.
    """
    if left_at is None:
        return False
    return happened_at < left_at or (happened_at == left_at and cause is not Cause.IMPORT)


@dataclass(frozen=True, slots=True)
class PersonVerdict:
    """The rule's answer for one person, beside the ledger's."""

    member_id: int
    counting: bool
    recount_at: datetime | None
    verdict: Verdict


def verdicts_of_all(
    session: Session, at: datetime, grace: timedelta, *, after: int = 0
) -> Iterator[list[PersonVerdict]]:
    """Apply the rule to everybody, ordered by ID, some thousands at a time."""
    while members := session.execute(
        select(Member.id, Member.counting, Member.recount_at)
        .where(Member.id > after)
        .order_by(Member.id)
        .limit(_LOOKED_AT)
    ).all():
        memberships = _memberships_of(session, after, members[-1].id)
        yield [
            PersonVerdict(*member, person_counts(memberships.get(member.id, []), at, grace))
            for member in members
        ]
        after = members[-1].id


def verdicts_of_people(
    session: Session, ids: Sequence[int], at: datetime, grace: timedelta
) -> dict[int, Verdict]:
    """Apply the rule to each of these people."""
    memberships = _by_person(session.scalars(_MEMBERSHIPS, {"members": ids}))
    return {one: person_counts(memberships.get(one, []), at, grace) for one in ids}


def verdict_of(session: Session, membership: Membership, grace: timedelta) -> Verdict:
    """Apply the rule to one membership of a person who may have others."""
    whole = session.scalars(_MEMBERSHIPS, {"members": [membership.member_id]}).all()
    verdicts = verdicts_of(whole, now(), grace)
    return next(v for one, v in zip(whole, verdicts, strict=True) if one.id == membership.id)


def _memberships_of(session: Session, after: int, last: int) -> dict[int, list[Membership]]:
    """The memberships of a range of people, in the order that the rule needs."""
    rows = session.scalars(
        select(Membership)
        .where(Membership.member_id > after, Membership.member_id <= last)
        .order_by(Membership.member_id, Membership.started_at)
    )
    found = _by_person(rows)
    session.expunge_all()  # constant memory, even for a million people
    return found


def _by_person(rows: Iterable[Membership]) -> dict[int, list[Membership]]:
    """Group sorted memberships by their person's ID."""
    return {member_id: list(group) for member_id, group in groupby(rows, lambda row: row.member_id)}


def apply_rule(session: Session, grace: timedelta, after: int) -> int | None:
    """Recount the next people after this ID with the current rule, with the cause ``rule``.

    Returns the last ID checked, or None at the end. It is safe to start again at any time: people
    whose answer is right stay as they are.
    """
    people = next(verdicts_of_all(session, now(), grace, after=after), None)
    if people is None:
        return None
    differing = [
        one.member_id
        for one in people
        if (one.verdict.counts, one.verdict.until) != (one.counting, one.recount_at)
    ]
    members = session.scalars(
        select(Member).where(Member.id.in_(differing)).order_by(Member.id).with_for_update()
    ).all()
    recount_many(session, members, grace, cause=Cause.RULE, cause_ref=RULE)
    return people[-1].member_id


def recount_due(session: Session, grace: timedelta) -> int:
    """Recount people whose status may have changed with time; returns how many it checked.

    It checks at most 200, to keep each transaction short: call it until it returns 0.
    """
    due = session.scalars(
        select(Member)
        .where(Member.recount_at <= now())
        .order_by(Member.recount_at)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    recount_many(session, due, grace, cause=Cause.CLOCK)
    return len(due)
