"""Events: one row for each change, and a delivery for each subscribed endpoint."""

import json
import time
from datetime import UTC, datetime
from typing import Any

from simulator import API_VERSION, COMMAND_LINE_ENDPOINT
from simulator.core.objects import new_id
from simulator.core.shapes import Object, public, sparse
from simulator.core.store import encode
from simulator.core.world import World, changes

# What the endpoint of the command line is told: what an application has to handle.
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


def emit(
    world: World, kind: str, whole: Object, at: int, previous: dict[str, Any] | None = None
) -> None:
    """Write the event and its deliveries in the caller's transaction."""
    data: Object = {"object": sparse(whole)}
    if previous:
        data["previous_attributes"] = previous
    identity = new_id("event")
    connection = world.store.connection
    connection.execute(
        "INSERT INTO events (id, type, created, object_id, request, data)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            identity,
            kind,
            at,
            whole.get("id"),
            encode(world.request or {"id": None, "idempotency_key": None}),
            encode(data),
        ),
    )
    for endpoint in endpoints_for(world, kind):
        deliver(world, identity, endpoint)


def update(world: World, kind: str, whole: Object, at: int, **new: Any) -> Object:  # noqa: ANN401 - any of its fields
    """Change an object's fields and emit an event if anything changed; returns the result."""
    after = {**whole, **new}
    previous = changes(whole, after)
    if previous or after != whole:
        world.store.put(after)
    if previous:
        emit(world, kind, after, at, previous)
    return after


def deliver(world: World, event: str, endpoint: str) -> None:
    now = time.time()
    for delay in world.faults.deliveries():
        world.store.connection.execute(
            "INSERT INTO deliveries (event, endpoint, state, due, first_due)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                event,
                endpoint,
                "lost" if delay is None else "waiting",
                now + (delay or 0),
                now + (delay or 0),
            ),
        )
    world.deliver_soon.set()


def endpoints_for(world: World, kind: str) -> list[str]:
    """The endpoints subscribed to this event type."""
    return [
        endpoint["id"]
        for endpoint in world.store.find("webhook_endpoint", where={"status": "enabled"})
        if {"*", kind} & set(endpoint["enabled_events"])
    ]


def listen_for(world: World) -> None:
    """Register the command line's endpoint, and remove that of an earlier start."""
    if world.webhook_url is None or world.webhook_secret is None:
        world.store.delete(COMMAND_LINE_ENDPOINT)
        return
    world.store.put(
        {
            "id": COMMAND_LINE_ENDPOINT,
            "object": "webhook_endpoint",
            "created": world.now(),
            "url": world.webhook_url,
            "enabled_events": sorted(HANDLED),
            "api_version": API_VERSION,
            "_secret": world.webhook_secret,
        }
    )


def event_body(found: Any, version: str = API_VERSION) -> Object:  # noqa: ANN401 - a row of the events table
    """The event as the API and a webhook show it."""
    data = json.loads(found["data"])
    data["object"] = public(data["object"])
    if found["type"] == "invoice.upcoming":
        del data["object"]["id"]
    return {
        "id": found["id"],
        "object": "event",
        "api_version": version,
        "created": found["created"],
        "data": data,
        "livemode": False,
        "pending_webhooks": found["pending"],
        "request": json.loads(found["request"]),
        "type": found["type"],
    }


def thin_body(found: Any) -> Object:  # noqa: ANN401 - a row of the events table
    """The event as a thin payload, without its object."""
    kind = json.loads(found["data"])["object"]["object"]
    address = f"/v1/{kind.replace('.', '/')}s/{found['object_id']}"
    about = {"id": found["object_id"], "type": kind, "url": address}
    return {
        "id": f"{found['id']}_thin",
        "object": "v2.core.event",
        "type": f"v1.{found['type']}",
        "created": datetime.fromtimestamp(found["created"], UTC).isoformat().replace("+00:00", "Z"),
        "livemode": False,
        "context": None,
        "related_object": about,
        "snapshot_event": found["id"],
    }


EVENT_COLUMNS = (
    "events.*, (SELECT count(*) FROM deliveries"
    " WHERE deliveries.event = events.id AND state = 'waiting') AS pending"
)
