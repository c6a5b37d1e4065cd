"""Parse Stripe's JSON into our types.

In API version 2026-08-26.dahlia a subscription's period is on its items; a charge doesn't name its
invoice, so both are matched by payment intent; a dispute names no customer.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from fundraiser.members.payment_methods import has_expiry, settles_later
from fundraiser.payments.stripe.types import (
    Charge,
    Discount,
    Invoice,
    Item,
    Line,
    PaymentMethod,
    Subscription,
    name_of,
    time_of,
)

if TYPE_CHECKING:
    from datetime import datetime

_Found = dict[str, Any]


def read_subscription(
    found: _Found, *, orphaned: bool = False, discount: _Found | None = None
) -> Subscription:
    """Parse a subscription; ``orphaned`` if its customer was deleted, which the JSON doesn't say.

    ``discount`` is the customer's; it applies to subscriptions without their own.
    """
    items = tuple(_item(one, found["currency"]) for one in found["items"]["data"])
    customer = found["customer"]
    period_end = items[0].period_end if items else None
    at_period_end = bool(found["cancel_at_period_end"])
    details = found["cancellation_details"] or {}
    discounts = found.get("discounts") or ([discount] if discount else [])
    return Subscription(
        id=found["id"],
        customer_id=name_of(customer) or "",
        customer_deleted=orphaned or (isinstance(customer, dict) and bool(customer.get("deleted"))),
        status=found["status"],
        items=items,
        currency=found["currency"].upper(),
        collection_paused=found["pause_collection"] is not None,
        resumes_at=_maybe((found["pause_collection"] or {}).get("resumes_at")),
        started_at=time_of(found["start_date"]),
        cancel_at=_maybe(found["cancel_at"]) or (period_end if at_period_end else None),
        cancels_at_period_end=at_period_end,
        canceled_at=_maybe(found["canceled_at"]),
        ended_at=_maybe(found["ended_at"]),
        metadata=found["metadata"] or {},
        method=read_method(found["default_payment_method"]),
        discounts=tuple(_discount(one, found["currency"]) for one in discounts),
        trial_end=_maybe(found.get("trial_end")),
        waiting_invoice_id=name_of(found.get("latest_invoice"))
        if found.get("pending_update")
        else None,
        schedule_id=name_of(found.get("schedule")),
        collection_method=found.get("collection_method") or "charge_automatically",
        days_until_due=found.get("days_until_due"),
        cancel_reason=details.get("reason"),
        cancel_feedback=details.get("feedback"),
        cancel_comment=details.get("comment"),
    )


def _item(found: _Found, currency: str) -> Item:
    price = found["price"]
    recurring = price["recurring"] or {}
    return Item(
        id=found["id"],
        product_id=name_of(price["product"]) or "",
        price_id=price["id"],
        price=_price(price, currency, found.get("quantity")),
        interval=recurring.get("interval") or "month",
        interval_count=recurring.get("interval_count") or 1,
        period_start=time_of(found["current_period_start"]),
        period_end=time_of(found["current_period_end"]),
    )


def _price(price: _Found, currency: str, quantity: int | None) -> int | None:
    """The item's price in the smallest unit, for the whole quantity; None if Stripe omits it."""
    quantity = 1 if quantity is None else quantity
    if price["currency"] != currency:
        price = (price.get("currency_options") or {}).get(currency) or {}
    if price.get("unit_amount") is not None:
        return int(price["unit_amount"]) * quantity
    if price.get("unit_amount_decimal") is not None:
        exact = Decimal(price["unit_amount_decimal"]) * quantity
        return int(exact.to_integral_value(ROUND_HALF_UP))
    return None


def _discount(found: _Found | str, currency: str) -> Discount:
    coupon = (found.get("source") or {}).get("coupon") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(coupon, dict):
        return Discount(is_known=False)
    amount = coupon.get("amount_off")
    if amount and coupon.get("currency") != currency:
        option = (coupon.get("currency_options") or {}).get(currency)
        if option is None:
            return Discount(is_known=False)
        amount = option["amount_off"]
    return Discount(
        percent=coupon.get("percent_off"),
        amount=amount,
        end=_maybe(found.get("end")),
        is_known=not coupon.get("applies_to"),
    )


def read_method(method: _Found | str | None) -> PaymentMethod | None:
    """Parse an expanded payment method; None if there is none."""
    if not isinstance(method, dict):
        return None
    details = method.get(method["type"]) or {}
    expires = has_expiry(method["type"])
    return PaymentMethod(
        id=method["id"],
        type=method["type"],
        created_at=time_of(method["created"]),
        last4=details.get("last4"),
        month=details["exp_month"] if expires else None,
        year=details["exp_year"] if expires else None,
    )


def read_invoice(found: _Found) -> Invoice:
    details = (found["parent"] or {}).get("subscription_details") or {}
    payments = [one["payment"] for one in (found.get("payments") or {}).get("data", ())]
    return Invoice(
        id=found["id"],
        subscription_id=name_of(details.get("subscription")),
        status=found["status"] or "draft",
        amount=found["total"],
        remaining=found["amount_remaining"],
        attempted=found["attempted"],
        created_at=time_of(found["created"]),
        paid_at=_maybe(found["status_transitions"]["paid_at"]),
        intents=_names(payments, "payment_intent"),
        charges=_names(payments, "charge"),
        pay_url=found["hosted_invoice_url"],
        due_at=_maybe(found.get("due_date")),
        lines=tuple(_line(one) for one in found["lines"]["data"]),
        next_attempt_at=_maybe(found.get("next_payment_attempt")),
    )


def _names(payments: list[_Found], kind: str) -> frozenset[str]:
    return frozenset(name for one in payments if (name := name_of(one.get(kind))))


def _line(found: _Found) -> Line:
    parent = found["parent"] or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    return Line(
        item_id=details.get("subscription_item"),
        amount=found["amount"],
        starts_at=time_of(found["period"]["start"]),
        ends_at=time_of(found["period"]["end"]),
        is_proration=bool(details.get("proration")),
    )


def read_charge(found: _Found, dispute: _Found | None) -> Charge:
    """Parse a charge; ``dispute`` is its latest one."""
    refunds = (found.get("refunds") or {}).get("data", ())
    newest = max((refund["created"] for refund in refunds), default=found["created"])
    latest = max(refunds, key=lambda refund: refund["created"], default=None)
    return Charge(
        id=found["id"],
        intent_id=name_of(found["payment_intent"]),
        status=found["status"],
        amount=found["amount"],
        refunded=found["amount_refunded"],
        currency=found["currency"].upper(),
        created_at=time_of(found["created"]),
        refunded_at=time_of(newest) if found["refunded"] else None,
        dispute=dispute["status"] if dispute else None,
        disputed_at=time_of(dispute["created"]) if dispute else None,
        failure=found["failure_code"],
        metadata=found["metadata"] or {},
        is_debit=settles_later((found["payment_method_details"] or {}).get("type")),
        refund_failed=latest is not None and latest["status"] == "failed",
    )


def _maybe(seconds: int | None) -> datetime | None:
    return None if seconds is None else time_of(seconds)
