"""Settlement of whoever waits in the queue: sync a customer with Stripe, once for all requests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select

from fundraiser.db import try_lock
from fundraiser.payments import queue, sync
from fundraiser.payments.cases import postpone_due_cases
from fundraiser.payments.models import Payment
from fundraiser.payments.stripe.errors import StripeUnavailableError

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy.orm import Session

    from fundraiser.db import Database
    from fundraiser.payments.models import SyncRequest
    from fundraiser.payments.stripe.gateway import Gateway

log = structlog.get_logger()

_MOMENT = 2.0  # seconds


def settle_next(database: Database, gateway: Gateway, grace: timedelta) -> bool:
    """Settle one customer of the queue, in one transaction; False if no request is due.

    A failure is counted in a small transaction of its own. It is tried again after growing waits,
    and fails for good after the last attempt, until staff try it again.
    """
    taken: list[int] = []
    try:
        with database.transaction() as session:
            request = queue.next_request(session)
            if request is None:
                return False
            taken.append(request.id)
            _settle(session, gateway, grace, request, taken)
    except Exception as error:
        if not taken:
            raise
        # No traceback when Stripe is unavailable.
        unexpected = not isinstance(error, StripeUnavailableError)
        log.warning("settlement_failed", requests=taken, error=str(error), exc_info=unexpected)
        with database.transaction() as session:
            queue.count_failure(session, taken, error)
    return True


def _settle(
    session: Session, gateway: Gateway, grace: timedelta, request: SyncRequest, taken: list[int]
) -> None:
    customer_id = request.customer_id or _customer_of(session, gateway, request.charge_id or "")
    requests = [request]
    if customer_id is not None:
        if not _comes_free(session, customer_id):
            queue.postpone(request)
            return
        # Requests made before the fetch are answered by it; later ones stay.
        requests += queue.other_requests(session, request, customer_id)
        taken[:] = [found.id for found in requests]
        event_id = next((found.event_id for found in requests if found.event_id), None)
        sync.settle(session, gateway, grace, customer_id, cause_ref=event_id)
        postpone_due_cases(session, customer_id)
    queue.answer(session, requests, customer_id)


def _comes_free(session: Session, customer_id: str) -> bool:
    """Take the customer's lock, unless somebody else holds it for longer than a moment.

    Whoever does may wait for a Stripe that is silent: others are settled meanwhile.
    """
    until = time.monotonic() + _MOMENT
    while not try_lock(session, "customer", customer_id):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _customer_of(session: Session, gateway: Gateway, charge_id: str) -> str | None:
    known = session.scalar(select(Payment.customer_id).where(Payment.charge_id == charge_id))
    return known or gateway.customer_of_charge(charge_id)
