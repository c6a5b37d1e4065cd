"""A change in the middle of a period: what is given back, what is charged, and from when.

As Stripe does it: another amount in the same rhythm changes the rest of the period; another rhythm
begins a period of its own at once. A sum below zero becomes the customer's credit, which the next
invoices use up. Each line is rounded down by itself, and has the subscription's discounts in it.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

from simulator.core import amounts
from simulator.core.due import period_end
from simulator.core.errors import refused
from simulator.core.lines import Line, of_items
from simulator.core.periods import Interval, next_end
from simulator.core.shapes import Object

Discounts = Sequence[tuple[Object, Object]]


def changed(
    subscription: Object,
    items: list[Object],
    *,
    behavior: str,
    at: int,
    discounts: Discounts = (),
) -> tuple[Object, list[Line]]:
    """The subscription with other items, and the lines that come of it.

    The caller invoices the lines at once where the rhythm changes or `behavior` is
    ``always_invoice``; else they wait for the next invoice.
    """
    old = subscription["items"]["data"]
    begins = _begins(old, items)
    before = {item["id"]: item for item in old}
    after = {item["id"]: item for item in items}
    whole: Object = {**subscription, "items": {**subscription["items"], "data": items}}
    lines: list[Line] = []
    if behavior != "none" and subscription["status"] != "trialing":
        lines += [
            _partial("Unused time", subscription, item, at, discounts, sign=-1)
            for item in old
            if begins or _differs(item, after.get(item["id"]))
        ]
        lines += [
            _partial("Remaining time", subscription, item, at, discounts, sign=1)
            for item in items
            if not begins and _differs(item, before.get(item["id"]))
        ]
    if begins:
        whole = restarted(whole, at)
        lines += of_items(whole)
    return whole, lines


def unused(subscription: Object, at: int, discounts: Discounts = ()) -> list[Line]:
    """The credit for what is left of the running period."""
    items = subscription["items"]["data"]
    return [_partial("Unused time", subscription, one, at, discounts, sign=-1) for one in items]


def restarted(subscription: Object, at: int) -> Object:
    """The subscription with a period of its own from that moment on."""
    items = subscription["items"]
    interval, count = rhythm(items["data"])
    until = next_end(at, at, interval, count)
    return with_period(subscription, at, until) | {"billing_cycle_anchor": at}


def next_period(subscription: Object) -> tuple[Object, list[Line]]:
    """The subscription with what is over renewed, and the lines of that.

    Items of several rhythms renew each by its own.
    """
    begin, anchor = period_end(subscription), subscription["billing_cycle_anchor"]
    items = subscription["items"]
    data = [
        _renewed(item, anchor) if item["current_period_end"] == begin else item
        for item in items["data"]
    ]
    whole = {**subscription, "items": {**items, "data": data}}
    return whole, [line for line in of_items(whole) if line.start == begin]


def each_by_its_own(items: Object, at: int) -> Object:
    """The items of a subscription that starts, each with a first period of its own rhythm."""
    begun = [_renewed({**item, "current_period_end": at}, at) for item in items["data"]]
    return {**items, "data": begun}


def _renewed(item: Object, anchor: int) -> Object:
    recurring, begin = item["price"]["recurring"], item["current_period_end"]
    end = next_end(anchor, begin, recurring["interval"], recurring["interval_count"])
    return {**item, "current_period_start": begin, "current_period_end": end}


def _begins(old: list[Object], items: list[Object]) -> bool:
    """Whether a period of its own begins with these items: all have another rhythm than before."""
    before = {one["id"]: _rhythm(one) for one in old}
    kept = all(before.get(one["id"]) == _rhythm(one) for one in items)
    return not kept and rhythm(old) != rhythm(items)


def with_period(subscription: Object, start: int, end: int) -> Object:
    items = subscription["items"]
    period = {"current_period_start": start, "current_period_end": end}
    return {
        **subscription,
        "items": {**items, "data": [{**one, **period} for one in items["data"]]},
    }


def rhythm(items: list[Object]) -> tuple[Interval, int]:
    """How often all of these items are paid; refuses a mixture where the simulator knows none."""
    found = {_rhythm(item) for item in items}
    if len(found) != 1:
        raise refused(
            "The simulator changes items of one billing interval only, and starts others.", "items"
        )
    return found.pop()


def _rhythm(item: Object) -> tuple[Interval, int]:
    recurring = item["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def _differs(item: Object, other: Object | None) -> bool:
    return other is None or (item["price"], item["quantity"]) != (
        other["price"],
        other["quantity"],
    )


def _partial(
    name: str, subscription: Object, item: Object, at: int, discounts: Discounts, *, sign: int
) -> Line:
    start, end = item["current_period_start"], item["current_period_end"]
    share = Fraction(min(max(end - at, 0), end - start), max(1, end - start))
    amount = amounts.part(subscription, item["price"], item["quantity"], share)
    for _, coupon in discounts:
        if coupon["percent_off"] is not None:
            amount *= 1 - Fraction(str(coupon["percent_off"])) / 100
        else:
            amount = max(Fraction(0), amount - coupon["amount_off"] * share)
    return Line(
        description=name,
        amount=math.floor(sign * amount),
        start=at,
        end=end,
        price=item["price"],
        quantity=item["quantity"],
        item=item["id"],
        prorated=True,
    )


def with_balance(invoice: Object, customer: Object) -> Object:
    """The invoice with what the customer's credit pays of it; a sum below zero adds to that.

    The balance that is left over is not known before the invoice is finalised.
    """
    balance = customer.get("balance", 0)
    due = max(0, invoice["total"] + balance)
    return {**invoice, "amount_due": due, "amount_remaining": due, "starting_balance": balance}
