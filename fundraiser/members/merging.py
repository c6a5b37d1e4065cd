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
    """Give ``kept`` all that is known of ``other``, who does not count and loses the address.

    The ledger's rows stay where they are: they are never changed. Both rows are locked.
    """
    members = cast("Table", Member.__table__)
    other.email = None
    session.flush()
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
