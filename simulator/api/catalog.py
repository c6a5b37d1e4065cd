"""Products and prices."""

import re
from decimal import Decimal
from typing import Any

from simulator.api.calls import LIST, page, route
from simulator.core import amounts
from simulator.core.errors import refused
from simulator.core.objects import build_price, build_product, new_id
from simulator.core.params import METADATA, Clearable, Each, merged
from simulator.core.shapes import Object
from simulator.core.world import World

EACH_CURRENCY = Each(
    {
        "unit_amount": int,
        "unit_amount_decimal": str,
        "tax_behavior": ("exclusive", "inclusive", "unspecified"),
    }
)
RECURRING = {"interval!": ("day", "week", "month", "year"), "interval_count": int}
PRODUCT = {
    "active": bool,
    "description": Clearable(str),
    "metadata": METADATA,
    "statement_descriptor": Clearable(str),
    "unit_label": Clearable(str),
    "url": Clearable(str),
    "images": [str],
    "tax_code": Clearable(str),
}


@route("POST", "/v1/products", **{"id": str, "name!": str, **PRODUCT})
def create_product(world: World, params: Object) -> Object:
    identity = params.pop("id", None) or new_id("product")
    if world.store.get(identity):
        raise refused("Product already exists.", param="id", code="resource_already_exists")
    return world.store.put(build_product(id=identity, created=world.now(), **params))


@route("GET", "/v1/products", **LIST, ids=[str], active=bool, url=str)
def list_products(world: World, params: Object) -> Object:
    clauses: list[tuple[str, Any]] = []
    if "ids" in params:
        marks = ",".join("?" * len(params["ids"]))
        clauses.append((f"id IN ({marks})", tuple(params["ids"])))
    if "active" in params:
        clauses.append((ACTIVE, int(params["active"])))
    return page(world, "product", params, "/v1/products", clauses=clauses)


# The store leaves out what is the default, and active is.
ACTIVE = "coalesce(json_extract(data, '$.active'), 1) = ?"


@route("GET", "/v1/products/<product>")
def retrieve_product(world: World, params: Object, product: str) -> Object:
    del params
    return world.must("product", product)


@route("POST", "/v1/products/<product>", **PRODUCT, name=str, default_price=str)
def update_product(world: World, params: Object, product: str) -> Object:
    found = world.must("product", product)
    metadata = merged(found["metadata"], params.pop("metadata", None))
    return world.store.put({**found, **params, "metadata": metadata, "updated": world.now()})


@route(
    "POST",
    "/v1/prices",
    **{
        "currency!": str,
        "product": str,
        "product_data": {"name!": str, "id": str, "metadata": METADATA},
        "unit_amount": int,
        "unit_amount_decimal": str,
        "currency_options": EACH_CURRENCY,
        "recurring": RECURRING,
        "lookup_key": str,
        "transfer_lookup_key": bool,
        "metadata": METADATA,
        "nickname": str,
        "active": bool,
        "tax_behavior": ("exclusive", "inclusive", "unspecified"),
    },
)
def create_price(world: World, params: Object) -> Object:
    currency = params["currency"].lower()
    amount = _amount(world, params, currency)
    options = {
        name: _amount(world, option, name, f"currency_options[{name}]")
        for name, option in params.get("currency_options", {}).items()
    }
    if ("product" in params) is ("product_data" in params):
        raise refused("You must specify either `product` or `product_data`.", "product")
    if "product_data" in params:
        product = create_product(world, dict(params["product_data"]))["id"]
    else:
        product = world.must("product", params["product"], "product")["id"]
    _free_lookup_key(
        world, params.get("lookup_key"), transfer=params.get("transfer_lookup_key", False)
    )
    recurring = params.get("recurring", {})
    made = build_price(
        id=new_id("price"),
        product=product,
        currency=currency,
        unit_amount=amount["unit_amount"] or 0,
        created=world.now(),
        interval=recurring.get("interval"),
        interval_count=recurring.get("interval_count", 1),
        lookup_key=params.get("lookup_key"),
        active=params.get("active", True),
        metadata=params.get("metadata"),
        nickname=params.get("nickname"),
    )
    kept = {"_currency_options": options} if options and world.on("currency_options") else {}
    return world.store.put({**made, **amount, **kept})


def _amount(world: World, given: Object, currency: str, where: str = "") -> Object:
    """The amount in whole units and in parts of one; whole units are null where there are parts."""
    names = [name for name in ("unit_amount", "unit_amount_decimal") if name in given]
    param = f"{where}[unit_amount]" if where else "unit_amount"
    if not names:
        raise refused(f"Missing required param: {param}.", param, "parameter_missing")
    if len(names) > 1:
        raise refused(
            "You may only specify one of these parameters: unit_amount, unit_amount_decimal.", param
        )
    text = str(given[names[0]])
    if not re.fullmatch(r"\d{1,12}(\.\d{1,12})?", text):
        raise refused("Invalid non-negative integer", param, "parameter_invalid_integer")
    exact = Decimal(text)
    if world.on("most_amount"):
        amounts.must_fit(amounts.rounded(exact), currency, param)
    is_whole = exact == exact.to_integral_value()
    if not is_whole and not world.on("unit_amount_null"):
        exact, is_whole = Decimal(amounts.rounded(exact)), True
    text = str(int(exact)) if is_whole else text.rstrip("0")
    return {"unit_amount": int(exact) if is_whole else None, "unit_amount_decimal": text}


def _free_lookup_key(world: World, key: str | None, *, transfer: bool, but: str = "") -> None:
    holders = world.store.find("price", where={"key": key}) if key else []
    for holder in holders:
        if holder["id"] == but:
            continue
        if not transfer:
            raise refused(f"A price (`{holder['id']}`) already uses that lookup key.", "lookup_key")
        world.store.put({**holder, "lookup_key": None})


@route(
    "GET",
    "/v1/prices",
    **LIST,
    active=bool,
    currency=str,
    product=str,
    type=("one_time", "recurring"),
    lookup_keys=[str],
)
def list_prices(world: World, params: Object) -> Object:
    clauses: list[tuple[str, Any]] = []
    if "lookup_keys" in params:
        marks = ",".join("?" * len(params["lookup_keys"]))
        clauses.append((f"key IN ({marks})", tuple(params["lookup_keys"])))
    if "active" in params:
        clauses.append((ACTIVE, int(params["active"])))
    if "currency" in params:
        clauses.append(("json_extract(data, '$.currency') = ?", params["currency"]))
    if "type" in params:
        clauses.append(("coalesce(json_extract(data, '$.type'), 'one_time') = ?", params["type"]))
    where = {"parent": params.get("product")}
    return page(world, "price", params, "/v1/prices", where=where, clauses=clauses)


@route("GET", "/v1/prices/<price>")
def retrieve_price(world: World, params: Object, price: str) -> Object:
    del params
    return world.must("price", price)


@route(
    "POST",
    "/v1/prices/<price>",
    active=bool,
    lookup_key=Clearable(str),
    transfer_lookup_key=bool,
    metadata=METADATA,
    nickname=Clearable(str),
    tax_behavior=("exclusive", "inclusive", "unspecified"),
)
def update_price(world: World, params: Object, price: str) -> Object:
    found = world.must("price", price)
    transfer = params.pop("transfer_lookup_key", False)
    _free_lookup_key(world, params.get("lookup_key"), transfer=transfer, but=price)
    metadata = merged(found["metadata"], params.pop("metadata", None))
    return world.store.put({**found, **params, "metadata": metadata})
