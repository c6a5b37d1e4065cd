"""When a subscription ends: at its period's end, on a date, or not at all."""

from typing import Any

from simulator.core.due import period_end
from simulator.core.errors import refused
from simulator.core.events import emit
from simulator.core.shapes import Object
from simulator.core.world import World

NAMED = ("max_billed_until", "max_period_end", "min_period_end")


def planned(world: World, subscription: Object, params: Object, at: int) -> Object:
    """The changes from `cancel_at` and `cancel_at_period_end`, which it removes from the update."""
    if "cancel_at" in params and "cancel_at_period_end" in params:
        raise refused(
            "Received both cancel_at and cancel_at_period_end parameters. Please pass in only one.",
            "cancel_at",
        )
    if "cancel_at_period_end" in params:
        if params.pop("cancel_at_period_end"):
            return ends(subscription, period_end(subscription), at, flag=True)
        dated = subscription["cancel_at"] is not None and not subscription["cancel_at_period_end"]
        if dated and world.choice("cancel_at_taken_back_by_false") == "no":
            return {}
        return goes_on(subscription)
    if "cancel_at" in params:
        moment = params.pop("cancel_at")
        if moment is None:
            return goes_on(subscription)
        if not world.on("cancel_at"):
            return {}
        return ends(subscription, _moment(subscription, moment, at), at, flag=False)
    return {}


def _moment(subscription: Object, given: str | int, at: int) -> int:
    if given in NAMED:
        return period_end(subscription)
    moment = int(given)
    if moment <= at:
        raise refused("The `cancel_at` timestamp must be in the future.", "cancel_at")
    return moment


def ends(subscription: Object, moment: int, at: int, *, flag: bool) -> Object:
    """The fields of a subscription that ends at that time."""
    return {
        "cancel_at": moment,
        "cancel_at_period_end": flag,
        "canceled_at": subscription["canceled_at"] or at,
        "cancellation_details": _details(subscription, "cancellation_requested"),
    }


def goes_on(subscription: Object) -> Object:
    """The fields of a subscription that no longer ends."""
    return {
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": _details(subscription, None),
    }


def _details(subscription: Object, reason: str | None) -> dict[str, Any]:
    return {**subscription["cancellation_details"], "reason": reason}


def end_schedule(world: World, subscription: Object, at: int) -> None:
    """Detach the schedule of an ended subscription."""
    schedule = world.named(subscription, "schedule")
    if schedule is None or schedule["status"] != "active":
        return
    planned_end = schedule["end_behavior"] == "cancel" and schedule["phases"][-1]["end_date"] <= at
    status = "completed" if planned_end else "canceled"
    ended = world.store.put(
        {**schedule, "status": status, f"{status}_at": at, "current_phase": None}
    )
    emit(world, f"subscription_schedule.{status}", ended, at)
