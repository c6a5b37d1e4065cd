"""Customers: made, changed, deleted."""

from simulator.api.calls import LIST, page, route
from simulator.api.checkout import EMAIL
from simulator.api.methods import known_method
from simulator.core import billing, methods
from simulator.core.errors import refused
from simulator.core.events import emit, update
from simulator.core.objects import build_customer, new_id
from simulator.core.params import METADATA, Clearable, merged
from simulator.core.shapes import ADDRESS, Object
from simulator.core.world import World

ADDRESSED = {name: Clearable(str) for name in ADDRESS}
CUSTOMER = {
    "address": Clearable(ADDRESSED),
    "balance": int,
    "description": Clearable(str),
    "email": Clearable(str),
    "invoice_settings": {"default_payment_method": Clearable(str)},
    "metadata": METADATA,
    "name": Clearable(str),
    "phone": Clearable(str),
    "preferred_locales": [str],
}


DEFAULT = "invoice_settings[default_payment_method]"


def _checked(params: Object) -> Object:
    email = params.get("email")
    if email is not None and not EMAIL.fullmatch(email):
        raise refused(f"Invalid email address: {email}", "email", "email_invalid")
    if params.get("address"):
        params["address"] = {**ADDRESS, **params["address"]}
    return params


@route("POST", "/v1/customers", **CUSTOMER, payment_method=str)
def create_customer(world: World, params: Object) -> Object:
    fields, at = _checked(params), world.now()
    made = build_customer(id=new_id("customer"), email=None, created=at)
    settings, given = fields.pop("invoice_settings", {}), fields.pop("payment_method", None)
    saved = known_method(world, given, "payment_method") if given else None
    default = settings.get("default_payment_method")
    if default and saved and default == given:
        default = saved["id"]
    if saved:
        methods.attach(world, saved, made["id"], at)
    if default:
        methods.must_belong(world, default, made["id"], DEFAULT)
        made = build_customer(id=made["id"], email=None, created=at, payment_method=default)
    made = world.store.put({**made, **fields})
    emit(world, "customer.created", made, at)
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
            methods.must_belong(world, method, customer, DEFAULT)
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
