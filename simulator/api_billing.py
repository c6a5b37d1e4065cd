"""Subscriptions, invoices and what pays them."""

from typing import Any

from simulator import billing, cards, ending, methods, payments, proration
from simulator.api import LIST, page, route
from simulator.api_catalog import RECURRING, create_price
from simulator.errors import StripeError, refused
from simulator.events import emit, update
from simulator.params import METADATA, Clearable, Either, merged
from simulator.shapes import Object, full
from simulator.world import World

BEHAVIORS = ("keep_as_draft", "mark_uncollectible", "void")
DETAILS = {
    "comment": Clearable(str),
    "feedback": Clearable(
        (
            *("customer_service", "low_quality", "missing_features", "other"),
            *("switched_service", "too_complex", "too_expensive", "unused"),
        )
    ),
}
ITEM = {"id": str, "price": str, "quantity": int, "metadata": METADATA}
PRICE_DATA = {"currency!": str, "product!": str, "recurring!": RECURRING, "unit_amount": int}
CHANGED_ITEM = {**ITEM, "price_data": PRICE_DATA}
CANCEL_AT = Either(ending.NAMED)
PRORATIONS = ("always_invoice", "create_prorations", "none")


@route(
    "POST",
    "/v1/subscriptions",
    **{
        "customer!": str,
        "items!": [ITEM],
        "cancel_at": CANCEL_AT,
        "cancel_at_period_end": bool,
        "default_payment_method": str,
        "metadata": METADATA,
        "payment_behavior": (
            *("allow_incomplete", "default_incomplete", "error_if_incomplete"),
            "pending_if_incomplete",
        ),
        "trial_period_days": int,
        "trial_end": int,
        "off_session": bool,
    },
)
def create_subscription(world: World, params: Object) -> Object:
    at = world.now()
    customer = world.must("customer", params["customer"], "customer")
    if len(params["items"]) != 1 or "price" not in params["items"][0]:
        raise refused("The simulator's subscriptions have one item with a price.", "items")
    given = params["items"][0]
    price = world.must("price", given["price"], "items[0][price]")
    if price["recurring"] is None:
        raise refused("The price specified is not recurring.", "items[0][price]")
    own = params.get("default_payment_method")
    if own:
        methods.must_belong(world, own, customer["id"], "default_payment_method")
    method = world.named(params, "default_payment_method")
    method = method or world.named(customer["invoice_settings"], "default_payment_method")
    behavior = params.get("payment_behavior", "allow_incomplete")
    outcome = payments.judge(method, off_session=params.get("off_session", False))
    if behavior == "default_incomplete":
        outcome = payments.Outcome("failed", cards.NO_METHOD)
    elif method is None and not params.get("trial_period_days"):
        raise refused(
            "This customer has no attached payment source or default payment method.",
            code="resource_missing",
        )
    elif outcome.decline and behavior == "error_if_incomplete":
        raise _declined(outcome)
    trial_days = params.get("trial_period_days")
    trial_end = at + trial_days * 86400 if trial_days else params.get("trial_end")
    made = billing.start(
        world,
        customer=customer,
        price=price,
        quantity=given.get("quantity", 1),
        method=None if behavior == "default_incomplete" else method,
        outcome=outcome,
        at=at,
        metadata=params.get("metadata"),
        trial_end=trial_end,
    )
    return world.store.put({**made, **ending.planned(world, made, params, at)})


def _declined(outcome: payments.Outcome) -> StripeError:
    decline = outcome.decline or cards.GENERIC
    return StripeError(
        decline.message,
        status=402,
        kind="card_error",
        code=decline.code,
        decline_code=decline.decline_code,
    )


@route(
    "GET",
    "/v1/subscriptions",
    **LIST,
    customer=str,
    price=str,
    status=(
        *("active", "all", "canceled", "ended", "incomplete", "incomplete_expired"),
        *("past_due", "paused", "trialing", "unpaid"),
    ),
)
def list_subscriptions(world: World, params: Object) -> Object:
    status = params.get("status")
    where = {"customer": params.get("customer"), "parent": params.get("price")}
    clauses: list[tuple[str, Any]] = []
    if status is None:
        clauses.append(("status != ?", "canceled"))
    elif status == "ended":
        clauses.append(("status IN (?, ?)", ("canceled", "incomplete_expired")))
    elif status != "all":
        clauses.append(("status = ?", status))
    return page(world, "subscription", params, "/v1/subscriptions", where=where, clauses=clauses)


@route("GET", "/v1/subscriptions/<subscription>")
def retrieve_subscription(world: World, params: Object, subscription: str) -> Object:
    del params
    return world.must("subscription", subscription)


@route(
    "POST",
    "/v1/subscriptions/<subscription>",
    cancel_at=Clearable(CANCEL_AT),
    cancel_at_period_end=bool,
    cancellation_details=DETAILS,
    default_payment_method=Clearable(str),
    description=Clearable(str),
    items=[CHANGED_ITEM],
    metadata=METADATA,
    pause_collection=Clearable({"behavior!": BEHAVIORS, "resumes_at": int}),
    payment_behavior=("allow_incomplete", "error_if_incomplete"),
    proration_behavior=PRORATIONS,
    proration_date=int,
)
def update_subscription(world: World, params: Object, subscription: str) -> Object:
    found, at = _changeable(world, subscription, params), world.now()
    prorated = {name: params.pop(f"proration_{name}", None) for name in ("behavior", "date")}
    strict = params.pop("payment_behavior", None) == "error_if_incomplete"
    new: Object = {"metadata": merged(found["metadata"], params.pop("metadata", None))}
    if params.get("default_payment_method"):
        method = params["default_payment_method"]
        methods.must_belong(world, method, found["customer"], "default_payment_method")
    if "items" in params:
        after, lines = _with_price(world, found, params.pop("items"), **prorated)
        if lines:
            new |= _invoice_change(world, after, lines, at, strict=strict)
            found = world.must("subscription", subscription)
        new |= {name: after[name] for name in ("items", "billing_cycle_anchor")}
    if params.get("pause_collection"):
        new["pause_collection"] = {"resumes_at": None, **params.pop("pause_collection")}
    told = params.pop("cancellation_details", {})
    new |= ending.planned(world, found, params, at)
    details = new.get("cancellation_details") or found["cancellation_details"]
    new["cancellation_details"] = {**details, **told}
    return update(world, "customer.subscription.updated", found, at, **{**params, **new})


Lines = list[tuple[str, int, bool]]


def _with_price(
    world: World,
    subscription: Object,
    items: list[Object],
    *,
    behavior: str | None,
    date: int | None,
) -> tuple[Object, Lines]:
    """The subscription with another price or quantity, and what is to be invoiced at once.

    Unlike at Stripe, no proration is the default, and ``create_prorations`` is the same as none.
    """
    item = subscription["items"]["data"][0]
    if len(items) != 1 or items[0].get("id") != item["id"]:
        raise refused(
            f"The simulator's subscriptions have one item: name it by its id, {item['id']}.",
            "items",
        )
    given = items[0]
    if "price_data" in given:
        price = create_price(world, {**given["price_data"], "active": False})
    elif "price" in given:
        price = world.must("price", given["price"], "items[0][price]")
    else:
        price = item["price"]
    if price["currency"] != subscription["currency"]:
        raise refused("A subscription keeps its currency.", "items[0][price]")
    if price["recurring"] is None:
        raise refused("The price specified is not recurring.", "items[0][price]")
    if "metadata" in given:
        subscription = {
            **subscription,
            "items": billing.with_item(subscription, metadata=given["metadata"]),
        }
    return proration.changed(
        subscription,
        price=price,
        quantity=given.get("quantity", item["quantity"]),
        behavior=behavior,
        at=date or world.now(),
    )


def _invoice_change(world: World, after: Object, lines: Lines, at: int, *, strict: bool) -> Object:
    """Invoice a change now; returns what else it changes of the subscription."""
    customer = world.store.one(after["customer"])
    invoice = proration.invoice_of(after, customer, lines, at)
    method = billing.method_for(world, after)
    outcome = payments.judge(method, off_session=True)
    if strict and invoice["amount_due"] > 0 and outcome.decline:
        raise _declined(outcome)
    draft = world.store.put(invoice)
    emit(world, "invoice.created", draft, at)
    billing.pay(world, billing.finalize(world, draft, at), method, outcome, at)
    return {"latest_invoice": draft["id"]}


@route(
    "POST",
    "/v1/invoices/create_preview",
    **{
        "customer": str,
        "subscription!": str,
        "subscription_details": {
            "items": [CHANGED_ITEM],
            "proration_behavior": PRORATIONS,
            "proration_date": int,
        },
    },
)
def preview_invoice(world: World, params: Object) -> Object:
    """What a change would be invoiced: at once, or else with the next period."""
    found, at = _running(world, params["subscription"]), world.now()
    customer = world.store.one(found["customer"])
    details = params.get("subscription_details", {})
    after = found
    lines: Lines = []
    if "items" in details:
        after, lines = _with_price(
            world,
            found,
            details["items"],
            behavior=details.get("proration_behavior"),
            date=details.get("proration_date"),
        )
    if not lines:
        item = after["items"]["data"][0]
        lines = [("Membership", item["price"]["unit_amount"] * item["quantity"], False)]
        at = item["current_period_end"]
    invoice_id = f"upcoming_in_{after['id'].removeprefix('sub_')}"
    preview = full(proration.invoice_of(after, customer, lines, at, invoice_id))
    if lines[0][0] == "Membership" and at != world.now():
        preview["billing_reason"] = "upcoming"
    return preview


@route(
    "DELETE",
    "/v1/subscriptions/<subscription>",
    cancellation_details=DETAILS,
    invoice_now=bool,
    prorate=bool,
)
def cancel_subscription(world: World, params: Object, subscription: str) -> Object:
    found = _running(world, subscription)
    details = params.get("cancellation_details")
    return billing.cancel(world, found, world.now(), details=details)


CANCELED_TOO = {"metadata", "cancellation_details"}


def _changeable(world: World, subscription: str, params: Object) -> Object:
    """The subscription, unless it has ended and the update asks for more than can then change."""
    found = world.must("subscription", subscription)
    asked = set(params) - CANCELED_TOO
    if found["status"] in billing.ENDED and asked and world.on("ended_refuses_updates"):
        raise refused(
            "A canceled subscription can only update its cancellation_details and metadata.",
            code="invalid_canceled_subscription_fields",
        )
    return found


def _running(world: World, subscription: str) -> Object:
    found = world.must("subscription", subscription)
    if found["status"] in billing.ENDED:
        raise StripeError(
            f"No such subscription: '{subscription}' (it has ended).",
            status=404,
            code="resource_missing",
            param="id",
        )
    return found


STATUSES = ("draft", "open", "paid", "uncollectible", "void")


@route("GET", "/v1/invoices", **LIST, customer=str, subscription=str, status=STATUSES)
def list_invoices(world: World, params: Object) -> Object:
    where = {
        "customer": params.get("customer"),
        "parent": params.get("subscription"),
        "status": params.get("status"),
    }
    return page(world, "invoice", params, "/v1/invoices", where=where)


@route("GET", "/v1/invoices/<invoice>")
def retrieve_invoice(world: World, params: Object, invoice: str) -> Object:
    del params
    return world.must("invoice", invoice)


@route("POST", "/v1/invoices/<invoice>", metadata=METADATA, auto_advance=bool)
def update_invoice(world: World, params: Object, invoice: str) -> Object:
    found = world.must("invoice", invoice)
    metadata = merged(found["metadata"], params.pop("metadata", None))
    return world.store.put({**found, **params, "metadata": metadata})


@route("POST", "/v1/invoices/<invoice>/pay", payment_method=str, off_session=bool)
def pay_invoice(world: World, params: Object, invoice: str) -> Object:
    found, at = _open(world, invoice), world.now()
    method = world.named(params, "payment_method")
    method = method or billing.method_for(world, billing.subscription_of(world, found))
    outcome = payments.judge(method, off_session=params.get("off_session", True))
    paid = billing.pay(world, found, method, outcome, at)
    if outcome.decline:
        raise _declined(outcome)
    return paid


@route("POST", "/v1/invoices/<invoice>/void")
def void_invoice(world: World, params: Object, invoice: str) -> Object:
    del params
    found = _open(world, invoice)
    billing.close_unpaid(world, found, "void", world.now())
    return world.must("invoice", invoice)


def _open(world: World, invoice: str) -> Object:
    found = world.must("invoice", invoice)
    if found["status"] != "open":
        raise refused(f"Invoice is {found['status']}, not open.", code="invoice_not_editable")
    return found


@route(
    "GET",
    "/v1/invoice_payments",
    **LIST,
    invoice=str,
    status=("canceled", "open", "paid"),
    payment={"type!": ("payment_intent",), "payment_intent": str},
)
def list_invoice_payments(world: World, params: Object) -> Object:
    where = {
        "parent": params.get("invoice"),
        "status": params.get("status"),
        "key": params.get("payment", {}).get("payment_intent"),
    }
    return page(world, "invoice_payment", params, "/v1/invoice_payments", where=where)


@route("POST", "/v1/subscriptions/<subscription>/resume")
def resume_subscription(world: World, params: Object, subscription: str) -> Object:
    del params
    found = world.must("subscription", subscription)
    if found["status"] != "paused":
        raise refused("You can only resume a paused subscription.")
    resumed = world.store.put({**found, "status": "active"})
    emit(world, "customer.subscription.resumed", resumed, world.now())
    return resumed
