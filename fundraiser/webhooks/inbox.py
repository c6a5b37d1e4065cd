"""Store each Stripe event once, and request a sync of its customer."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import structlog
from flask import current_app
from sqlalchemy import select, text

from fundraiser.db import now
from fundraiser.incidents import Kind
from fundraiser.logs import current_cause
from fundraiser.payments import (
    ForgedWebhookError,
    WebhookReason,
    note_accepted,
    queue,
)
from fundraiser.payments.models import Customer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from fundraiser.db import Database
    from fundraiser.incidents import Incidents
    from fundraiser.payments import StripeEvent

log = structlog.get_logger()

# The event types that concern a customer's payments. Discounts and schedules change the next
# payment, a finalised invoice has a due date, and an escalated dispute has its own events. Not
# here: events that always accompany one of these (invoice.payment_succeeded, charge.succeeded,
# applied pending updates), drafts and other changes of invoices (invoice.created, invoice.updated),
# and events without a customer.
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
# Reports every declined card on the hosted page. It requests no sync: invoice.payment_failed does
# that for customers, and a sync for each declined card would help card testers.
_DECLINED = "charge.failed"
# Somebody has just paid on the hosted page and is waiting for the result.
_JOINING = {
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "customer.subscription.created",
}
# Always in the same order, to avoid deadlocks between processes. An event without a customer or
# charge is settled at once.
_STORE = text("""
    INSERT INTO event (id, type, customer_id, created_at, received_at, settled_at)
    SELECT DISTINCT ON (id) id, type, customer_id, created_at, :at,
        CASE WHEN num_nonnulls(customer_id, charge_id) = 0 THEN CAST(:at AS timestamptz) END
    FROM unnest(
        CAST(:ids AS text[]), CAST(:types AS text[]), CAST(:customers AS text[]),
        CAST(:charges AS text[]), CAST(:times AS timestamptz[])
    ) AS told (id, type, customer_id, charge_id, created_at)
    ORDER BY id
    ON CONFLICT (id) DO NOTHING
    RETURNING id
""")


class OtherModeError(ForgedWebhookError):
    """The event has the wrong mode: test instead of live, or the other way round."""


class Inbox:
    """Stores events from Stripe's webhooks, several in one transaction.

    Events that arrive during a commit are stored with the next one: under load many events share a
    commit, and otherwise none waits.
    """

    def __init__(self, database: Database, incidents: Incidents, *, livemode: bool) -> None:
        self._database = database
        self._incidents = incidents
        self._livemode = livemode
        self.waiting: deque[_Delivery] = deque()
        self.storing = threading.Lock()

    def take(self, event: StripeEvent) -> None:
        """Return once the event is stored, by this or another thread.

        Raises:
            OtherModeError: a test event reached the live service, or the other way round.
        """
        if event.livemode != self._livemode:
            raise OtherModeError(
                WebhookReason.OTHER_MODE,
                "This event is of the other mode: check which endpoint it is sent to.",
            )
        mine = _Delivery(event, current_cause())
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
                events = [delivery.event for delivery in together]
                receive(session, events, {one.event.id: one.request_id for one in together})
                note_accepted(session)
                declined = _count_strangers(session, events)
            for _ in range(declined):
                self._incidents.note(Kind.DECLINED, _DECLINED)
        except BaseException as failure:  # noqa: BLE001 - each of them raises it
            error = failure
        for delivery in together:
            delivery.is_done, delivery.error = True, error


@dataclass(eq=False, slots=True)
class _Delivery:
    event: StripeEvent
    request_id: str | None
    is_done: bool = False
    error: BaseException | None = None


def current_inbox() -> Inbox:
    """The current app's inbox."""
    return cast("Inbox", current_app.extensions["inbox"])


def receive(
    session: Session,
    events: Sequence[StripeEvent],
    requests: Mapping[str, str | None] = MappingProxyType({}),
) -> None:
    """Store events by ID and request syncs of their customers; ignores known events.

    ``requests`` has the ID of the HTTP request that brought each event, by the event's ID.
    """
    if not events:
        return
    told = {event.id: event for event in events}
    targets = {name: _target_of(event, requests.get(name)) for name, event in told.items()}
    values = {
        "ids": list(told),
        "types": [event.type for event in told.values()],
        "customers": [target.customer_id for target in targets.values()],
        "charges": [target.charge_id for target in targets.values()],
        "times": [event.created_at for event in told.values()],
        "at": now(),
    }
    stored = session.scalars(_STORE, values).all()
    named = (targets[name] for name in stored if any(targets[name][:2]))
    queue.request_syncs(session, named, wait=queue.MERGE)


def _target_of(event: StripeEvent, request_id: str | None) -> queue.Target:
    customer_id = None if event.type == _DECLINED else event.customer_id
    is_joining = event.type in _JOINING
    return queue.Target(customer_id, event.charge_id, event.id, is_joining, request_id)


def _count_strangers(session: Session, events: Sequence[StripeEvent]) -> int:
    """Count declined cards of people who aren't our customers, so not of renewals."""
    declined = [one.customer_id for one in events if one.type == _DECLINED]
    named = [customer for customer in declined if customer]
    known = (
        set(session.scalars(select(Customer.id).where(Customer.id.in_(named)))) if named else set()
    )
    return sum(customer not in known for customer in declined)
