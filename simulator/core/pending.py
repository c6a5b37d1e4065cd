"""Invoice items: what waits to be charged or credited with a subscription's next invoice."""

from typing import Any

from simulator.core.lines import Line
from simulator.core.objects import new_id
from simulator.core.shapes import Object
from simulator.core.world import World

WAITING: tuple[str, tuple[Any, ...]] = ("json_extract(data, '$.invoice') IS NULL", ())


def add(world: World, subscription: Object, lines: list[Line], at: int) -> None:
    """Keep these lines for the next invoice."""
    for line in lines:
        world.store.put(_item(subscription, line, at))


def _item(subscription: Object, line: Line, at: int) -> Object:
    pricing = None
    if line.price:
        pricing = {
            "price_details": {"price": line.price["id"], "product": line.price["product"]},
            "type": "price_details",
            "unit_amount_decimal": line.unit,
        }
    return {
        "id": new_id("invoiceitem"),
        "object": "invoiceitem",
        "amount": line.amount,
        "currency": subscription["currency"],
        "customer": subscription["customer"],
        "date": at,
        "description": line.description,
        "discountable": not line.prorated,
        "parent": {
            "subscription_details": {
                "subscription": subscription["id"],
                "subscription_item": line.item,
            },
            "type": "subscription_details",
        },
        "period": {"start": line.start, "end": line.end},
        "pricing": pricing,
        "proration": line.prorated,
        "quantity": line.quantity,
        "quantity_decimal": str(line.quantity),
    }


def waiting(world: World, subscription: Object) -> list[Object]:
    """The subscription's invoice items that no invoice has yet, oldest first."""
    where = {"parent": subscription["id"]}
    return world.store.find("invoiceitem", where=where, clauses=[WAITING], oldest_first=True)


def line_of(item: Object) -> Line:
    pricing = item["pricing"]
    named = pricing["price_details"] if pricing else None
    details = item["parent"]["subscription_details"] if item["parent"] else {}
    return Line(
        description=item["description"] or "",
        amount=item["amount"],
        start=item["period"]["start"],
        end=item["period"]["end"],
        price={"id": named["price"], "product": named["product"]} if named else None,
        quantity=item["quantity"],
        unit=pricing["unit_amount_decimal"] if pricing else None,
        item=details.get("subscription_item"),
        pending=item["id"],
        prorated=item["proration"],
    )


def attach(world: World, items: list[Object], invoice: str) -> None:
    """These are on an invoice from now on."""
    for item in items:
        world.store.put({**item, "invoice": invoice})
