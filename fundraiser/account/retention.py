"""Nightly deletion of personal data whose time is over, by the register."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import Column, delete, literal_column, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB

from fundraiser import jobs
from fundraiser.account.owners import table_of
from fundraiser.account.personal_data import PERSONAL, Limit, Personal
from fundraiser.db import clock, now

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

log = structlog.get_logger()

_NIGHT = range(2, 6)  # hours, where the newsroom is
_ONCE_A_NIGHT = timedelta(hours=12)
_LONGEST_WAIT = timedelta(hours=30)  # for a worker that was down at night
_AT_ONCE = 1000  # rows


def is_due(session: Session, zone: ZoneInfo) -> bool:
    """Whether tonight's run is due, or one is overdue."""
    is_night = now().astimezone(zone).hour in _NIGHT
    return jobs.is_due(session, "retention", _ONCE_A_NIGHT if is_night else _LONGEST_WAIT)


def enforce_some(session: Session) -> bool:
    """Apply each limit to up to a thousand rows; False when nothing is left until tomorrow."""
    counts = {
        columns.table: rows
        for columns in PERSONAL
        for limit in columns.limits
        if (rows := _enforce(session, columns, limit))
    }
    if counts:
        log.info("retention", **counts)
    else:
        jobs.beat(session, "retention")
    return bool(counts)


def empty(column: Column[Any]) -> Any:  # noqa: ANN401 - of any column
    """An emptied column's value: null if allowed, otherwise an empty object or text."""
    if column.nullable:
        return None
    return {} if isinstance(column.type, JSONB) else ""


def _enforce(session: Session, columns: Personal, limit: Limit) -> int:
    """Apply one limit; returns how many rows it deleted or emptied."""
    table = table_of(columns.table)
    key = tuple_(*table.primary_key.columns)
    at = clock.machine() if limit.by_machine else clock.now()
    due = (
        select(*table.primary_key.columns)
        .where(literal_column(f"({limit.since})") < at - limit.after, text(limit.when))
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    if limit.deletes:
        return session.execute(delete(table).where(key.in_(due))).rowcount  # type: ignore[attr-defined, no-any-return] # a cursor's result
    emptied = {name: empty(table.c[name]) for name in columns.columns}
    is_full = or_(*(table.c[name].is_distinct_from(value) for name, value in emptied.items()))
    statement = update(table).where(key.in_(due.where(is_full))).values(emptied)
    return session.execute(statement).rowcount  # type: ignore[attr-defined, no-any-return] # a cursor's result
