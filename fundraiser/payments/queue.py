"""The settlement queue: which customers are to be synced with Stripe, and which syncs failed.

Everybody who wants a customer synced asks here: webhooks, members, staff, reconciliation.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Integer, bindparam, func, insert, or_, select, text, update

from fundraiser.db import now
from fundraiser.jobs import Job, hint
from fundraiser.payments.models import SyncRequest
from fundraiser.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.orm import Session

MOST_ATTEMPTS = 12
_NEXT = (
    select(SyncRequest)
    .where(SyncRequest.due_at <= bindparam("at"))
    .order_by(SyncRequest.due_at, SyncRequest.id)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)
_OTHERS = (
    select(SyncRequest)
    .where(SyncRequest.customer_id == bindparam("customer"), SyncRequest.id != bindparam("request"))
    .with_for_update(skip_locked=True)
)
_EVENTS_SETTLED = text("""
    UPDATE event SET settled_at = :at, customer_id = coalesce(customer_id, :customer)
    WHERE id = ANY(:ids)
""")
_ANSWERED = text("DELETE FROM sync_request WHERE id = ANY(:ids)")
_BUSY = timedelta(seconds=2)
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=2), timedelta(minutes=30)


class Target(NamedTuple):
    """Whom to sync: a customer, or a charge's customer where the event names no customer."""

    customer_id: str | None = None
    charge_id: str | None = None
    event_id: str | None = None


def request_sync(session: Session, customer_id: str) -> None:
    """Have a customer synced with Stripe as soon as the transaction is committed."""
    request_syncs(session, [Target(customer_id)])


def request_syncs(session: Session, targets: Iterable[Target]) -> None:
    """Have these customers synced; a request each, in their order."""
    same = {"due_at": now(), "attempts": 0, "created_at": now()}
    rows = [target._asdict() | same for target in targets]
    if rows:
        session.execute(insert(SyncRequest), rows)
        hint(session, Job.SETTLE)


def next_request(session: Session) -> SyncRequest | None:
    """Lock the request that has waited longest, of those that nobody else has locked."""
    return session.scalars(_NEXT, {"at": now(), "most": 1}).first()


def other_requests(
    session: Session, request: SyncRequest, customer_id: str
) -> Sequence[SyncRequest]:
    """Lock the customer's other requests: one sync answers all that were made before it."""
    return session.scalars(_OTHERS, {"customer": customer_id, "request": request.id}).all()


def postpone(request: SyncRequest) -> None:
    """Leave a request for a moment: somebody else is syncing its customer."""
    request.due_at = now() + _BUSY


def answer(session: Session, requests: Iterable[SyncRequest], customer_id: str | None) -> None:
    """Delete requests that a sync has answered, and note their events as settled."""
    requests = list(requests)
    events = [request.event_id for request in requests if request.event_id]
    if events:
        values = {"ids": events, "at": now(), "customer": customer_id}
        session.execute(_EVENTS_SETTLED, values)
    session.execute(_ANSWERED, {"ids": [request.id for request in requests]})


def count_failure(session: Session, ids: list[int], error: Exception) -> None:
    """Try these requests again after a growing wait; after the last attempt they are failed."""
    found = session.scalars(select(SyncRequest).where(SyncRequest.id.in_(ids)).with_for_update())
    for request in found.all():
        request.attempts += 1
        request.error = redact(f"{type(error).__name__}: {error}")[:500]
        wait = min(_FIRST_WAIT * 2 ** (request.attempts - 1), _LONGEST_WAIT)
        # Spread out, so that what failed together does not come back together.
        wait *= random.uniform(0.5, 1)  # noqa: S311 - guards nothing
        request.due_at = now() + wait if request.attempts < MOST_ATTEMPTS else None


def backlog(session: Session) -> int:
    """How many requests are due."""
    return session.scalar(select(func.count()).where(SyncRequest.due_at <= now())) or 0


def failed_requests(
    session: Session, *, most: int | None = None, after: int = 0
) -> list[SyncRequest]:
    """Requests whose last attempt failed, with its error, by id; those behind the id ``after``."""
    failed = select(SyncRequest).where(SyncRequest.due_at.is_(None), SyncRequest.id > after)
    return list(session.scalars(failed.order_by(SyncRequest.id).limit(most)))


def retry_all_failed(session: Session) -> int:
    """Try every failed request again, from the first attempt; returns how many."""
    woken = session.scalars(
        update(SyncRequest)
        .where(SyncRequest.due_at.is_(None))
        .values(due_at=now(), attempts=0)
        .returning(SyncRequest.id)
    ).all()
    hint(session, Job.SETTLE)
    return len(woken)


def retry_failed(session: Session, name: str) -> bool:
    """Try the failed requests of a customer, or of a charge, again from the first attempt.

    False if there is no request of theirs, failed or not.
    """
    requests = session.scalars(
        select(SyncRequest)
        .where(or_(SyncRequest.customer_id == name, SyncRequest.charge_id == name))
        .with_for_update()
    ).all()
    for request in requests:
        if request.due_at is None:
            request.due_at, request.attempts = now(), 0
    hint(session, Job.SETTLE)
    return bool(requests)
