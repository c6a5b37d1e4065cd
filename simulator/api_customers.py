"""Customers and their payment methods."""

from simulator import billing
from simulator.api import LIST, page, route
from simulator.api_checkout import EMAIL
from simulator.errors import refused
from simulator.events import emit, update
from simulator.objects import build_customer, new_id
from simulator.params import METADATA, Clearable, merged
from simulator.shapes import ADDRESS, Object
from simulator.world import World

ADDRESSED = {name: Clearable(str) for name in ADDRESS}
CUSTOMER = {
    "address": Clearable(ADDRESSED),
    "description": Clearable(str),
    "email": Clearable(str),
    "invoice_settings": {"default_payment_method": Clearable(str)},
    "metadata": METADATA,
    "name": Clearable(str),
    "phone": Clearable(str),
    "preferred_locales": [str],
}


def _checked(params: Object) -> Object:
    email = params.get("email")
    if email is not None and not EMAIL.fullmatch(email):
        raise refused(f"Invalid email address: {email}", "email", "email_invalid")
    if params.get("address"):
        params["address"] = {**ADDRESS, **params["address"]}
    return params


@route("POST", "/v1/customers", **CUSTOMER)
def create_customer(world: World, params: Object) -> Object:
    fields = _checked(params)
    made = build_customer(id=new_id("customer"), email=None, created=world.now())
    settings = fields.pop("invoice_settings", None)
    if settings:
        method = settings.get("default_payment_method")
        made |= build_customer(
            id=made["id"], email=None, created=made["created"], payment_method=method
        )
    made = world.store.put({**made, **fields})
    emit(world, "customer.created", made, made["created"])
    return made


@route("GET", "/v1/customers", **LIST, email=str)
def list_customers(world: World, params: Object) -> Object:
    email = params.get("email")
    where = {"key": email.lower() if email else None}
    return page(world, "customer", params, "/v1/customers", where=where)


@route("GET", "/v1/customers/<customer>")
def retrieve_customer(world: World, params: Object, customer: str) -> Object:
    del params
    gone = world.store.setting(f"deleted {customer}", "")
    if gone:
        return {"id": customer, "object": "customer", "deleted": True}
    return world.must("customer", customer)


@route("POST", "/v1/customers/<customer>", **CUSTOMER)
def update_customer(world: World, params: Object, customer: str) -> Object:
    found = world.must("customer", customer)
    fields = _checked(params)
    fields["metadata"] = merged(found["metadata"], fields.get("metadata"))
    if "invoice_settings" in fields:
        method = fields["invoice_settings"].get("default_payment_method")
        if method:
            world.must("payment_method", method, "invoice_settings[default_payment_method]")
        fields["invoice_settings"] = {**found["invoice_settings"], **fields["invoice_settings"]}
    return update(world, "customer.updated", found, world.now(), **fields)


@route("DELETE", "/v1/customers/<customer>")
def delete_customer(world: World, params: Object, customer: str) -> Object:
    """Delete for good: running subscriptions end at once, what was paid stays."""
    del params
    found, at = world.must("customer", customer), world.now()
    for subscription in world.store.find("subscription", where={"customer": customer}):
        if subscription["status"] not in billing.ENDED:
            billing.cancel(world, subscription, at)
    world.store.delete(customer)
    world.store.set_setting(f"deleted {customer}", "yes")
    emit(world, "customer.deleted", found, at)
    return {"id": customer, "object": "customer", "deleted": True}


@route("GET", "/v1/payment_methods/<method>")
def retrieve_method(world: World, params: Object, method: str) -> Object:
    del params
    return world.must("payment_method", method)


@route("GET", "/v1/payment_methods", **LIST, customer=str, type=str)
def list_methods(world: World, params: Object) -> Object:
    return _methods(world, params, params.get("customer"), "/v1/payment_methods")


@route("GET", "/v1/customers/<customer>/payment_methods", **LIST, type=str)
def list_customers_methods(world: World, params: Object, customer: str) -> Object:
    world.must("customer", customer)
    return _methods(world, params, customer, f"/v1/customers/{customer}/payment_methods")


def _methods(world: World, params: Object, customer: str | None, url: str) -> Object:
    clauses = []
    if "type" in params:
        clauses.append(("coalesce(json_extract(data, '$.type'), 'card') = ?", params["type"]))
    where = {"customer": customer}
    return page(world, "payment_method", params, url, where=where, clauses=clauses)
