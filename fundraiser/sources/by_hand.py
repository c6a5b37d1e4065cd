"""People whom staff add by hand: they pay by bank, in cash or to a partner, or are complimentary.

A paying person is imported as a file of one row, so counting, ledger and undo work as usual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.dialects.postgresql import insert

from fundraiser.db import now
from fundraiser.errors import UnprocessableError
from fundraiser.members.complimentary import give_membership
from fundraiser.members.counting import find_or_add_person
from fundraiser.members.models import Member, fold_address
from fundraiser.sources import planning
from fundraiser.sources.applying import apply_rows
from fundraiser.sources.models import (
    BatchState,
    ExternalSource,
    ImportBatch,
    ImportRow,
    Outcome,
)
from fundraiser.sources.readings import Says, Why
from fundraiser.texts import gettext as _, language

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Interval, Membership

BY_HAND = "by-hand"


@dataclass(frozen=True, slots=True)
class Paid:
    """What somebody paid elsewhere; ``amount`` in the currency's smallest unit."""

    email: str
    name: str
    amount: int
    currency: str
    interval: Interval | None
    until: datetime


def add_paid(
    session: Session, paid: Paid, grace: timedelta, *, staff_id: int, key: str
) -> ImportBatch:
    """Count a person until a day; ``key`` identifies the form, so that repeats count once.

    Raises:
        UnprocessableError: the paid time is over, or the form was sent before.
    """
    source = _source(session)
    reference = f"{source.name}:{key}"
    batch = ImportBatch(
        source=source.name,
        format=source.format,
        state=BatchState.PLANNED,
        file_name="",
        hash="",
        options={},
        headings=[],
        notes=[],
        counts={},
        sums={},
        peaks={},
        rows=1,
        staff_id=staff_id,
        created_at=now(),
    )
    session.add(batch)
    session.flush()
    row = ImportRow(
        batch_id=batch.id,
        number=1,
        lines=1,
        says=Says.PAID,
        why=Why.PAID.value,
        looks=[],
        key=reference,
        email=paid.email,
        address=fold_address(paid.email),
        name=paid.name or None,
        amount=paid.amount,
        currency=paid.currency,
        interval=paid.interval,
        interval_count=1,
        started_at=now(),
        counts_until=paid.until,
    )
    session.add(row)
    session.flush()
    planning.plan(session, batch, grace, whole_list=False)
    session.refresh(row)
    if row.outcome not in {Outcome.NEW, Outcome.JOINED}:
        raise UnprocessableError(
            _("That day has passed. Enter the last day the person has paid for."), field="until"
        )
    apply_rows(session, batch, [row.id], grace)
    batch = session.get_one(ImportBatch, batch.id)
    batch.state, batch.applied_at, batch.done = BatchState.APPLIED, now(), 1
    return batch


def _source(session: Session) -> ExternalSource:
    session.execute(
        insert(ExternalSource)
        .values(
            name=BY_HAND, label=_("Added by hand"), format="table", options={}, created_at=now()
        )
        .on_conflict_do_nothing()
    )
    return session.get_one(ExternalSource, BY_HAND)


def add_complimentary(
    session: Session,
    email: str,
    name: str,
    grace: timedelta,
    *,
    currency: str,
    until: datetime | None,
    key: str,
) -> tuple[Member, Membership]:
    """Give a person, known or new, a complimentary membership."""
    member = find_or_add_person(session, email, language=language())
    member.name = member.name or name or None
    given = give_membership(
        session, member, grace, tier=None, currency=currency, until=until, reference=key
    )
    return member, given
