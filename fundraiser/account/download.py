"""A member's data download: everything that the register of personal data exports."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from fundraiser.account.owners import Person, rows_of, table_of
from fundraiser.account.personal_data import PERSONAL

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member


def everything_about(session: Session, member: Member) -> dict[str, Any]:
    """Each row about this person as JSON, by table, without hashes and other secrets."""
    person = Person.of(session, member)
    exported: dict[str, list[str]] = {}
    for declared in PERSONAL:
        if declared.exported:
            exported.setdefault(declared.table, []).extend(declared.columns)
    found: dict[str, Any] = {}
    for name, columns in exported.items():
        table = table_of(name)
        shown = [column for column in table.c if column.name in columns]
        rows = session.execute(select(*shown).where(rows_of(name, person)))
        found[name] = [
            {key: _value(value) for key, value in row.items()} for row in rows.mappings()
        ]
    return found | {"member": found["member"][0]}


def _value(value: object) -> object:
    if value is None or isinstance(value, str | int | dict | list):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)
