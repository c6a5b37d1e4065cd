"""Subscription schedules: phases with their prices, which the clock brings into force."""

from typing import Any

from simulator.core import amounts, billing, discounts, ending, items, pending, proration
from simulator.core.due import HOUR, period_end
from simulator.core.errors import refused
from simulator.core.events import emit, update
from simulator.core.objects import build_item, new_id
from simulator.core.periods import next_end
from simulator.core.shapes import PREFIXES, Object, public
from simulator.core.world import World

RUNNING = {"active", "not_started"}
CANCELATION = ("cancel_at", "cancel_at_period_end")


def must_not_manage(world: World, subscription: Object, params: Object) -> None:
    """Refuse what a subscription with a schedule takes only by its schedule."""
    schedule = subscription["schedule"]
    if schedule is None or not world.on("schedules_manage"):
        return
    if any(name in params for name in CANCELATION):
        raise refused(
            f"The subscription is managed by the subscription schedule `{schedule}`, and updating"
            " any cancelation behavior directly is not allowed. Please update the schedule"
            " instead."
        )
    if "items" in params and world.choice("schedule_items") == "refused":
        raise refused(
            f"The subscription is managed by the subscription schedule `{schedule}`, and updating"
            " its items directly is not allowed. Please update the schedule instead."
        )


def make(world: World, subscription: Object, at: int) -> Object:
    """A schedule over a running subscription, with its present period as the only phase."""
    if subscription["status"] in billing.ENDED:
        raise refused(
            f"The subscription `{subscription['id']}` cannot be scheduled because it has already"
            " ended.",
            "from_subscription",
        )
    if subscription["schedule"]:
        raise refused(
            f"The subscription `{subscription['id']}` is already associated with a subscription"
            f" schedule `{subscription['schedule']}`.",
            "from_subscription",
        )
    first = subscription["items"]["data"][0]
    phase = _phase(
        subscription,
        start=first["current_period_start"],
        end=first["current_period_end"],
        items=[_shown(one["price"], one["quantity"]) for one in subscription["items"]["data"]],
    )
    made = world.store.put(
        {
            "id": new_id("subscription_schedule"),
            "object": "subscription_schedule",
            "created": at,
            "customer": subscription["customer"],
            "subscription": subscription["id"],
            "status": "active",
            "phases": [phase],
            "current_phase": _moments(phase),
            "_phase": 0,
        }
    )
    update(world, "customer.subscription.updated", subscription, at, schedule=made["id"])
    emit(world, "subscription_schedule.created", made, at)
    return made


def _moments(phase: Object) -> Object:
    return {"start_date": phase["start_date"], "end_date": phase["end_date"]}


def _shown(price: Object, quantity: int) -> Object:
    return {
        "billing_thresholds": None,
        "discounts": [],
        "metadata": {},
        "price": price["id"],
        "quantity": quantity,
        "tax_rates": [],
    }


def _phase(
    subscription: Object,
    *,
    start: int,
    end: int,
    items: list[Object],
    **more: Any,  # noqa: ANN401 - any of a phase's fields
) -> Object:
    nothing = dict.fromkeys(
        (
            *("application_fee_percent", "billing_cycle_anchor", "billing_thresholds"),
            *("collection_method", "default_payment_method", "default_tax_rates", "description"),
            *("invoice_settings", "on_behalf_of", "transfer_data", "trial_end"),
        )
    )
    return {
        **nothing,
        "add_invoice_items": [],
        "currency": subscription["currency"],
        "discounts": [],
        "end_date": end,
        "items": items,
        "metadata": {},
        "proration_behavior": "create_prorations",
        "start_date": start,
        **more,
    }


def change(world: World, schedule: Object, params: Object, at: int) -> Object:
    """Other phases, or another end; what the present phase says takes effect at once."""
    if schedule["status"] not in RUNNING:
        raise refused(
            f"You cannot update a subscription schedule with status `{schedule['status']}`."
        )
    new = dict(params)
    subscription = world.store.one(schedule["subscription"])
    if "phases" in params:
        new["phases"] = _phases(world, schedule, subscription, params["phases"], at)
        place = _place_at(new["phases"], at)
        new |= {"current_phase": _moments(new["phases"][place]), "_phase": place}
    after = update(world, "subscription_schedule.updated", schedule, at, **new)
    if "phases" in params:
        _apply(world, subscription, after["phases"][after["_phase"]], at)
    subscription = world.store.one(subscription["id"])
    if after["end_behavior"] == "cancel":
        fields = ending.ends(subscription, after["phases"][-1]["end_date"], at, flag=False)
        update(world, "customer.subscription.updated", subscription, at, **fields)
    elif schedule["end_behavior"] == "cancel":
        fields = ending.goes_on(subscription)
        update(world, "customer.subscription.updated", subscription, at, **fields)
    return after


def _place_at(phases: list[Object], at: int) -> int:
    for place, phase in enumerate(phases):
        if phase["start_date"] <= at < phase["end_date"]:
            return place
    raise refused("One of the phases has to be in force now.", "phases")


def _phases(
    world: World, schedule: Object, subscription: Object, given: list[Object], at: int
) -> list[Object]:
    begin = schedule["current_phase"]["start_date"]
    phases: list[Object] = []
    for place, one in enumerate(given):
        where = f"phases[{place}]"
        start = phases[-1]["end_date"] if phases else begin
        told = one.get("start_date", start)
        if (at if told == "now" else told) != start:
            raise refused(
                "You can not modify the start date of the current phase."
                if place == 0
                else "The phases of a schedule have to follow one another without a gap.",
                f"{where}[start_date]",
            )
        phases.append(_made(world, subscription, one, start=start, at=at, where=where))
    return phases


def _made(
    world: World, subscription: Object, given: Object, *, start: int, at: int, where: str
) -> Object:
    currency = subscription["currency"]
    found = items.begun(world, given["items"], currency, subscription["items"]["data"])
    end = given.get("end_date")
    if end is None:
        length: Object = given.get("duration") or found[0][0]["recurring"]
        end = next_end(start, start, length["interval"], length.get("interval_count") or 1)
    end = at if end == "now" else int(end)
    if end <= start:
        raise refused("A phase has to end after its start.", f"{where}[end_date]")
    kept = {name: given[name] for name in ("metadata", "proration_behavior") if name in given}
    shown = [_shown(price, quantity) for price, quantity in found]
    return _phase(subscription, start=start, end=end, items=shown, **kept)


def come_due(world: World, subscription: Object, at: int) -> bool:
    """Bring the next phase of its schedule into force before the period renews, if it is time."""
    schedule = world.named(subscription, "schedule")
    if schedule is None or schedule["current_phase"]["end_date"] > at:
        return False
    advance(world, schedule, at)
    return True


def advance(world: World, schedule: Object, at: int) -> None:
    """The present phase is over: the next begins, or the schedule ends as it is set to."""
    place = schedule["_phase"] + 1
    subscription = world.store.one(schedule["subscription"])
    if place < len(schedule["phases"]):
        phase = schedule["phases"][place]
        update(
            world,
            "subscription_schedule.updated",
            schedule,
            at,
            current_phase=_moments(phase),
            _phase=place,
        )
        _apply(world, subscription, phase, at)
    elif schedule["end_behavior"] == "cancel":
        billing.cancel(world, subscription, at)
    else:
        release(world, schedule, at)


def _apply(world: World, subscription: Object, phase: Object, at: int) -> None:
    """Give the subscription the phase's items; one whose price stays keeps its id."""
    if not world.on("schedules_apply"):
        return
    old = {one["price"]["id"]: one for one in subscription["items"]["data"]}
    prices = [world.store.one(one["price"]) for one in phase["items"]]
    new = [
        {
            **(old.get(price["id"]) or _new_item(subscription, price, at)),
            "quantity": one["quantity"],
        }
        for price, one in zip(prices, phase["items"], strict=True)
    ]
    if new == subscription["items"]["data"]:
        return
    known = {**subscription, "_units": items.units(prices, subscription["currency"])}
    at_end = at >= period_end(subscription)
    behavior = "none" if at_end else phase["proration_behavior"]
    after, lines = proration.changed(
        known,
        new,
        behavior=behavior,
        at=at,
        discounts=discounts.in_force(world, subscription, at),
    )
    fields = {name: after[name] for name in ("items", "billing_cycle_anchor", "_units")}
    begins = after["billing_cycle_anchor"] != subscription["billing_cycle_anchor"]
    if lines and (begins or behavior == "always_invoice"):
        customer = world.store.one(after["customer"])
        invoice = billing.draft(
            world,
            after,
            customer,
            at,
            reason="subscription_update",
            lines=lines,
            automatically_finalizes_at=at + HOUR,
        )
        emit(world, "invoice.created", invoice, at)
        fields["latest_invoice"] = invoice["id"]
    else:
        pending.add(world, after, lines, at)
    update(world, "customer.subscription.updated", subscription, at, **fields)


def _new_item(subscription: Object, price: Object, at: int) -> Object:
    first = subscription["items"]["data"][0]
    amounts.in_currency(price, subscription["currency"], "phases")
    period = (first["current_period_start"], first["current_period_end"])
    made = build_item(subscription["id"], 0, price, 1, created=at, period=period)
    name = new_id("subscription").removeprefix(PREFIXES["subscription"])
    return {**made, "id": f"{PREFIXES['subscription_item']}{name}", "price": public(price)}


def release(world: World, schedule: Object, at: int, *, keeps_end: bool = False) -> Object:
    """Let the subscription go on by itself, as it is."""
    if schedule["status"] not in RUNNING:
        raise refused(
            f"You cannot release a subscription schedule with status `{schedule['status']}`."
        )
    subscription = world.store.one(schedule["subscription"])
    fields = (
        {} if keeps_end or schedule["end_behavior"] != "cancel" else ending.goes_on(subscription)
    )
    update(world, "customer.subscription.updated", subscription, at, schedule=None, **fields)
    released = world.store.put(
        {
            **schedule,
            "status": "released",
            "released_at": at,
            "released_subscription": subscription["id"],
            "subscription": None,
            "current_phase": None,
        }
    )
    emit(world, "subscription_schedule.released", released, at)
    return released


def cancel(world: World, schedule: Object, at: int) -> Object:
    """End the schedule and its subscription at once."""
    if schedule["status"] not in RUNNING:
        raise refused(
            f"You cannot cancel a subscription schedule with status `{schedule['status']}`."
        )
    billing.cancel(world, world.store.one(schedule["subscription"]), at)
    return world.store.one(schedule["id"])
