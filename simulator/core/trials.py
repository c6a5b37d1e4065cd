"""Trials: begun by an update, ended early, or over."""

from simulator.core import billing, discounts, payments
from simulator.core.errors import refused
from simulator.core.events import emit, update
from simulator.core.lines import free
from simulator.core.proration import restarted, unused, with_period
from simulator.core.shapes import Object
from simulator.core.world import World


def change(world: World, subscription: Object, end: int | str, at: int) -> Object:
    """End the trial now, move its end, or make a running subscription free until then."""
    if end == "now":
        return _end_now(world, subscription, at) if is_trial(subscription) else subscription
    moment = int(end)
    if moment <= at:
        raise refused(
            "The parameter `trial_end` expects a unix timestamp representing a date and time in"
            f" the future. You specified the value `{end}` which is in the past.",
            "trial_end",
        )
    if subscription["status"] not in {"active", "trialing"}:
        raise refused(
            "Only active or trialing subscriptions can be updated with trial_end.",
            "trial_end",
            "status_transition_invalid",
        )
    fields = {
        "status": "trialing",
        "trial_start": subscription["trial_start"] if is_trial(subscription) else at,
        "trial_end": moment,
        "billing_cycle_anchor": moment,
        "_trial_told": False,
    }
    after = {**with_period(subscription, at, moment), **fields}
    if not is_trial(subscription):
        fields["latest_invoice"] = _free_invoice(world, subscription, after, at)
    return update(
        world, "customer.subscription.updated", subscription, at, items=after["items"], **fields
    )


def is_trial(subscription: Object) -> bool:
    return bool(subscription["status"] == "trialing")


def _free_invoice(world: World, before: Object, after: Object, at: int) -> str:
    """Credit what is left of the paid period, and bill the free one with nothing."""
    credit = unused(before, at, discounts.in_force(world, before, at))
    customer = world.store.one(before["customer"])
    invoice = billing.draft(
        world, after, customer, at, reason="subscription_update", lines=[*credit, *free(after)]
    )
    emit(world, "invoice.created", invoice, at)
    billing.collected(world, billing.finalize(world, invoice, at), None, at)
    return str(invoice["id"])


def _end_now(world: World, subscription: Object, at: int) -> Object:
    """The first period that costs something begins, and is charged at once."""
    after = {**restarted(subscription, at), "trial_end": at, "status": "active"}
    customer = world.store.one(after["customer"])
    invoice = billing.draft(world, after, customer, at, reason="subscription_update")
    told = update(
        world,
        "customer.subscription.updated",
        subscription,
        at,
        **{name: after[name] for name in ("items", "billing_cycle_anchor", "trial_end", "status")},
        latest_invoice=invoice["id"],
    )
    emit(world, "invoice.created", invoice, at)
    method = billing.method_for(world, told)
    outcome = payments.judge(method, off_session=True)
    billing.pay(world, billing.finalize(world, invoice, at), method, outcome, at)
    return world.store.one(subscription["id"])


def tell(world: World, subscription: Object, at: int) -> None:
    """Say once that the trial will end."""
    told = world.store.put({**subscription, "_trial_told": True})
    emit(world, "customer.subscription.trial_will_end", told, at)
