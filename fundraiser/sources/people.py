"""People whom a file added: delete them after an undo; recognise erased addresses."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import exists, select, update
from sqlalchemy.dialects.postgresql import insert

from fundraiser.db import now
from fundraiser.members.forwarding import hash_address
from fundraiser.members.member_labels import MemberLabel
from fundraiser.members.models import Member, Membership, Note
from fundraiser.outbox import Email
from fundraiser.payments.models import Customer
from fundraiser.sources.models import ErasedAddress, ImportRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_KEPT_FOR = timedelta(days=30)  # so that the same file, brought in again, finds the same people
_AT_ONCE = 1000


def forget_address(session: Session, address: str) -> None:
    """Record that this address's owner had their account deleted."""
    session.execute(
        insert(ErasedAddress)
        .values(hash=hash_address(address), erased_at=now())
        .on_conflict_do_nothing()
    )


def forget_undone(session: Session) -> int:
    """Delete people who came only with a file that was undone a month ago."""
    nothing_else = [
        ~exists().where(table.member_id == Member.id)
        for table in (Membership, Customer, Email, Note, MemberLabel)
    ]
    people = (
        select(Member.id)
        .where(
            exists().where(
                ImportRow.member_id == Member.id,
                ImportRow.added,
                ImportRow.undone_at < now() - _KEPT_FOR,
            ),
            Member.counting.is_(False),
            Member.name.is_not(None) | Member.email.is_not(None),
            *nothing_else,
        )
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True, of=Member)
    )
    result = session.execute(
        update(Member)
        .where(Member.id.in_(people))
        .values(email=None, address=None, name=None)
        .execution_options(synchronize_session=False)
    )
    return result.rowcount  # type: ignore[attr-defined, no-any-return] # a cursor's result
