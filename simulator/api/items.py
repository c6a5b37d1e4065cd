"""A subscription's items one by one: each change is one of the subscription's."""

from simulator.api.billing import BEHAVIOURS, PRORATIONS, update_subscription
from simulator.api.calls import limit_of, route
from simulator.core import items
from simulator.core.errors import missing
from simulator.core.expand import listing
from simulator.core.shapes import Object
from simulator.core.world import World

CHANGE = {
    "payment_behavior": BEHAVIOURS,
    "proration_behavior": PRORATIONS,
    "proration_date": int,
}


@route(
    "GET",
    "/v1/subscription_items",
    **{"subscription!": str, "limit": int, "starting_after": str, "ending_before": str},
)
def list_items(world: World, params: Object) -> Object:
    found = world.must("subscription", params["subscription"], "subscription")
    data = found["items"]["data"]
    names = [one["id"] for one in data]
    first = (
        names.index(params["starting_after"]) + 1 if params.get("starting_after") in names else 0
    )
    shown = data[first : first + limit_of(params)]
    more = first + len(shown) < len(data)
    return listing(shown, "/v1/subscription_items", more=more)


@route("GET", "/v1/subscription_items/<item>")
def retrieve_item(world: World, params: Object, item: str) -> Object:
    del params
    return _named(world, item)[1]


@route("POST", "/v1/subscription_items", **{"subscription!": str, **items.ITEM, **CHANGE})
def create_item(world: World, params: Object) -> Object:
    subscription = params.pop("subscription")
    change = {name: params.pop(name) for name in CHANGE if name in params}
    after = update_subscription(world, {**change, "items": [params]}, subscription)
    newest: Object = after["items"]["data"][-1]
    return newest


@route("POST", "/v1/subscription_items/<item>", **items.ITEM, **CHANGE)
def update_item(world: World, params: Object, item: str) -> Object:
    subscription, _ = _named(world, item)
    change = {name: params.pop(name) for name in CHANGE if name in params}
    update_subscription(world, {**change, "items": [{**params, "id": item}]}, subscription)
    return _named(world, item)[1]


@route("DELETE", "/v1/subscription_items/<item>", **CHANGE)
def delete_item(world: World, params: Object, item: str) -> Object:
    subscription, _ = _named(world, item)
    gone = {"id": item, "deleted": True}
    update_subscription(world, {**params, "items": [gone]}, subscription)
    return {**gone, "object": "subscription_item"}


HAS_ITEM = (
    "EXISTS (SELECT 1 FROM json_each(data, '$.items.data') AS item"
    " WHERE json_extract(item.value, '$.id') = ?)"
)


def _named(world: World, item: str) -> tuple[str, Object]:
    """The subscription's id and the item itself."""
    for found in world.store.find("subscription", clauses=[(HAS_ITEM, item)], limit=1):
        for one in found["items"]["data"]:
            if one["id"] == item:
                return found["id"], one
    raise missing("subscription item", item)
