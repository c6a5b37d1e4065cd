"""Money cases: payments that staff need to resolve, because Stripe refused or somebody paid late.

The sync that finds a case opens it, and the sync that finds it resolved at Stripe closes it,
whoever resolved it. Staff see open cases. If retrying may help, the workers retry with growing
waits.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    UniqueConstraint,
    select,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base, Currency, Identifier, now
from fundraiser.members.models import Member
from fundraiser.payments.models import SyncRequest
from fundraiser.payments.queue import request_sync
from fundraiser.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from fundraiser.payments.telling import Telling

log = structlog.get_logger()

_FIRST_WAIT, _LONGEST_WAIT = timedelta(minutes=15), timedelta(days=1)
_MANY = 100  # customers with retried cases in one run


class CaseKind(StrEnum):
    """What a case is about.

    ``second_refund``: the payment for a second membership (``reference`` is the charge) isn't
    refunded yet. ``second_end``: a second membership (``reference`` is the subscription) is still
    running. ``paid_after_end``: an invoice was paid after its membership had ended (``reference``
    is the charge); the member chooses to restart or to get a refund.
    """

    SECOND_REFUND = "second_refund"
    SECOND_END = "second_end"
    PAID_AFTER_END = "paid_after_end"


class MoneyCase(Base):
    """A payment problem of one person that is open at Stripe, or once was.

    ``due_at`` is when the workers ask Stripe again; null if only a person can resolve it. ``error``
    is Stripe's latest answer, a sentence for staff; ``wish`` is the member's choice.
    """

    __tablename__ = "money_case"
    __table_args__ = (
        UniqueConstraint("kind", "reference"),
        CheckConstraint("amount >= 0", name="amount"),
        Index("ix_money_case_open", "id", postgresql_where="closed_at IS NULL"),
    )

    id: Mapped[Identifier]
    kind: Mapped[CaseKind]
    reference: Mapped[str]
    subscription_id: Mapped[str]
    customer_id: Mapped[str] = mapped_column(index=True)
    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[Currency]
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None]
    error: Mapped[str | None]
    wish: Mapped[str | None]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


def find_case(session: Session, kind: CaseKind, reference: str) -> MoneyCase | None:
    """Find the case of this kind for this charge or subscription, open or closed."""
    return session.scalars(
        select(MoneyCase).where(MoneyCase.kind == kind, MoneyCase.reference == reference)
    ).first()


def is_open(session: Session, kind: CaseKind, reference: str) -> bool:
    """Whether there is an open case of this kind."""
    case = find_case(session, kind, reference)
    return case is not None and case.closed_at is None


def open_case(session: Session, case: MoneyCase) -> MoneyCase:
    """Open this case, or reopen a closed one of the same kind and reference."""
    found = find_case(session, case.kind, case.reference)
    if found is None:
        case.attempts, case.opened_at = 0, now()
        session.add(case)
        session.flush()
        return case
    if found.closed_at is not None:
        found.closed_at, found.attempts, found.opened_at = None, 0, now()
        found.error, found.due_at = case.error, case.due_at
    return found


def close_case(session: Session, kind: CaseKind, reference: str) -> MoneyCase | None:
    """Close the case if it is open; returns it only then."""
    case = find_case(session, kind, reference)
    if case is None or case.closed_at is not None:
        return None
    case.closed_at, case.due_at = now(), None
    return case


def ask_stripe(
    session: Session, telling: Telling, case: MoneyCase, verb: str, ask: Callable[[], None]
) -> bool:
    """Have Stripe asked to do something, unless it refused that recently.

    True if Stripe has just refused it: that opens ``case``, or counts as another attempt if it is
    open.
    """
    name = f"{verb} {case.reference}"
    known = find_case(session, case.kind, case.reference)
    if error := telling.refusals.pop(name, None):
        found = open_case(session, case)
        found.attempts += 1
        found.error = redact(str(error))[:500]
        found.due_at = now() + min(_FIRST_WAIT * 2 ** min(found.attempts - 1, 20), _LONGEST_WAIT)
        log.warning("money_case", kind=case.kind, reference=case.reference, tries=found.attempts)
        return True
    if known is None or known.closed_at is not None or is_due(known):
        telling.tell(name, ask)
    return False


def is_due(case: MoneyCase) -> bool:
    """Whether it is time to ask Stripe again."""
    return case.due_at is not None and case.due_at <= now()


def look_at_due_cases(session: Session) -> None:
    """Request a sync for each customer with a due case: the sync asks Stripe again."""
    due = select(MoneyCase.customer_id).where(
        MoneyCase.closed_at.is_(None),
        MoneyCase.due_at <= now(),
        MoneyCase.customer_id.not_in(
            select(SyncRequest.customer_id).where(SyncRequest.customer_id.is_not(None))
        ),
    )
    for customer_id in session.scalars(due.distinct().limit(_MANY)):
        request_sync(session, customer_id)


def postpone_due_cases(session: Session, customer_id: str) -> None:
    """Postpone by a day the cases that a sync didn't reach, such as of a deleted customer.

    Otherwise we would sync that customer again and again.
    """
    session.flush()
    session.execute(
        update(MoneyCase)
        .where(
            MoneyCase.customer_id == customer_id,
            MoneyCase.closed_at.is_(None),
            MoneyCase.due_at <= now(),
        )
        .values(due_at=now() + _LONGEST_WAIT)
    )


def list_open_cases(session: Session, most: int) -> Sequence[Row[MoneyCase, Member]]:
    """The open cases, oldest first, with their members."""
    return session.execute(
        select(MoneyCase, Member)
        .join(Member, Member.id == MoneyCase.member_id)
        .where(MoneyCase.closed_at.is_(None))
        .order_by(MoneyCase.id)
        .limit(most)
    ).all()
