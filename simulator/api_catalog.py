"""Products and prices."""

from typing import Any

from simulator.api import LIST, page, route
from simulator.errors import refused
from simulator.objects import build_price, build_product, new_id
from simulator.params import METADATA, Clearable, merged
from simulator.shapes import Object
from simulator.world import World

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
    if "unit_amount" not in params:
        raise refused("Missing required param: unit_amount.", "unit_amount", "parameter_missing")
    if params["unit_amount"] < 0:
        raise refused("Invalid non-negative integer", "unit_amount", "parameter_invalid_integer")
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
        currency=params["currency"].lower(),
        unit_amount=params["unit_amount"],
        created=world.now(),
        interval=recurring.get("interval"),
        interval_count=recurring.get("interval_count", 1),
        lookup_key=params.get("lookup_key"),
        active=params.get("active", True),
        metadata=params.get("metadata"),
        nickname=params.get("nickname"),
    )
    return world.store.put(made)


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
