"""Subscription schedules, made from a running subscription and changed afterwards."""

from simulator.api.calls import LIST, page, route
from simulator.core import items, schedules
from simulator.core.errors import refused
from simulator.core.params import METADATA, Either, merged
from simulator.core.shapes import Object
from simulator.core.world import World

PHASE = {
    "items!": [items.ITEM],
    "start_date": Either(("now",)),
    "end_date": Either(("now",)),
    "duration": {"interval!": ("day", "week", "month", "year"), "interval_count": int},
    "proration_behavior": ("always_invoice", "create_prorations", "none"),
    "metadata": METADATA,
}


@route("POST", "/v1/subscription_schedules", from_subscription=str)
def create_schedule(world: World, params: Object) -> Object:
    if "from_subscription" not in params:
        raise refused(
            "The simulator makes schedules from a subscription only.", "from_subscription"
        )
    found = world.must("subscription", params["from_subscription"], "from_subscription")
    return schedules.make(world, found, world.now())


@route(
    "GET",
    "/v1/subscription_schedules",
    **LIST,
    customer=str,
    scheduled=bool,
)
def list_schedules(world: World, params: Object) -> Object:
    where = {"customer": params.get("customer")}
    if params.get("scheduled"):
        where["status"] = "not_started"
    url = "/v1/subscription_schedules"
    return page(world, "subscription_schedule", params, url, where=where)


@route("GET", "/v1/subscription_schedules/<schedule>")
def retrieve_schedule(world: World, params: Object, schedule: str) -> Object:
    del params
    return world.must("subscription_schedule", schedule)


@route(
    "POST",
    "/v1/subscription_schedules/<schedule>",
    phases=[PHASE],
    end_behavior=("cancel", "release"),
    metadata=METADATA,
    proration_behavior=("always_invoice", "create_prorations", "none"),
)
def update_schedule(world: World, params: Object, schedule: str) -> Object:
    found = world.must("subscription_schedule", schedule)
    usual = params.pop("proration_behavior", None)
    for phase in params.get("phases", []):
        if usual:
            phase.setdefault("proration_behavior", usual)
    metadata = merged(found["metadata"], params.pop("metadata", None))
    return schedules.change(world, found, {**params, "metadata": metadata}, world.now())


@route("POST", "/v1/subscription_schedules/<schedule>/release", preserve_cancel_date=bool)
def release_schedule(world: World, params: Object, schedule: str) -> Object:
    found = world.must("subscription_schedule", schedule)
    keeps_end = params.get("preserve_cancel_date", False)
    return schedules.release(world, found, world.now(), keeps_end=keeps_end)


@route("POST", "/v1/subscription_schedules/<schedule>/cancel", invoice_now=bool, prorate=bool)
def cancel_schedule(world: World, params: Object, schedule: str) -> Object:
    del params
    return schedules.cancel(world, world.must("subscription_schedule", schedule), world.now())
