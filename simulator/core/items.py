"""A subscription's items as calls name them: several, in any order, by price or ID."""

from collections.abc import Sequence

from simulator.api.catalog import RECURRING, create_price
from simulator.core import amounts
from simulator.core.errors import refused
from simulator.core.objects import build_item, new_id
from simulator.core.params import METADATA
from simulator.core.shapes import PREFIXES, Object, public
from simulator.core.world import World

PRICE_DATA = {
    "currency!": str,
    "product!": str,
    "recurring!": RECURRING,
    "unit_amount": int,
    "unit_amount_decimal": str,
    "tax_behavior": ("exclusive", "inclusive", "unspecified"),
}
ITEM = {"price": str, "price_data": PRICE_DATA, "quantity": int, "metadata": METADATA}
CHANGED = {**ITEM, "id": str, "deleted": bool}
MOST = 20


def begun(
    world: World, given: list[Object], currency: str | None, running: Sequence[Object] = ()
) -> list[tuple[Object, int]]:
    """The prices and quantities of a new subscription or phase, in one currency.

    Accepts an archived price only among the `running` items.
    """
    known = {one["price"]["id"] for one in running}
    if not 1 <= len(given) <= (MOST if world.on("several_items") else 1):
        raise refused(f"A subscription has between 1 and {MOST} items.", "items")
    found = [_price(world, one, f"items[{place}]", known) for place, one in enumerate(given)]
    wanted = currency or found[0]["currency"]
    for place, price in enumerate(found):
        amounts.in_currency(price, wanted, f"items[{place}][price]")
    identities = [price["id"] for price in found]
    if len(set(identities)) < len(identities):
        raise refused(
            "Subscription Items of one subscription can't use the same Price twice.", "plan"
        )
    quantities = [_quantity(one, f"items[{place}]") for place, one in enumerate(given)]
    for place, (price, number) in enumerate(zip(found, quantities, strict=True)):
        _must_fit(price, number, wanted, f"items[{place}]")
    return list(zip(found, quantities, strict=True))


def units(prices: list[Object], currency: str) -> dict[str, str]:
    """The amounts of prices for which this is an additional currency."""
    return {
        price["id"]: amounts.in_currency(price, currency, "items")["unit_amount_decimal"]
        for price in prices
        if price["currency"] != currency
    }


def applied(world: World, subscription: Object, given: list[Object]) -> tuple[Object, list[Object]]:
    """The subscription with new prices, and its items after the update."""
    items = list(subscription["items"]["data"])
    known = dict(subscription.get("_units", {}))
    for place, one in enumerate(given):
        where = f"items[{place}]"
        at = _place_of(items, one, where)
        if one.get("deleted"):
            if at is None:
                raise refused("You must pass the `id` of the item to delete.", f"{where}[id]")
            items.pop(at)
            continue
        item = _changed(world, subscription, items, one, where)
        price = item.pop("_price")
        known |= units([price], subscription["currency"])
        _must_fit(price, item["quantity"], subscription["currency"], where)
        if at is None:
            items.append(item)
        else:
            items[at] = item
    if not items:
        raise refused(
            "A subscription must have at least one item: cancel it if it is to end.", "items"
        )
    if len(items) > MOST:
        raise refused(f"A subscription has up to {MOST} items.", "items")
    return {**subscription, "_units": known}, items


def _place_of(items: list[Object], given: Object, where: str) -> int | None:
    if "id" not in given:
        return None
    for place, item in enumerate(items):
        if item["id"] == given["id"]:
            return place
    raise refused(f"No such subscription item: '{given['id']}'", f"{where}[id]", "resource_missing")


def _changed(
    world: World, subscription: Object, items: list[Object], given: Object, where: str
) -> Object:
    """The updated item, or a new one in the current period."""
    old = next((item for item in items if item["id"] == given.get("id")), None)
    if old is None or "price" in given or "price_data" in given:
        price = _price(world, given, where, {one["price"]["id"] for one in items})
    else:
        price = world.store.get(old["price"]["id"]) or old["price"]
    amounts.in_currency(price, subscription["currency"], f"{where}[price]")
    twin = next(
        (one for one in items if one["price"]["id"] == price["id"] and one is not old), None
    )
    if twin:
        raise refused(
            f"A new item with Price {price['id']} can't be added to this Subscription because an"
            f" existing Subscription Item {twin['id']} is already using that Price.",
            "plan",
        )
    if old is None:
        first = subscription["items"]["data"][0]
        old = build_item(
            subscription["id"],
            0,
            price,
            1,
            created=world.now(),
            period=(first["current_period_start"], first["current_period_end"]),
        )
        ending = new_id("subscription").removeprefix(PREFIXES["subscription"])
        old["id"] = f"{PREFIXES['subscription_item']}{ending}"
    return {
        **old,
        "price": public(price),
        "quantity": _quantity(given, where, old["quantity"]),
        "metadata": given.get("metadata", old["metadata"]),
        "_price": price,
    }


def _price(world: World, given: Object, where: str, running: set[str]) -> Object:
    if ("price" in given) is ("price_data" in given):
        raise refused("You must specify either `price` or `price_data`.", where)
    if "price_data" in given:
        return create_price(world, {**given["price_data"], "active": False})
    price = world.must("price", given["price"], f"{where}[price]")
    if price["recurring"] is None:
        raise refused("The price specified is not recurring.", f"{where}[price]")
    archived = not price["active"] and price["id"] not in running
    if archived and world.on("archived_prices"):
        raise refused(
            "The price specified is inactive. This field only accepts active prices.",
            f"{where}[price]",
        )
    return price


def _quantity(given: Object, where: str, before: int = 1) -> int:
    quantity = int(given.get("quantity", before))
    if quantity < 0:
        raise refused("Invalid non-negative integer", f"{where}[quantity]")
    return quantity


def _must_fit(price: Object, quantity: int, currency: str, where: str) -> None:
    known = amounts.in_currency(price, currency, where)
    amounts.must_fit(amounts.times({}, known, quantity), currency, where)
