"""The sync queue: which customers to sync with Stripe, who does it, and what failed.

Webhooks, members, staff and reconciliation all request syncs here. A sync holds the customer's
lease: it takes and commits the lease before it fetches from Stripe, and checks it in the
transaction that writes. A fetch starts after taking the lease, and a newer lease locks out the
older writer, so nothing is held while we wait for Stripe.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, insert, or_, select, text, update

from fundraiser.db import now
from fundraiser.errors import UnavailableError
from fundraiser.jobs import Job, hint
from fundraiser.logs import current_cause
from fundraiser.members.models import ENDED, Membership, Source
from fundraiser.payments.models import SyncRequest
from fundraiser.redaction import redact
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from sqlalchemy.orm import Session

MOST_ATTEMPTS = 12
# A join causes four events within a second: one sync answers all of them.
MERGE = timedelta(seconds=1.2)
# Longer than a successful sync, but short: after a crash, others wait this long.
LEASE = timedelta(seconds=30)
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=2), timedelta(minutes=30)
_TAKE = """
    ON CONFLICT (name) DO UPDATE SET token = excluded.token, until = excluded.until
    WHERE lease.until <= :at
    RETURNING name, token
"""
# Always in the same order, to avoid deadlocks between workers.
_TAKE_DUE = """
    INSERT INTO sync_lease AS lease (name, token, until)
    SELECT name, nextval('sync_lease_token'), :until FROM (
        SELECT name FROM (
            SELECT coalesce(customer_id, charge_id) AS name, due_at, id
            FROM sync_request AS request
            WHERE due_at <= :at AND {which} AND NOT EXISTS (
                SELECT FROM sync_lease
                WHERE name = coalesce(request.customer_id, request.charge_id) AND until > :at
            )
            ORDER BY due_at, id LIMIT 4 * :most
        ) AS due
        GROUP BY name ORDER BY min(due_at), min(id) LIMIT :most
    ) AS waiting
    ORDER BY name
    {take}
"""
_TAKE_URGENT = text(_TAKE_DUE.format(which="urgent", take=_TAKE))
_TAKE_ANY = text(_TAKE_DUE.format(which="true", take=_TAKE))
_TAKE_ONE = text(f"""
    INSERT INTO sync_lease AS lease (name, token, until)
    VALUES (:name, nextval('sync_lease_token'), :until)
    {_TAKE}
""")  # noqa: S608 - as above
_RENEW = text("UPDATE sync_lease SET until = :until WHERE name = :name AND token = :token")
_HOLD = text("SELECT FROM sync_lease WHERE name = :name AND token = :token FOR UPDATE")
_RELEASE = text("DELETE FROM sync_lease WHERE name = :name AND token = :token")
_IS_LEASED = text("SELECT 1 FROM sync_lease WHERE name = :name AND until > :at")
_LEASES = text("SELECT count(*) FROM sync_lease WHERE until > :at")
_NEXT_DUE = text("""
    SELECT min(due_at) FROM sync_request AS request
    WHERE due_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM sync_lease
        WHERE name = coalesce(request.customer_id, request.charge_id) AND until > :at
    )
""")
_WAITING = text("""
    SELECT id, coalesce(customer_id, charge_id) AS name, event_id, urgent, request_id,
        charge_id IS NOT NULL AS is_charge
    FROM sync_request
    WHERE customer_id = ANY(:names) OR charge_id = ANY(:names) ORDER BY id
""")
_ANSWER = text("""
    WITH answered AS (DELETE FROM sync_request WHERE id = ANY(:ids) RETURNING event_id),
    settled AS (
        UPDATE event SET settled_at = :at, customer_id = coalesce(event.customer_id, :customer)
        FROM answered WHERE event.id = answered.event_id
    )
    DELETE FROM sync_lease WHERE name = :name AND token = :token
""")


class SyncBusyError(UnavailableError):
    """Another sync of this customer is running, or started while we took too long."""

    def __init__(self) -> None:
        super().__init__(
            _("We’re still looking up the latest payment. Try again in half a minute.")
        )


class Target(NamedTuple):
    """What to sync: a customer, or a charge's customer if the event names no customer."""

    customer_id: str | None = None
    charge_id: str | None = None
    event_id: str | None = None
    urgent: bool = False
    request_id: str | None = None


def request_sync(session: Session, customer_id: str) -> None:
    """Request a sync of a customer with Stripe, as soon as the transaction is committed."""
    request_syncs(session, [Target(customer_id)])


def request_syncs(
    session: Session, targets: Iterable[Target], *, wait: timedelta = timedelta()
) -> None:
    """Request a sync of each of these customers after ``wait``, in their order."""
    at = now()
    same = {"due_at": at + wait, "attempts": 0, "created_at": at}
    cause = current_cause()
    rows = [
        target._asdict() | same | {"request_id": target.request_id or cause} for target in targets
    ]
    if rows:
        session.execute(insert(SyncRequest), rows)
        hint(session, Job.SETTLE)


@dataclass(slots=True)
class Claim:
    """A lease on a customer, or on a charge whose customer we don't know.

    ``requests`` (IDs) existed before, so a fetch that starts now answers them. ``event_id`` is the
    first one's, and so is ``request_id``; one ``urgent`` request makes the claim urgent.
    ``running`` are the customer's running subscriptions in our database.
    """

    name: str
    token: int
    requests: list[int] = field(default_factory=list)
    event_id: str | None = None
    running: frozenset[str] = frozenset()
    is_charge: bool = False
    urgent: bool = False
    request_id: str | None = None


def claim_due(session: Session, most: int) -> list[Claim]:
    """Take the leases of up to ``most`` due customers: urgent ones first, then the longest waiting.

    May return none although some are due, if other workers were faster.
    """
    at = now()
    claims: list[Claim] = []
    for take in (_TAKE_URGENT, _TAKE_ANY):
        values = {"at": at, "until": at + LEASE, "most": most - len(claims)}
        claims += [Claim(*found) for found in session.execute(take, values)]
    return _noted(session, claims)


def claim(session: Session, customer_id: str) -> Claim | None:
    """Take the lease of one customer; None if it is taken."""
    at = now()
    values = {"name": customer_id, "at": at, "until": at + LEASE}
    found = session.execute(_TAKE_ONE, values).first()
    return _noted(session, [Claim(*found)])[0] if found else None


def promise(session: Session, claim: Claim) -> None:
    """Request a sync of a customer whose lease we hold, in case this process dies."""
    request_sync(session, claim.name)
    _noted(session, [claim])


def renew(session: Session, claim: Claim) -> None:
    """Extend a lease for another fetch, which also answers newer requests."""
    hold(session, claim)
    values = {"name": claim.name, "token": claim.token, "until": now() + LEASE}
    session.execute(_RENEW, values)
    _noted(session, [claim])


def hold(session: Session, claim: Claim) -> None:
    """Check that we still have a lease, and keep it until the transaction ends.

    Raises:
        SyncBusyError: it was taken since, so the fetched state may be out of date.
    """
    if session.execute(_HOLD, {"name": claim.name, "token": claim.token}).first() is None:
        raise SyncBusyError


def release(session: Session, claims: Iterable[Claim]) -> None:
    """Release leases that we still have."""
    for claim in claims:
        session.execute(_RELEASE, {"name": claim.name, "token": claim.token})
    hint(session, Job.SETTLE)


def next_due(session: Session) -> datetime | None:
    """When the next request without a lease is due."""
    found: datetime | None = session.scalar(_NEXT_DUE, {"at": now()})
    return found


def is_due(session: Session) -> bool:
    """Whether a request without a lease is due."""
    due_at = next_due(session)
    return due_at is not None and due_at <= now()


def leases(session: Session) -> int:
    """How many customers are being synced now, by all processes."""
    return session.scalar(_LEASES, {"at": now()}) or 0


def is_leased(session: Session, customer_id: str) -> bool:
    """Whether a sync of this customer is running."""
    return session.scalar(_IS_LEASED, {"name": customer_id, "at": now()}) is not None


def answer(session: Session, claim: Claim, customer_id: str | None) -> None:
    """Delete the requests that a sync answered, mark their events, and release the lease."""
    values = {"ids": claim.requests, "at": now(), "customer": customer_id}
    session.execute(_ANSWER, values | {"name": claim.name, "token": claim.token})


def name_customer(session: Session, claim: Claim, customer_id: str) -> None:
    """Record a charge's customer, and move its requests to the customer."""
    session.execute(
        update(SyncRequest)
        .where(SyncRequest.id.in_(claim.requests))
        .values(customer_id=customer_id, charge_id=None)
    )
    session.execute(_RELEASE, {"name": claim.name, "token": claim.token})


def _noted(session: Session, claims: list[Claim]) -> list[Claim]:
    """Note the pending requests and running subscriptions of claimed customers."""
    names = [claim.name for claim in claims]
    waiting = defaultdict(list)
    for request in session.execute(_WAITING, {"names": names}):
        waiting[request.name].append(request)
    running: dict[str | None, set[str]] = defaultdict(set)
    for customer_id, reference in session.execute(
        select(Membership.customer_id, Membership.reference).where(
            Membership.customer_id.in_(names),
            Membership.source == Source.STRIPE,
            Membership.status.not_in(ENDED),
        )
    ):
        running[customer_id].add(reference)
    for claim in claims:
        requests = waiting[claim.name]
        claim.requests = [request.id for request in requests]
        claim.event_id = next((request.event_id for request in requests if request.event_id), None)
        claim.request_id = next((one.request_id for one in requests if one.request_id), None)
        claim.is_charge = any(request.is_charge for request in requests)
        claim.urgent = any(request.urgent for request in requests)
        claim.running = frozenset(running[claim.name])
    return claims


def count_failure(session: Session, ids: Collection[int], error: Exception) -> None:
    """Retry these requests after a growing wait; after the last attempt they are failed."""
    found = session.scalars(select(SyncRequest).where(SyncRequest.id.in_(ids)).with_for_update())
    for request in found.all():
        request.attempts += 1
        request.error = redact(f"{type(error).__name__}: {error}")[:500]
        wait = min(_FIRST_WAIT * 2 ** (request.attempts - 1), _LONGEST_WAIT)
        # Random, so that requests that failed together don't return together.
        wait *= random.uniform(0.5, 1)  # noqa: S311 - guards nothing
        request.due_at = now() + wait if request.attempts < MOST_ATTEMPTS else None


def backlog(session: Session) -> int:
    """How many requests are due."""
    return session.scalar(select(func.count()).where(SyncRequest.due_at <= now())) or 0


def oldest_due_sync(session: Session) -> datetime | None:
    """Since when the request that waits longest has been due; None if none is."""
    return session.scalar(select(func.min(SyncRequest.due_at)).where(SyncRequest.due_at <= now()))


def failed_requests(
    session: Session, *, most: int | None = None, after: int = 0
) -> list[SyncRequest]:
    """Failed requests with their error, by ID; those after the ID ``after``."""
    failed = select(SyncRequest).where(SyncRequest.due_at.is_(None), SyncRequest.id > after)
    return list(session.scalars(failed.order_by(SyncRequest.id).limit(most)))


def retry_all_failed(session: Session) -> int:
    """Retry every failed request, with all attempts; returns how many."""
    woken = session.scalars(
        update(SyncRequest)
        .where(SyncRequest.due_at.is_(None))
        .values(due_at=now(), attempts=0)
        .returning(SyncRequest.id)
    ).all()
    hint(session, Job.SETTLE)
    return len(woken)


def retry_failed(session: Session, name: str) -> bool:
    """Retry the failed requests of a customer or a charge, with all attempts.

    False if there are no requests for it, failed or not.
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
