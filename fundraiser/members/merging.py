"""Merging: two rows of one person become one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import structlog
from sqlalchemy import Table, update
from sqlalchemy.exc import IntegrityError

from fundraiser.db import Base
from fundraiser.members.models import LedgerEntry, Member

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

log = structlog.get_logger()


def absorb(session: Session, kept: Member, other: Member) -> None:
    """Give ``kept`` all that is known of ``other``, who does not count and loses address and name.

    The ledger's rows stay where they are: they are never changed. Both rows are locked.
    """
    members = cast("Table", Member.__table__)
    kept.name, kept.country = kept.name or other.name, kept.country or other.country
    code, other.invite_code = other.invite_code, None
    other.email = other.name = other.country = None
    other.supporter_since = other.supporter_name = None
    session.flush()
    kept.invite_code = kept.invite_code or code
    for table in Base.metadata.sorted_tables:
        if table is LedgerEntry.__table__:
            continue
        for column in table.columns:
            if not any(key.column is members.c.id for key in column.foreign_keys):
                continue
            try:
                with session.begin_nested():
                    session.execute(
                        update(table).where(column == other.id).values({column.name: kept.id})
                    )
            except IntegrityError:
                # Both have one and there can be but one: the kept person's stays.
                log.info("merge_kept_both", table=table.name, member=kept.id, other=other.id)
    session.expire_all()
