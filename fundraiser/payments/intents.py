"""Intents: changes at Stripe that members and staff request, stored until done or refused.

An intent is committed before the call to Stripe, and the call's idempotency key is made from its
row. So a change is made once even if the process is killed or the form is sent twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, ForeignKey, Index, func, select
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base, Identifier, now
from fundraiser.members.models import Cause, fold_address
from fundraiser.payments.queue import LEASE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

_LONGEST_WAIT = timedelta(hours=1)
_SUMS_HOLD = timedelta(hours=1)  # that a member was shown before they agreed to another price
# By then Stripe has answered a call, or dropped it. Well within the 24 hours that it keeps a key.
_CALL_ENDS = timedelta(minutes=10)
_MOST_SHOWN = 100


class IntentKind(StrEnum):
    """The requested change: to a subscription, a charge (refund) or all of a person's customers.

    ``cancel`` takes effect at the end of the paid period, ``cancel_now`` immediately.
    """

    CANCEL = "cancel"
    CANCEL_NOW = "cancel_now"
    RESUME = "resume"
    PAUSE = "pause"
    PRICE = "price"
    REFUND = "refund"
    EMAIL = "email"
    DETAILS = "details"
    ERASURE = "erasure"


class Refusal(StrEnum):
    """Why an intent was given up.

    ``late``: its previewed sums are no longer valid. ``taken``: the address now belongs to somebody
    else.
    """

    BANK = "bank"
    STRIPE = "stripe"
    ENDED = "ended"
    LATE = "late"
    TAKEN = "taken"


class Intent(Base):
    """A requested change at Stripe, unique by its ``key``.

    ``target`` is the ID of the subscription or charge and ``customer_id`` its customer; both are
    null if it is about all of the person's customers. ``details`` are the call's parameters,
    emptied once closed. ``cause`` and ``cause_ref`` say who requested it, for the ledger.
    ``called_at`` is when the latest call began, ``calls`` numbers the idempotency key. Closed
    intents (``closed_at``) are done unless ``refusal`` says otherwise; ``error`` is Stripe's
    message, for staff.
    """

    __tablename__ = "intent"
    __table_args__ = (Index("ix_intent_due_at", "due_at", postgresql_where="closed_at IS NULL"),)

    id: Mapped[Identifier]
    key: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[IntentKind]
    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    customer_id: Mapped[str | None]
    target: Mapped[str | None]
    details: Mapped[dict[str, Any]]
    cause: Mapped[Cause]
    cause_ref: Mapped[str | None]
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    called_at: Mapped[datetime]
    calls: Mapped[int] = mapped_column(default=1)
    refusal: Mapped[Refusal | None]
    error: Mapped[str | None]
    closed_at: Mapped[datetime | None]

    @property
    def idempotency_key(self) -> str:
        """The key of the current call: the same for each retry."""
        return f"{self.kind}-{self.key}-{self.calls}"

    @property
    def is_open(self) -> bool:
        """Whether it is neither done nor refused."""
        return self.closed_at is None

    @property
    def is_done(self) -> bool:
        """Whether Stripe has done it."""
        return self.closed_at is not None and self.refusal is None

    @property
    def is_late(self) -> bool:
        """Whether the sums that the member agreed to are out of date."""
        return self.kind is IntentKind.PRICE and now() - self.created_at > _SUMS_HOLD

    @property
    def call_is_over(self) -> bool:
        """Whether Stripe's state now shows the outcome of the latest call."""
        return now() - self.called_at > _CALL_ENDS

    def call_again(self) -> None:
        """Record another call, after Stripe's state didn't show the change.

        Stripe repeats its first answer to a key for a day, errors included. So once the previous
        call is certainly over without effect, the next one gets a new key.
        """
        if self.call_is_over:
            self.calls += 1
        self.called_at = now()

    def close(self, refusal: Refusal | None = None, error: str | None = None) -> None:
        """Mark as done, or as given up."""
        self.closed_at, self.refusal, self.error, self.details = now(), refusal, error, {}


def add_intent(
    session: Session,
    kind: IntentKind,
    *,
    key: str,
    member_id: int,
    customer_id: str | None = None,
    target: str | None = None,
    details: dict[str, Any] | None = None,
    cause: Cause = Cause.STRIPE,
    cause_ref: str | None,
) -> Intent:
    """Add an intent; the caller commits it and then calls Stripe, or else the sweep does."""
    at = now()
    intent = Intent(
        key=key,
        kind=kind,
        member_id=member_id,
        customer_id=customer_id,
        target=target,
        details=details or {},
        cause=cause,
        cause_ref=cause_ref,
        created_at=at,
        due_at=at + LEASE,
        called_at=at,
        attempts=0,
        calls=1,
    )
    session.add(intent)
    session.flush()
    return intent


def find_intent(session: Session, key: str) -> Intent | None:
    """The intent with this key, reloaded from the database."""
    return session.scalars(
        select(Intent).where(Intent.key == key).execution_options(populate_existing=True)
    ).first()


def open_intents(session: Session, member_id: int) -> Sequence[Intent]:
    """A person's open intents, oldest first."""
    return session.scalars(
        select(Intent)
        .where(Intent.member_id == member_id, Intent.closed_at.is_(None))
        .order_by(Intent.id)
    ).all()


def oldest_open_intent(session: Session) -> datetime | None:
    """Since when the oldest open intent has been waiting for Stripe; None if none is open."""
    return session.scalar(select(func.min(Intent.created_at)).where(Intent.closed_at.is_(None)))


def claim_due_intent(session: Session, *, erasures: bool) -> Intent | None:
    """Claim the oldest open intent whose process may have died; None if there is none.

    It becomes due again later, after a growing wait.
    """
    which = Intent.kind == IntentKind.ERASURE
    intent = session.scalars(
        select(Intent)
        .where(Intent.closed_at.is_(None), Intent.due_at <= now(), which if erasures else ~which)
        .order_by(Intent.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()
    if intent:
        intent.attempts += 1
        intent.due_at = now() + min(LEASE * 2 ** min(intent.attempts, 20), _LONGEST_WAIT)
    return intent


def is_new_address(session: Session, member_id: int, email: str) -> bool:
    """Whether an open intent gives a person this address; some customers may have it already."""
    return any(
        intent.kind is IntentKind.EMAIL
        and fold_address(intent.details["email"]) == fold_address(email)
        for intent in open_intents(session, member_id)
    )


def unfinished_intents(session: Session, member_id: int) -> Sequence[Intent]:
    """A person's open and refused intents, newest first."""
    return session.scalars(
        select(Intent)
        .where(
            Intent.member_id == member_id,
            Intent.closed_at.is_(None) | Intent.refusal.is_not(None),
        )
        .order_by(Intent.id.desc())
        .limit(_MOST_SHOWN)
    ).all()


def latest_intents(session: Session, member_id: int, since: datetime) -> Sequence[Intent]:
    """A person's intents that are open or were closed since then, oldest first."""
    return session.scalars(
        select(Intent)
        .where(
            Intent.member_id == member_id,
            Intent.closed_at.is_(None) | (Intent.closed_at >= since),
        )
        .order_by(Intent.id)
    ).all()
