"""Subscriptions: made, changed, previewed, cancelled."""

from typing import Any

from simulator.api.calls import LIST, page, route
from simulator.core import (
    billing,
    cards,
    changes,
    discounts,
    ending,
    items,
    methods,
    payments,
    pending,
    pending_updates,
    schedules,
    trials,
)
from simulator.core.due import HOUR, period_end
from simulator.core.errors import StripeError, refused
from simulator.core.events import emit, update
from simulator.core.params import METADATA, Clearable, Either, merged
from simulator.core.proration import with_balance
from simulator.core.shapes import Object, full
from simulator.core.world import World

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
CANCEL_AT = Either(ending.NAMED)
COLLECTION = ("charge_automatically", "send_invoice")
BEHAVIOURS = (
    *("allow_incomplete", "default_incomplete", "error_if_incomplete"),
    "pending_if_incomplete",
)
DISCOUNT = {"coupon": str, "discount": str, "promotion_code": str}
PRORATIONS = ("always_invoice", "create_prorations", "none")


@route(
    "POST",
    "/v1/subscriptions",
    **{
        "customer!": str,
        "items!": [items.ITEM],
        "cancel_at": CANCEL_AT,
        "cancel_at_period_end": bool,
        "collection_method": COLLECTION,
        "currency": str,
        "days_until_due": int,
        "default_payment_method": str,
        "description": str,
        "discounts": [DISCOUNT],
        "metadata": METADATA,
        "payment_behavior": BEHAVIOURS,
        "trial_period_days": int,
        "trial_end": Either(("now",)),
        "off_session": bool,
    },
)
def create_subscription(world: World, params: Object) -> Object:
    at = world.now()
    customer = world.must("customer", params["customer"], "customer")
    currency = params.get("currency")
    (price, quantity), *others = items.begun(world, params["items"], currency)
    own = params.get("default_payment_method")
    if own:
        methods.must_belong(world, own, customer["id"], "default_payment_method")
    method = world.named(params, "default_payment_method")
    method = method or world.named(customer["invoice_settings"], "default_payment_method")
    trial_end = _trial_end(params, at)
    collection = _collection(params, params)
    waits = collection.get("collection_method") == "send_invoice"
    outcome = payments.judge(method, off_session=params.get("off_session", False))
    behavior = params.get("payment_behavior", "allow_incomplete")
    if behavior == "default_incomplete" or waits:
        outcome = payments.Outcome("failed", cards.NO_METHOD)
        method = None
    elif method is None and not trial_end:
        raise refused(
            "This customer has no attached payment source or default payment method.",
            code="resource_missing",
        )
    elif behavior == "error_if_incomplete" and not trial_end:
        _must_succeed(world, outcome)
    prices = [price, *(one for one, _ in others)]
    given = params.get("discounts", [])
    redeemed = discounts.redeem(world, given, customer=customer["id"], at=at)
    made = billing.start(
        world,
        customer=customer,
        price=price,
        quantity=quantity,
        method=method,
        own_method=bool(own),
        outcome=outcome,
        at=at,
        metadata=params.get("metadata"),
        trial_end=trial_end,
        more_items=others,
        currency=currency or price["currency"],
        description=params.get("description"),
        _units=items.units(prices, currency or price["currency"]),
        **collection,
        **discounts.fields(world, redeemed),
    )
    return world.store.put({**made, **ending.planned(world, made, params, at)})


def _trial_end(params: Object, at: int) -> int | None:
    """When a new subscription's trial is over, if it has one."""
    days, end = params.get("trial_period_days"), params.get("trial_end")
    if days:
        return at + int(days) * 86400
    return None if end in {None, "now"} else _future(end, at)


def _future(end: int, at: int) -> int:
    if end <= at:
        raise refused(
            "The parameter `trial_end` expects a unix timestamp representing a date and time in"
            f" the future. You specified the value `{end}` which is in the past.",
            "trial_end",
        )
    return int(end)


def _collection(params: Object, after: Object) -> Object:
    """How the invoices are to be paid; `after` is how it will be."""
    names = ("collection_method", "days_until_due")
    found = {name: params.pop(name) for name in names if name in params}
    sends = found.get("collection_method", after.get("collection_method")) == "send_invoice"
    if found.get("days_until_due") is not None and not sends:
        raise refused(
            "You can only specify 'days_until_due' if invoice collection method is 'send_invoice'.",
            "days_until_due",
        )
    days = found.get("days_until_due", after.get("days_until_due"))
    if sends and days is None:
        raise refused(
            "If invoice collection method is 'send_invoice', you must specify 'days_until_due'.",
            "days_until_due",
        )
    return found


def _must_succeed(world: World, outcome: payments.Outcome) -> None:
    """Under ``error_if_incomplete`` nothing changes unless the payment succeeds."""
    if outcome.status == "requires_action" and world.on("sca_refuses_strict_changes"):
        raise StripeError(
            "Payment for this subscription requires additional user action, but the requested"
            " payment behavior doesn't save the invoice or PaymentIntent. Retry the request with"
            " `payment_behavior=allow_incomplete` or `payment_behavior=default_incomplete`, then"
            " complete the PaymentIntent on the subscription's latest invoice.",
            status=402,
            kind="card_error",
            code="subscription_payment_intent_requires_action",
            undo=True,
        )
    if outcome.decline:
        raise declined(outcome, undo=True)


def declined(outcome: payments.Outcome, *, undo: bool = False) -> StripeError:
    decline = outcome.decline or cards.GENERIC
    return StripeError(
        decline.message,
        status=402,
        kind="card_error",
        code=decline.code,
        decline_code=decline.decline_code,
        undo=undo,
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
    where = {"customer": params.get("customer")}
    clauses: list[tuple[str, Any]] = []
    if "price" in params:
        clauses.append((HAS_PRICE, params["price"]))
    if status is None:
        clauses.append(("status != ?", "canceled"))
    elif status == "ended":
        clauses.append(("status IN (?, ?)", ("canceled", "incomplete_expired")))
    elif status != "all":
        clauses.append(("status = ?", status))
    return page(world, "subscription", params, "/v1/subscriptions", where=where, clauses=clauses)


HAS_PRICE = (
    "EXISTS (SELECT 1 FROM json_each(data, '$.items.data') AS item"
    " WHERE json_extract(item.value, '$.price.id') = ?)"
)


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
    collection_method=COLLECTION,
    days_until_due=int,
    default_payment_method=Clearable(str),
    description=Clearable(str),
    discounts=[DISCOUNT],
    items=[items.CHANGED],
    metadata=METADATA,
    off_session=bool,
    pause_collection=Clearable({"behavior!": BEHAVIORS, "resumes_at": int}),
    payment_behavior=BEHAVIOURS,
    proration_behavior=PRORATIONS,
    proration_date=int,
    trial_end=Either(("now",)),
)
def update_subscription(world: World, params: Object, subscription: str) -> Object:
    found, at = _changeable(world, subscription, params), world.now()
    schedules.must_not_manage(world, found, params)
    params.pop("off_session", None)
    prorated = {name: params.pop(f"proration_{name}", None) for name in ("behavior", "date")}
    behavior = params.pop("payment_behavior", "allow_incomplete")
    if behavior == "pending_if_incomplete":
        pending_updates.check(params)
    new: Object = {"metadata": merged(found["metadata"], params.pop("metadata", None))}
    new |= _collection(params, found)
    if params.get("default_payment_method"):
        method = params["default_payment_method"]
        methods.must_belong(world, method, found["customer"], "default_payment_method")
    if "trial_end" in params:
        found = trials.change(world, found, params.pop("trial_end"), at)
    if "discounts" in params:
        given = params.pop("discounts")
        names = {"customer": found["customer"], "subscription": found["id"]}
        new |= discounts.fields(world, discounts.redeem(world, given, at=at, **names))
    if "items" in params:
        change = changes.of(world, found, params.pop("items"), **prorated)
        new |= _apply(world, change, at, behavior)
        found = world.must("subscription", subscription)
    if params.get("pause_collection"):
        new["pause_collection"] = {"resumes_at": None, **params.pop("pause_collection")}
    told = params.pop("cancellation_details", {})
    new |= ending.planned(world, found, params, at)
    details = new.get("cancellation_details") or found["cancellation_details"]
    new["cancellation_details"] = {**details, **told}
    return update(world, "customer.subscription.updated", found, at, **{**params, **new})


def _apply(world: World, change: changes.Change, at: int, behavior: str) -> Object:
    """Invoice a change of items now, or keep it for the next invoice; the fields that change."""
    after = change.subscription
    new = {name: after[name] for name in ("items", "billing_cycle_anchor")}
    new["_units"] = after.get("_units", {})
    if not change.at_once:
        pending.add(world, after, change.lines, at)
        return new
    if behavior == "pending_if_incomplete" and world.on("pending_updates"):
        waits = pending_updates.begin(world, change, at)
        if waits:
            return waits
    return {**new, **_invoice_change(world, change, at, strict=behavior == "error_if_incomplete")}


def _invoice_change(world: World, change: changes.Change, at: int, *, strict: bool) -> Object:
    """Invoice a change now; returns what else it changes of the subscription."""
    after = change.subscription
    customer = world.store.one(after["customer"])
    method = billing.method_for(world, after)
    outcome = payments.judge(method, off_session=True)
    sends = after["collection_method"] == "send_invoice"
    draft = billing.draft(
        world, after, customer, at, reason="subscription_update", lines=change.lines
    )
    if strict and not sends and with_balance(draft, customer)["amount_due"] > 0:
        _must_succeed(world, outcome)
    emit(world, "invoice.created", draft, at)
    if sends:
        world.store.put({**draft, "automatically_finalizes_at": at + HOUR})
    else:
        billing.pay(world, billing.finalize(world, draft, at), method, outcome, at)
    return {"latest_invoice": draft["id"]}


@route(
    "POST",
    "/v1/invoices/create_preview",
    **{
        "customer": str,
        "discounts": [DISCOUNT],
        "subscription!": str,
        "subscription_details": {
            "items": [items.CHANGED],
            "proration_behavior": PRORATIONS,
            "proration_date": int,
        },
    },
)
def preview_invoice(world: World, params: Object) -> Object:
    """What a change would be invoiced: at once, or else with the next period."""
    found, at = _running(world, params["subscription"]), world.now()
    details = params.get("subscription_details", {})
    change = changes.of(
        world,
        found,
        details.get("items", []),
        behavior=details.get("proration_behavior"),
        date=details.get("proration_date"),
    )
    ends = not change.at_once and _ends_with_the_period(found)
    if ends and world.on("nothing_upcoming_after_the_end"):
        raise StripeError(
            f"No upcoming invoices for customer: {found['customer']}",
            status=404,
            code="invoice_upcoming_none",
        )
    return full(changes.preview(world, change, at))


def _ends_with_the_period(subscription: Object) -> bool:
    ends = subscription["cancel_at"]
    return ends is not None and ends <= period_end(subscription)


@route(
    "DELETE",
    "/v1/subscriptions/<subscription>",
    cancellation_details=DETAILS,
    invoice_now=bool,
    prorate=bool,
)
def cancel_subscription(world: World, params: Object, subscription: str) -> Object:
    found = _running(world, subscription)
    for name in ("invoice_now", "prorate"):
        if params.get(name):
            raise refused("The simulator cancels without a last invoice.", name)
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


@route("POST", "/v1/subscriptions/<subscription>/resume")
def resume_subscription(world: World, params: Object, subscription: str) -> Object:
    del params
    found = world.must("subscription", subscription)
    if found["status"] != "paused":
        raise refused("You can only resume a paused subscription.")
    resumed = world.store.put({**found, "status": "active"})
    emit(world, "customer.subscription.resumed", resumed, world.now())
    return resumed
