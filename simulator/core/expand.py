"""`expand`: replace IDs by objects, and include lists shown only on request."""

from collections.abc import Callable

from simulator.core.balance import shown
from simulator.core.errors import refused
from simulator.core.shapes import Object, public
from simulator.core.world import World

DEEPEST = 4


def listing(objects: list[Object], url: str, *, more: bool = False) -> Object:
    return {"object": "list", "data": objects, "has_more": more, "url": url}


def _payments(world: World, invoice: Object) -> Object:
    found = world.store.find("invoice_payment", where={"parent": invoice["id"]})
    return listing([public(one) for one in found], "/v1/invoice_payments")


def _refunds(world: World, charge: Object) -> Object:
    found = world.store.find("refund", where={"parent": charge["id"]})
    return listing([public(one) for one in found], f"/v1/charges/{charge['id']}/refunds")


def _subscriptions(world: World, customer: Object) -> Object:
    found = world.store.find("subscription", where={"customer": customer["id"]})
    running = [public(one) for one in found if one["status"] != "canceled"]
    return listing(running, f"/v1/customers/{customer['id']}/subscriptions")


def _line_items(world: World, session: Object) -> Object:
    items = world.store.one(session["id"])["_items"]
    return listing(items, f"/v1/checkout/sessions/{session['id']}/line_items")


def _currencies(world: World, price: Object) -> Object:
    whole = world.store.get(price["id"]) or price
    blank = {"custom_unit_amount": None, "tax_behavior": "unspecified"}
    own = {name: whole[name] for name in ("unit_amount", "unit_amount_decimal")}
    others = whole.get("_currency_options", {})
    return {
        currency: {**blank, **amount}
        for currency, amount in {whole["currency"]: own, **others}.items()
    }


def _applies_to(world: World, coupon: Object) -> Object:
    return {"products": world.store.one(coupon["id"]).get("_products", [])}


INCLUDABLE: dict[tuple[str, str], Callable[[World, Object], Object]] = {
    ("invoice", "payments"): _payments,
    ("charge", "refunds"): _refunds,
    ("customer", "subscriptions"): _subscriptions,
    ("checkout.session", "line_items"): _line_items,
    ("price", "currency_options"): _currencies,
    ("coupon", "applies_to"): _applies_to,
}


def expand(world: World, shown: Object, paths: list[str]) -> Object:
    """The answer with each path expanded, or Stripe's refusal of a path.

    Deleted objects have nothing to expand, and that is no error.
    """
    if shown.get("deleted"):
        return shown
    for path in paths:
        steps = path.split(".")
        if len(steps) > DEEPEST:
            raise refused(
                f"You cannot expand more than 4 levels of a property. Property: {path}",
                param="expand",
            )
        shown = _expand(world, shown, steps, path)
    return shown


def _expand(world: World, shown: Object, steps: list[str], path: str) -> Object:
    name, rest = steps[0], steps[1:]
    include = INCLUDABLE.get((shown.get("object", ""), name))
    if include and name not in shown:
        shown = {**shown, name: include(world, shown)}
    if name not in shown:
        if shown.get("object") in {None, "list"} and name != "data":
            return shown
        raise refused(f"This property cannot be expanded ({path}).", param="expand", code=None)
    value = shown[name]
    if isinstance(value, list):
        inner: object = [
            _expand(world, one, rest, path) if rest and isinstance(one, dict) else one
            for one in (_known(world, each) for each in value)
        ]
    else:
        inner = _resolved(world, value, rest, path, last=name != "data")
    return {**shown, name: inner}


def _resolved(world: World, value: object, rest: list[str], path: str, *, last: bool) -> object:
    if isinstance(value, str):
        value = _named(world, value, path)
    elif not rest and last and value is not None and not isinstance(value, dict):
        raise refused(f"This property cannot be expanded ({path}).", param="expand")
    if rest and isinstance(value, dict):
        return _expand(world, value, rest, path)
    return value


def _known(world: World, one: object) -> object:
    """The object of a listed ID; unknown IDs stay."""
    found = world.store.get(one) if isinstance(one, str) else None
    return one if found is None else public(found)


def _named(world: World, identity: str, path: str) -> Object:
    if world.store.setting(f"deleted {identity}", ""):
        return {"id": identity, "object": "customer", "deleted": True}
    found = world.store.get(identity)
    if found is None:
        raise refused(f"This property cannot be expanded ({path}).", param="expand")
    return shown(world, found) if found["object"] == "balance_transaction" else public(found)
