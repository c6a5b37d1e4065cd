"""Bulk recount in SQL: start or stop counting thousands of people at once, as imports need.

``counting.recount_many`` applies the rule in Python, one person at a time. This module applies the
same rule in SQL to the two simple cases and leaves everybody else to that function. It writes the
same ledger rows as ``ledger.append``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, literal_column, select, text

from fundraiser.db import now
from fundraiser.members import ledger
from fundraiser.members.counting import recount_many
from fundraiser.members.eligibility import RULE, Reason, counted_until
from fundraiser.members.models import Cause, Member, Membership

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from sqlalchemy.orm import Session

# Each locked person: the ledger's cause, the rule's answer, and the person's latest ledger row.
_FACTS = """
    CREATE TEMPORARY TABLE recounted ON COMMIT DROP AS
    SELECT m.id, m.counting, m.sequence, m.number, given.ref, given.place,
           coalesce(rule.until, '-infinity') AS until, rule.since, rule.member_id IS NULL AS bare,
           newest.happened_at AS left_at, newest.cause AS left_by, newest.cause_ref AS left_ref
    FROM unnest(CAST(:ids AS bigint[]), CAST(:refs AS text[])) WITH ORDINALITY
         AS given (id, ref, place)
    JOIN member m ON m.id = given.id
    LEFT JOIN ({rule}) rule ON rule.member_id = m.id
    LEFT JOIN ledger newest ON newest.member_id = m.id AND newest.sequence = m.sequence
"""
_AGREE = """
    UPDATE member m SET recount_at = nullif(nullif(r.until, 'infinity'), '-infinity')
    FROM recounted r
    WHERE m.id = r.id AND m.counting = (r.until > :at)
      AND m.recount_at IS DISTINCT FROM nullif(nullif(r.until, 'infinity'), '-infinity')
"""
_TURNING = """
    CREATE TEMPORARY TABLE turning ON COMMIT DROP AS
    SELECT r.*, row_number() OVER (ORDER BY r.place) AS step,
           count(*) FILTER (WHERE r.number IS NULL) OVER (ORDER BY r.place) AS numbered,
           least({happened_at}, CAST(:recorded_at AS timestamptz)) AS happened_at
    FROM recounted r
    WHERE {which}
"""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A simple case as SQL: which people, the ledger's reason, and since when."""

    change: int
    reason: Reason
    which: str
    happened_at: str


_STARTS = _Turn(
    1,
    Reason.IMPORTED,
    "NOT r.counting AND r.until > :at",
    "CASE WHEN r.since < r.left_at THEN CAST(:at AS timestamptz) ELSE r.since END",
)
# After an undo, the chart must not show people whom only the undone import counted.
_STOPS = _Turn(
    -1,
    Reason.NO_MEMBERSHIP,
    "r.counting AND r.bare",
    "CASE WHEN r.left_by = 'import' AND starts_with(r.left_ref, :undone) THEN r.left_at "
    "ELSE CAST(:at AS timestamptz) END",
)
_LEDGER = """
    INSERT INTO ledger (version, member_id, sequence, change, balance, cause, cause_ref, reason,
                        rule, happened_at, recorded_at)
    SELECT CAST(:version AS bigint) + step, id, sequence + 1, CAST(:change AS integer),
           CAST(:balance AS bigint) + CAST(:change AS integer) * step, :cause, ref, :reason, :rule,
           happened_at, :recorded_at
    FROM turning
"""
_MEMBERS = """
    UPDATE member m
    SET counting = CAST(:change AS integer) > 0, sequence = m.sequence + 1,
        recount_at = nullif(nullif(t.until, 'infinity'), '-infinity'),
        number = coalesce(m.number, CAST(:numbers AS bigint) + t.numbered),
        first_counted_at = coalesce(m.first_counted_at, t.happened_at)
    FROM turning t WHERE m.id = t.id
"""


def recount_in_bulk(
    session: Session,
    refs: Mapping[int, str],
    grace: timedelta,
    *,
    cause: Cause,
    undone: str = "",
) -> None:
    """Apply the rule to people whose rows are locked; ``refs`` gives each person's cause reference.

    People get their member numbers in this order. ``undone`` is the prefix of the references of an
    import that is being undone.
    """
    session.flush()
    at = now()
    until = func.max(counted_until(grace))
    since = func.min(func.coalesce(Membership.paid_at, Membership.started_at)).filter(
        counted_until(grace) > at
    )
    rule = (
        select(Membership.member_id, until.label("until"), since.label("since"))
        .where(Membership.member_id == func.any(literal_column("CAST(:ids AS bigint[])")))
        .group_by(Membership.member_id)
    )
    compiled = rule.compile(session.connection(), compile_kwargs={"literal_binds": True})
    values = {"ids": list(refs), "refs": list(refs.values()), "at": at, "undone": undone}
    session.execute(text("DROP TABLE IF EXISTS pg_temp.recounted"))
    session.execute(text(_FACTS.format(rule=str(compiled).replace("%%", "%"))), values)
    session.execute(text("ANALYZE recounted"))
    session.execute(text(_AGREE), values)
    _turn(session, values, cause, _STARTS)
    _turn(session, values, cause, _STOPS)
    session.expire_all()
    rest = session.scalars(
        select(Member)
        .where(
            Member.id.in_(
                select(literal_column("id")).select_from(
                    text("recounted WHERE counting AND NOT bare AND until <= :at")
                )
            )
        )
        .order_by(Member.id)
        .params(at=at)
    ).all()
    recount_many(
        session, rest, grace, cause=cause, each={one.id: (refs[one.id], None) for one in rest}
    )


def _turn(session: Session, values: Mapping[str, object], cause: Cause, turn: _Turn) -> None:
    """Write the ledger rows of these people, and update their own rows."""
    head = ledger.lock_head(session)
    recorded_at = max(now(), head.changed_at)
    session.execute(text("DROP TABLE IF EXISTS pg_temp.turning"))
    session.execute(
        text(_TURNING.format(which=turn.which, happened_at=turn.happened_at)),
        {**values, "recorded_at": recorded_at},
    )
    count, numbered = session.execute(
        text("SELECT count(*), coalesce(max(numbered), 0) FROM turning")
    ).one()
    if not count:
        return
    words = {
        "version": head.version,
        "balance": head.balance,
        "numbers": head.numbers_given,
        "change": turn.change,
        "cause": cause.value,
        "reason": turn.reason.value,
        "rule": RULE,
        "recorded_at": recorded_at,
    }
    session.execute(text(_LEDGER), words)
    session.execute(text(_MEMBERS), words)
    head.version += count
    head.balance += turn.change * count
    head.numbers_given += numbered
    head.changed_at = recorded_at
    session.flush()
