"""Run syncs: take a customer's lease, fetch from Stripe, and update our rows.

It holds no transaction and no connection during calls to Stripe. If a process dies, its requests
stay and its lease expires, so another process starts again.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import bound_contextvars

from fundraiser.db import now
from fundraiser.members.models import Cause
from fundraiser.payments import queue, sync
from fundraiser.payments.cases import postpone_due_cases
from fundraiser.payments.models import Payment
from fundraiser.payments.queue import SyncBusyError
from fundraiser.payments.stripe.errors import StripeUnavailableError
from fundraiser.payments.stripe.patience import patience
from fundraiser.payments.telling import Telling

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import timedelta

    from fundraiser.db import Database
    from fundraiser.members.models import Member
    from fundraiser.payments.queue import Claim
    from fundraiser.payments.stripe.gateway import Gateway

log = structlog.get_logger()

_PATIENCE = 8.0  # seconds to wait for another sync of the same customer
_POLL = 0.1  # seconds between attempts to take a lease
_COLLISIONS = 3
_LOOK = 25.0  # seconds for all calls of one fetch: less than a lease
_OVERTIME = 10.0  # seconds to wait for another process to take over
_SOON = 2.0  # seconds: wait for customers who are due by then


def settle(
    database: Database,
    gateway: Gateway,
    grace: timedelta,
    customer_id: str,
    *,
    cause: Cause = Cause.STRIPE,
    cause_ref: str | None = None,
    count: bool = True,
    patience: float = _PATIENCE,
) -> Member | None:
    """Sync one customer now; returns the person, or None if the customer isn't ours.

    ``cause_ref`` is why (a Checkout session, a member of staff): the ledger records it. With
    ``count=False`` it writes the rows and leaves the number as it is.

    Raises:
        SyncBusyError: another sync takes longer than ``patience`` (seconds).
        StripeUnavailableError: Stripe doesn't answer; a worker tries again.
    """
    with leased(database, [customer_id], patience) as (claim,):
        return settle_claim(
            database,
            gateway,
            grace,
            claim,
            cause=cause,
            cause_ref=cause_ref,
            count=count,
            urgent=True,
        )


@contextmanager
def leased(
    database: Database, customers: Iterable[str], patience: float = _PATIENCE
) -> Iterator[list[Claim]]:
    """Hold these customers' leases, so that nobody else writes their data from Stripe.

    Raises:
        SyncBusyError: somebody else holds one for longer than ``patience`` (seconds).
    """
    claims: list[Claim] = []
    until = time.monotonic() + patience
    try:
        # Always in the same order, to avoid deadlocks.
        claims.extend(_take(database, customer_id, until) for customer_id in sorted(customers))
        yield claims
    finally:
        # A lease that can't be released expires.
        with suppress(SQLAlchemyError), database.transaction(beside=True) as session:
            queue.release(session, claims)


def settle_claim(
    database: Database,
    gateway: Gateway,
    grace: timedelta,
    claim: Claim,
    *,
    cause: Cause = Cause.STRIPE,
    cause_ref: str | None = None,
    count: bool = True,
    urgent: bool = False,
) -> Member | None:
    """Sync the customer whose lease we hold, and release it; returns the person, if ours.

    If Stripe needs calls, it makes them after committing, then fetches again. ``urgent``: a person
    is waiting for the result.

    Raises:
        SyncBusyError: somebody else has taken the lease since; nothing is written.
        StripeUnavailableError: Stripe doesn't answer.
    """
    if not claim.requests:
        with database.transaction() as session:
            queue.promise(session, claim)
    telling = Telling(gateway)
    while True:
        with patience(_LOOK, urgent=urgent or claim.urgent):
            telling.make_calls()
            state = sync.fetch(gateway, claim.name, claim.running)
        with database.transaction() as session:
            queue.hold(session, claim)
            member = None
            if state is not None:
                member = sync.write(
                    session,
                    grace,
                    state,
                    telling,
                    cause=cause,
                    cause_ref=cause_ref,
                    count=count,
                )
            if telling.is_over:
                postpone_due_cases(session, claim.name)
                queue.answer(session, claim, claim.name)
                return member
            queue.renew(session, claim)


def settle_due(
    database: Database, gateway: Gateway, grace: timedelta, *, threads: int, seconds: float
) -> bool:
    """Sync all due customers in threads, which mostly wait for Stripe; True if time ran out first.

    Waits for customers that are due in a moment instead of leaving them to the next run. When time
    runs out, it goes on a little until another process has taken over: the last threads need
    seconds, in which nobody would use what Stripe allows.
    """
    until = time.monotonic() + seconds
    at_it: set[Future[None]] = set()
    is_leaving = False
    with ThreadPoolExecutor(threads, thread_name_prefix="settle") as pool:
        while True:
            if time.monotonic() >= until and not is_leaving:
                overtime = time.monotonic() - until
                is_leaving = overtime > _OVERTIME or _others_took_over(
                    database, len(at_it), threads
                )
            free = 0 if is_leaving else threads - len(at_it)
            for claim in _claim(database, free) if free else ():
                at_it.add(
                    pool.submit(copy_context().run, settle_one, database, gateway, grace, claim)
                )
            if at_it:
                done, at_it = wait(at_it, timeout=_POLL, return_when=FIRST_COMPLETED)
                for one in done:
                    one.result()
                continue
            due_in = _next_due_in(database)
            if is_leaving:
                return due_in <= 0
            if due_in > _SOON:
                return False
            time.sleep(max(due_in, 0))


def settle_next(database: Database, gateway: Gateway, grace: timedelta) -> bool:
    """Sync one customer of the queue; False if no unclaimed request is due.

    Counts a failure in a small separate transaction and retries after growing waits. After the last
    attempt the request is failed until staff retry it.
    """
    for _ in range(_COLLISIONS):
        with database.transaction() as session:
            claims = queue.claim_due(session, most=1)
            if not claims and not queue.is_due(session):
                return False
        if claims:
            settle_one(database, gateway, grace, claims[0])
            return True
    return False


def settle_one(database: Database, gateway: Gateway, grace: timedelta, claim: Claim) -> None:
    """Sync a claimed customer, or find a charge's customer; counts a failure.

    It logs, and enqueues e-mails, under the ID of the request that asked for it.
    """
    with bound_contextvars(**({"request": claim.request_id} if claim.request_id else {})):
        _settle_one(database, gateway, grace, claim)


def _settle_one(database: Database, gateway: Gateway, grace: timedelta, claim: Claim) -> None:
    try:
        if claim.is_charge:
            _name_customer(database, gateway, claim)
        else:
            settle_claim(database, gateway, grace, claim, cause_ref=claim.event_id)
        log.info("settled", requests=claim.requests)
    except SyncBusyError:
        log.info("settlement_overtaken", requests=claim.requests)
    except Exception as error:
        # No traceback when Stripe is unavailable.
        unexpected = not isinstance(error, StripeUnavailableError)
        log.warning(
            "settlement_failed", requests=claim.requests, error=str(error), exc_info=unexpected
        )
        with database.transaction() as session:
            queue.count_failure(session, claim.requests, error)
            queue.release(session, [claim])


def _claim(database: Database, most: int) -> list[Claim]:
    with database.transaction() as session:
        return queue.claim_due(session, most)


def _others_took_over(database: Database, ours: int, threads: int) -> bool:
    """Whether another process syncs about as many customers as it can, and isn't leaving too."""
    with database.transaction() as session:
        return queue.leases(session) - ours >= 0.9 * threads


def _next_due_in(database: Database) -> float:
    """Seconds until the next request is due; infinite if there is none."""
    with database.transaction() as session:
        due_at = queue.next_due(session)
    return math.inf if due_at is None else (due_at - now()).total_seconds()


def _take(database: Database, customer_id: str, until: float) -> Claim:
    while True:
        with database.transaction() as session:
            claim = queue.claim(session, customer_id)
        if claim:
            return claim
        if time.monotonic() > until:
            raise SyncBusyError
        time.sleep(_POLL)


def _name_customer(database: Database, gateway: Gateway, claim: Claim) -> None:
    """Find a charge's customer; if it has none, drop the requests."""
    with database.transaction() as session:
        customer_id = session.scalar(
            select(Payment.customer_id).where(Payment.charge_id == claim.name)
        )
    customer_id = customer_id or gateway.customer_of_charge(claim.name)
    with database.transaction() as session:
        queue.hold(session, claim)
        if customer_id is None:
            queue.answer(session, claim, None)
        else:
            queue.name_customer(session, claim, customer_id)
