"""Changes of a subscription's items, and their invoices."""

from dataclasses import dataclass

from simulator.core import discounts, items, pending, proration
from simulator.core.due import period_end
from simulator.core.lines import Line
from simulator.core.objects import build_invoice
from simulator.core.shapes import Object
from simulator.core.world import World

USUAL = "create_prorations"


@dataclass(frozen=True)
class Change:
    """The changed subscription, the resulting lines, and whether they are invoiced now."""

    subscription: Object
    lines: list[Line]
    at_once: bool


def of(
    world: World,
    subscription: Object,
    given: list[Object],
    *,
    behavior: str | None,
    date: int | None,
) -> Change:
    """Compute an update of items; without items, nothing changes."""
    usual = USUAL if world.on("prorations_by_default") else "none"
    known, after = items.applied(world, subscription, given) if given else (subscription, None)
    if after is None:
        return Change(known, [], at_once=False)
    at = date or world.now()
    whole, lines = proration.changed(
        known,
        after,
        behavior=behavior or usual,
        at=at,
        discounts=discounts.in_force(world, subscription, at),
    )
    begins = whole["billing_cycle_anchor"] != subscription["billing_cycle_anchor"]
    return Change(whole, lines, at_once=bool(lines) and (begins or behavior == "always_invoice"))


def preview(world: World, change: Change, at: int) -> Object:
    """The upcoming invoice: for the change if invoiced now, otherwise for the next period."""
    after = change.subscription
    customer = world.store.one(after["customer"])
    waiting = [pending.line_of(one) for one in pending.waiting(world, after)]
    lines = [*waiting, *change.lines]
    reason = "subscription_update"
    if not change.at_once:
        at = period_end(after)
        lines += proration.next_period(after)[1]
        reason = "upcoming"
    made = build_invoice(
        id=f"upcoming_in_{after['id'].removeprefix('sub_')}",
        customer=customer,
        subscription=after,
        created=at,
        billing_reason=reason,
        lines=lines,
        discounts=discounts.in_force(world, after, at),
    )
    made = proration.with_balance(made, customer)
    if world.on("preview_has_no_ending_balance"):
        return made
    left = made["total"] + made["starting_balance"] - made["amount_due"]
    return {**made, "ending_balance": left}
