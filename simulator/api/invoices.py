"""Invoices, what waits for them, and what pays them."""

from simulator.api.billing import declined
from simulator.api.calls import LIST, page, route
from simulator.core import billing, payments
from simulator.core.errors import StripeError, refused
from simulator.core.events import emit, update
from simulator.core.params import METADATA, merged
from simulator.core.shapes import Object
from simulator.core.world import World

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


@route(
    "POST",
    "/v1/invoices/<invoice>/pay",
    payment_method=str,
    off_session=bool,
    paid_out_of_band=bool,
)
def pay_invoice(world: World, params: Object, invoice: str) -> Object:
    found, at = world.must("invoice", invoice), world.now()
    if found["status"] == "paid":
        raise refused("Invoice is already paid", code="invoice_already_paid")
    if found["status"] == "draft":
        found = billing.finalize(world, found, at)
    if found["status"] not in {"open", "uncollectible"}:
        raise refused("You can only pay an open invoice. This invoice isn't open.")
    ended = billing.subscription_of(world, found)["status"] in billing.ENDED
    if ended and not world.on("open_after_the_end"):
        raise refused("Its subscription has ended.")
    if params.get("paid_out_of_band") and world.on("out_of_band"):
        return billing.paid_elsewhere(world, found, at)
    if (billing.intent_for(world, found) or {}).get("status") == "processing":
        raise refused(
            "This invoice's PaymentIntent is processing, so the invoice can't be paid again.",
            code="payment_intent_unexpected_state",
        )
    method = world.named(params, "payment_method")
    method = method or billing.method_for(world, billing.subscription_of(world, found))
    outcome = payments.judge(method, off_session=params.get("off_session", True))
    paid = billing.pay(world, found, method, outcome, at)
    if outcome.status == "requires_action":
        raise StripeError(
            "This payment requires additional user action before it can be completed"
            " successfully. Payment can be completed using the PaymentIntent associated with this"
            " invoice.",
            status=402,
            kind="card_error",
            code="invoice_payment_intent_requires_action",
        )
    if outcome.decline:
        raise declined(outcome)
    return paid


@route("POST", "/v1/invoices/<invoice>/void")
def void_invoice(world: World, params: Object, invoice: str) -> Object:
    del params
    found = _open(world, invoice, or_else="uncollectible")
    return _closed(world, found, "void")


@route("POST", "/v1/invoices/<invoice>/mark_uncollectible")
def mark_uncollectible(world: World, params: Object, invoice: str) -> Object:
    del params
    found = world.must("invoice", invoice)
    if found["status"] == "uncollectible":
        raise refused("This invoice has already been marked uncollectible.")
    return _closed(world, _open(world, invoice), "mark_uncollectible")


def _closed(world: World, invoice: Object, behavior: str) -> Object:
    at = world.now()
    billing.close_unpaid(world, invoice, behavior, at)
    subscription = billing.subscription_of(world, invoice)
    if subscription["status"] == "incomplete" and subscription["latest_invoice"] == invoice["id"]:
        fields = {"status": "incomplete_expired", "ended_at": at}
        update(world, "customer.subscription.updated", subscription, at, **fields)
    billing.follow(world, subscription, at)
    return world.store.one(invoice["id"])


@route("POST", "/v1/invoices/<invoice>/finalize", auto_advance=bool)
def finalize_invoice(world: World, params: Object, invoice: str) -> Object:
    found, at = world.must("invoice", invoice), world.now()
    if found["status"] != "draft":
        raise refused(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice."
        )
    return billing.finalize(world, {**found, **params}, at)


@route("POST", "/v1/invoices/<invoice>/send")
def send_invoice(world: World, params: Object, invoice: str) -> Object:
    """Finalise it if need be, and e-mail it to the customer."""
    del params
    found, at = world.must("invoice", invoice), world.now()
    if found["status"] == "draft":
        found = billing.finalize(world, found, at)
    elif found["status"] != "open" or found["collection_method"] != "send_invoice":
        raise refused(
            "This invoice cannot be sent right now. Please contact us via"
            " https://support.stripe.com/contact with details, so we can help."
        )
    emit(world, "invoice.sent", found, at)
    return found


def _open(world: World, invoice: str, or_else: str = "open") -> Object:
    found = world.must("invoice", invoice)
    if found["status"] == "paid":
        raise refused("Invoices with `paid` payments cannot be voided.")
    if found["status"] not in {"open", or_else}:
        raise refused("You can only pass in open invoices. This invoice isn't open.")
    return found


@route(
    "GET",
    "/v1/invoiceitems",
    **LIST,
    customer=str,
    invoice=str,
    pending=bool,
)
def list_invoice_items(world: World, params: Object) -> Object:
    where = {"customer": params.get("customer"), "key": params.get("invoice")}
    clauses = []
    if "pending" in params:
        clauses.append(("(json_extract(data, '$.invoice') IS NULL) = ?", int(params["pending"])))
    return page(world, "invoiceitem", params, "/v1/invoiceitems", where=where, clauses=clauses)


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
