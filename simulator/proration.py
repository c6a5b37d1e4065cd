"""A change in the middle of a period: what is given back, what is taken, and from when.

As Stripe does it: another amount in the same rhythm changes the rest of the period; another rhythm
begins a period of its own at once. A sum below zero becomes the customer's credit, which the next
invoices use up.
"""

from simulator.objects import build_invoice, new_id
from simulator.periods import next_end
from simulator.shapes import PREFIXES, Object


def changed(
    subscription: Object, *, price: Object, quantity: int, behavior: str | None, at: int
) -> tuple[Object, list[tuple[str, int, bool]]]:
    """The subscription with its item changed, and the lines to be invoiced at once.

    A line is a description, an amount (smallest unit) and whether it is a proration.
    """
    item = subscription["items"]["data"][0]
    old, new = item["price"], price
    start, end = item["current_period_start"], item["current_period_end"]
    left = max(0.0, (end - at) / (end - start))
    before, after = old["unit_amount"] * item["quantity"], new["unit_amount"] * quantity
    begins = _rhythm(old) != _rhythm(new)
    fields: Object = {"price": new, "quantity": quantity}
    whole = dict(subscription)
    lines: list[tuple[str, int, bool]] = []
    if behavior == "always_invoice" and (begins or before != after):
        lines.append(("Unused time", -round(before * left), True))
        if not begins:
            lines.append(("Remaining time", round(after * left), True))
    if begins:
        recurring = new["recurring"]
        until = next_end(at, at, recurring["interval"], recurring["interval_count"])
        fields |= {"current_period_start": at, "current_period_end": until}
        whole["billing_cycle_anchor"] = at
        lines.append(("Membership", after, False))
    items = subscription["items"]
    whole["items"] = {**items, "data": [{**item, **fields}]}
    return whole, lines


def invoice_of(
    subscription: Object,
    customer: Object,
    lines: list[tuple[str, int, bool]],
    at: int,
    invoice_id: str | None = None,
) -> Object:
    """A draft over these lines."""
    made = build_invoice(
        id=invoice_id or new_id("invoice"),
        customer=customer,
        subscription=subscription,
        created=at,
        billing_reason="subscription_update",
    )
    (template,) = made["lines"]["data"]
    data = []
    for place, (description, amount, prorated) in enumerate(lines):
        parent = template["parent"]
        details = {**parent["subscription_item_details"], "proration": prorated}
        line = {
            **template,
            "id": f"{PREFIXES['line_item']}{made['id'].rpartition('_')[2]}{place}",
            "amount": amount,
            "description": description,
            "parent": {**parent, "subscription_item_details": details},
            "subtotal": amount,
        }
        data.append(line)
    made["lines"] = {**made["lines"], "data": data}
    total = sum(amount for _, amount, _ in lines)
    for name in ("subtotal", "subtotal_excluding_tax", "total", "total_excluding_tax"):
        made[name] = total
    return with_balance(made, customer)


def with_balance(invoice: Object, customer: Object) -> Object:
    """The invoice with what the customer's credit pays of it; a sum below zero adds to that."""
    balance = customer.get("balance", 0)
    due = max(0, invoice["total"] + balance)
    return {
        **invoice,
        "amount_due": due,
        "amount_remaining": due,
        "starting_balance": balance,
        "ending_balance": invoice["total"] + balance - due,
    }


def _rhythm(price: Object) -> tuple[str, int]:
    recurring = price["recurring"]
    return recurring["interval"], recurring["interval_count"]
