"""Stripe's inbox: receive an event, settle the customers that events made us look at."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import structlog
from flask import current_app
from sqlalchemy import bindparam, func, or_, select, text, update

from fundraiser.db import now, try_lock
from fundraiser.incidents import Kind
from fundraiser.jobs import Job, hint
from fundraiser.payments import (
    ForgedWebhookError,
    StripeUnavailableError,
    WebhookReason,
    note_accepted,
    sync,
)
from fundraiser.payments.cases import postpone_due_cases
from fundraiser.payments.models import Customer, Look, Payment
from fundraiser.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from fundraiser.db import Database
    from fundraiser.incidents import Incidents
    from fundraiser.payments import Gateway, Knock

log = structlog.get_logger()

MOST_ATTEMPTS = 12
# The types of events that say something of a customer's payments. Those about discounts and
# schedules change what the next payment comes to, a finalised invoice has its due date, and a
# dispute that escalates is told by its own events. Left out: what always comes with one of these
# (invoice.payment_succeeded, charge.succeeded, a pending update that was applied), drafts and other
# changes of an invoice (invoice.created, invoice.updated), and what names no customer.
HANDLED = frozenset(
    {
        *("checkout.session.completed", "checkout.session.expired"),
        *("checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed"),
        *("customer.subscription.created", "customer.subscription.updated"),
        *("customer.subscription.deleted", "customer.subscription.paused"),
        *("customer.subscription.resumed", "customer.subscription.trial_will_end"),
        *("subscription_schedule.created", "subscription_schedule.updated"),
        *("subscription_schedule.released", "subscription_schedule.canceled"),
        *("customer.discount.created", "customer.discount.updated", "customer.discount.deleted"),
        *("invoice.paid", "invoice.payment_failed", "invoice.payment_action_required"),
        *("invoice.finalized", "invoice.finalization_failed", "invoice.upcoming"),
        *("invoice.voided", "invoice.marked_uncollectible", "invoice.overpaid"),
        *("payment_intent.processing", "charge.pending", "charge.refunded", "charge.failed"),
        *("charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed"),
        *("charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated"),
        *("charge.refund.updated", "refund.created", "refund.updated", "refund.failed"),
        "payment_method.automatically_updated",
        *("customer.updated", "customer.deleted"),
    }
)
# Tells of each card that is tried out on the hosted page. What that means for a customer is told
# by invoice.payment_failed: a look at Stripe for each declined card would help the card testers.
_DECLINED = "charge.failed"
# In one order, or two processes that are sent the same events wait for each other. An event that
# speaks of nobody is settled as it is.
_RECEIVE = text("""
    WITH knock AS (
        SELECT DISTINCT ON (id) * FROM unnest(
            CAST(:ids AS text[]), CAST(:types AS text[]), CAST(:customers AS text[]),
            CAST(:charges AS text[]), CAST(:times AS timestamptz[])
        ) AS knock (id, type, customer_id, charge_id, created_at)
        ORDER BY id
    ), stored AS (
        INSERT INTO event (id, type, customer_id, created_at, received_at, settled_at)
        SELECT id, type, customer_id, created_at, :at,
            CASE WHEN num_nonnulls(customer_id, charge_id) = 0 THEN CAST(:at AS timestamptz) END
        FROM knock ORDER BY id
        ON CONFLICT (id) DO NOTHING
        RETURNING id
    )
    INSERT INTO look (customer_id, charge_id, event_id, due_at, attempts, created_at)
    SELECT customer_id, charge_id, id, :at, 0, :at FROM knock JOIN stored USING (id)
    WHERE num_nonnulls(customer_id, charge_id) > 0
    ORDER BY id
    RETURNING id
""")
_NEXT = (
    select(Look)
    .where(Look.due_at <= bindparam("at"))
    .order_by(Look.due_at, Look.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_OTHERS = (
    select(Look)
    .where(Look.customer_id == bindparam("customer"), Look.id != bindparam("look"))
    .with_for_update(skip_locked=True)
)
_SETTLED = text("""
    UPDATE event SET settled_at = :at, customer_id = coalesce(customer_id, :customer)
    WHERE id = ANY(:ids)
""")
_ANSWERED = text("DELETE FROM look WHERE id = ANY(:ids)")
_MOMENT, _BUSY = 2.0, timedelta(seconds=2)
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=2), timedelta(minutes=30)


class OtherModeError(ForgedWebhookError):
    """The event belongs to the other of Stripe's two worlds: test or live."""


class Inbox:
    """Stores what Stripe's webhooks bring, several in one transaction.

    Whoever comes while others are being stored goes with the next ones: on a busy day a commit is
    shared by many, and on a quiet one nobody waits.
    """

    def __init__(self, database: Database, incidents: Incidents, *, livemode: bool) -> None:
        self._database = database
        self._incidents = incidents
        self._livemode = livemode
        self.waiting: deque[_Delivery] = deque()
        self.storing = threading.Lock()

    def take(self, knock: Knock) -> None:
        """Return once the event is stored, by whichever thread.

        Raises:
            OtherModeError: a test event reached the live service, or the other way round.
        """
        if knock.livemode != self._livemode:
            raise OtherModeError(
                WebhookReason.OTHER_MODE,
                "This event is of the other mode: check which endpoint it is sent to.",
            )
        mine = _Delivery(knock)
        self.waiting.append(mine)
        with self.storing:
            if not mine.is_done:
                self._store()
        if mine.error:
            raise mine.error

    def _store(self) -> None:
        together = [self.waiting.popleft() for _ in range(len(self.waiting))]
        error: BaseException | None = None
        try:
            with self._database.transaction() as session:
                knocks = [delivery.knock for delivery in together]
                receive(session, knocks)
                note_accepted(session)
                declined = _count_strangers(session, knocks)
            for _ in range(declined):
                self._incidents.note(Kind.DECLINED, _DECLINED)
        except BaseException as failure:  # noqa: BLE001 - each of them raises it
            error = failure
        for delivery in together:
            delivery.is_done, delivery.error = True, error


@dataclass(eq=False, slots=True)
class _Delivery:
    knock: Knock
    is_done: bool = False
    error: BaseException | None = None


def current_inbox() -> Inbox:
    """The inbox of the app that handles this request."""
    return cast("Inbox", current_app.extensions["inbox"])


def receive(session: Session, knocks: Sequence[Knock]) -> None:
    """Store events by their ids and mark their customers as those to look at; known ones stay."""
    if not knocks:
        return
    columns = zip(
        *(
            (
                one.id,
                one.type,
                None if one.type == _DECLINED else one.customer_id,
                one.charge_id,
                one.created_at,
            )
            for one in knocks
        ),
        strict=True,
    )
    names = ("ids", "types", "customers", "charges", "times")
    looks = session.execute(
        _RECEIVE, {**dict(zip(names, map(list, columns), strict=True)), "at": now()}
    )
    if looks.first():
        hint(session, Job.SETTLE)


def _count_strangers(session: Session, knocks: Sequence[Knock]) -> int:
    """How many cards were declined of people who are none of our customers: no renewals."""
    declined = [one.customer_id for one in knocks if one.type == _DECLINED]
    named = [customer for customer in declined if customer]
    known = (
        set(session.scalars(select(Customer.id).where(Customer.id.in_(named)))) if named else set()
    )
    return sum(customer not in known for customer in declined)


def settle_next(database: Database, gateway: Gateway, grace: timedelta) -> bool:
    """Settle one customer to look at, in one transaction; False if none is due.

    A failure is counted in a small transaction of its own. It is tried again with growing waits,
    and after the last attempt the customer rests with the error until staff settle it again.
    """
    taken: list[int] = []
    try:
        with database.transaction() as session:
            look = _take(session)
            if look is None:
                return False
            taken.append(look.id)
            _settle(session, gateway, grace, look, taken)
    except Exception as error:
        if not taken:
            raise
        # That Stripe is away is nothing of which the log has to show the way through the code.
        unexpected = not isinstance(error, StripeUnavailableError)
        log.warning("settlement_failed", looks=taken, error=str(error), exc_info=unexpected)
        with database.transaction() as session:
            _count_failure(session, taken, error)
    return True


def backlog(session: Session) -> int:
    """How many looks are due."""
    return session.scalar(select(func.count()).where(Look.due_at <= now())) or 0


def _take(session: Session) -> Look | None:
    return session.scalars(_NEXT, {"at": now()}).first()


def _settle(
    session: Session, gateway: Gateway, grace: timedelta, look: Look, taken: list[int]
) -> None:
    customer_id = look.customer_id or _customer_of(session, gateway, look.charge_id or "")
    looks = [look]
    if customer_id is not None:
        if not _comes_free(session, customer_id):
            look.due_at = now() + _BUSY
            return
        # All reasons known before the look at Stripe are answered by it; later ones stay.
        looks += session.scalars(_OTHERS, {"customer": customer_id, "look": look.id})
        taken[:] = [found.id for found in looks]
        event_id = next((found.event_id for found in looks if found.event_id), None)
        sync.settle(session, gateway, grace, customer_id, cause_ref=event_id)
        postpone_due_cases(session, customer_id)
    events = [found.event_id for found in looks if found.event_id]
    if events:
        session.execute(_SETTLED, {"ids": events, "at": now(), "customer": customer_id})
    session.execute(_ANSWERED, {"ids": [found.id for found in looks]})


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


def _count_failure(session: Session, ids: list[int], error: Exception) -> None:
    looks = session.scalars(select(Look).where(Look.id.in_(ids)).with_for_update()).all()
    for look in looks:
        look.attempts += 1
        look.error = redact(f"{type(error).__name__}: {error}")[:500]
        wait = min(_FIRST_WAIT * 2 ** (look.attempts - 1), _LONGEST_WAIT)
        # Spread out, so that what failed together does not come back together.
        wait *= random.uniform(0.5, 1)  # noqa: S311 - guards nothing
        look.due_at = now() + wait if look.attempts < MOST_ATTEMPTS else None


def resting(session: Session, *, most: int | None = None, after: int = 0) -> list[Look]:
    """The customers whose last attempt failed: staff are shown them with the error.

    In their order, behind the look ``after``.
    """
    return list(
        session.scalars(
            select(Look).where(Look.due_at.is_(None), Look.id > after).order_by(Look.id).limit(most)
        )
    )


def settle_all_again(session: Session) -> int:
    """Look at every resting customer once more, from the first attempt; returns how many."""
    woken = session.scalars(
        update(Look)
        .where(Look.due_at.is_(None))
        .values(due_at=now(), attempts=0)
        .returning(Look.id)
    ).all()
    hint(session, Job.SETTLE)
    return len(woken)


def settle_again(session: Session, name: str) -> bool:
    """Look at a resting customer, or charge, once more from the first attempt.

    False if nothing is known of it; asked twice, it is looked at once.
    """
    looks = session.scalars(
        select(Look).where(or_(Look.customer_id == name, Look.charge_id == name)).with_for_update()
    ).all()
    for look in looks:
        if look.due_at is None:
            look.due_at, look.attempts = now(), 0
    hint(session, Job.SETTLE)
    return bool(looks)


def look_at(session: Session, customer_id: str) -> None:
    """Look at a customer though nothing happened."""
    session.add(Look.now(customer_id=customer_id))
    hint(session, Job.SETTLE)
