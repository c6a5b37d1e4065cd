"""Events."""

from typing import Any

from simulator.api.calls import LIST, created_clauses, limit_of, route
from simulator.core.due import EVENTS_KEPT_FOR
from simulator.core.errors import missing, refused
from simulator.core.events import EVENT_COLUMNS, event_body
from simulator.core.expand import listing
from simulator.core.shapes import Object
from simulator.core.world import World

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
