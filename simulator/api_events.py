"""Events and webhook endpoints."""

import secrets
from typing import Any

from simulator import API_VERSION
from simulator.api import LIST, created_clauses, limit_of, page, route
from simulator.due import EVENTS_KEPT_FOR
from simulator.errors import missing, refused
from simulator.events import EVENT_COLUMNS, event_body
from simulator.expand import listing
from simulator.objects import new_id
from simulator.params import METADATA, Clearable, merged
from simulator.shapes import Object
from simulator.world import World

MOST_TYPES = 20


@route("GET", "/v1/events/<event>")
def retrieve_event(world: World, params: Object, event: str) -> Object:
    del params
    return event_named(world, event)


def event_named(world: World, event: str) -> Object:
    found = world.store.execute(
        f"SELECT {EVENT_COLUMNS} FROM events WHERE id = ?",  # noqa: S608 - our own columns
        (event,),
    )
    if not found:
        raise missing("event", event)
    return event_body(found[0])


@route("GET", "/v1/events", **LIST, type=str, types=[str], delivery_success=bool)
def list_events(world: World, params: Object) -> Object:
    """Newest first in the order of their making, at most 30 days back."""
    limit = limit_of(params)
    conditions: list[tuple[str, tuple[Any, ...]]] = [
        ("created >= ?", (world.now() - EVENTS_KEPT_FOR,))
    ]
    types = params.get("types", [])
    if "type" in params and types:
        raise refused("You may only specify one of these parameters: type, types.", "type")
    if len(types) > MOST_TYPES:
        raise refused("You may specify at most 20 event types.", "types")
    if types:
        conditions.append((f"type IN ({','.join('?' * len(types))})", tuple(types)))
    if "type" in params:
        conditions.append(("type GLOB ?", (params["type"],)))
    if "delivery_success" in params:
        unsent = (
            "EXISTS (SELECT 1 FROM deliveries WHERE event = events.id AND state != 'delivered')"
        )
        conditions.append((f"NOT {unsent}" if params["delivery_success"] else unsent, ()))
    conditions += [(condition, (value,)) for condition, value in created_clauses(params)]
    backwards = "ending_before" in params
    for name, sign in (("starting_after", "<"), ("ending_before", ">")):
        if name in params:
            event_named(world, params[name])
            newer = f"seq {sign} (SELECT seq FROM events WHERE id = ?)"  # noqa: S608 - a sign
            conditions.append((newer, (params[name],)))
    rows = world.store.execute(
        f"SELECT {EVENT_COLUMNS} FROM events"  # noqa: S608 - our own conditions
        f" WHERE {' AND '.join(condition for condition, _ in conditions)}"
        f" ORDER BY seq {'ASC' if backwards else 'DESC'} LIMIT ?",
        [value for _, values in conditions for value in values] + [limit + 1],
    )
    shown = [event_body(found) for found in rows[:limit]]
    return listing(shown[::-1] if backwards else shown, "/v1/events", more=len(rows) > limit)


ENDPOINT = {
    "enabled_events": [str],
    "description": Clearable(str),
    "metadata": METADATA,
}


@route("POST", "/v1/webhook_endpoints", **{**ENDPOINT, "url!": str, "api_version": str})
def create_endpoint(world: World, params: Object) -> Object:
    if not params.get("enabled_events"):
        raise refused(
            "Missing required param: enabled_events.", "enabled_events", "parameter_missing"
        )
    secret = f"whsec_{secrets.token_hex(24)}"
    made = world.store.put(
        {
            "api_version": API_VERSION,
            **params,
            "id": new_id("webhook_endpoint"),
            "object": "webhook_endpoint",
            "created": world.now(),
            "_secret": secret,
        }
    )
    # Only this one answer tells the secret.
    return {**made, "secret": secret}


@route("GET", "/v1/webhook_endpoints", **LIST)
def list_endpoints(world: World, params: Object) -> Object:
    return page(world, "webhook_endpoint", params, "/v1/webhook_endpoints")


@route("GET", "/v1/webhook_endpoints/<endpoint>")
def retrieve_endpoint(world: World, params: Object, endpoint: str) -> Object:
    del params
    return world.must("webhook_endpoint", endpoint)


@route("POST", "/v1/webhook_endpoints/<endpoint>", **ENDPOINT, url=str, disabled=bool)
def update_endpoint(world: World, params: Object, endpoint: str) -> Object:
    found = world.must("webhook_endpoint", endpoint)
    if "disabled" in params:
        params["status"] = "disabled" if params.pop("disabled") else "enabled"
    metadata = merged(found["metadata"], params.pop("metadata", None))
    return world.store.put({**found, **params, "metadata": metadata})


@route("DELETE", "/v1/webhook_endpoints/<endpoint>")
def delete_endpoint(world: World, params: Object, endpoint: str) -> Object:
    del params
    world.must("webhook_endpoint", endpoint)
    world.store.delete(endpoint)
    return {"id": endpoint, "object": "webhook_endpoint", "deleted": True}
