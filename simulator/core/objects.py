"""Builders of Stripe's objects: what the simulator makes, and what a demonstration loads in bulk.

Each returns what the store keeps: only the fields that differ from `simulator.core.shapes`.
Times are seconds since 1970, amounts are in the currency's smallest unit, currencies lower case.
For a bulk load hand any number to `simulator.core.store.Store(path).load(...)`; what says that
an invoice was paid is made by `simulator.core.payment_objects.build_payment`.
"""

import secrets
import time
from collections.abc import Sequence
from typing import Any

from simulator.core.cards import card_details, debit_details
from simulator.core.lines import Line, of_items, shown as shown_line, summed
from simulator.core.periods import Interval
from simulator.core.shapes import ADDRESS, BILLING_DETAILS, PREFIXES, Object, public


def new_id(kind: str) -> str:
    """A fresh id with Stripe's prefix for that kind of object.

    It begins with the time, so that new rows lie together in the store's index of ids.
    """
    return f"{PREFIXES[kind]}1{time.time_ns() // 1000:013x}{secrets.token_hex(6)}"


def build_product(*, id: str, name: str, created: int, **more: Any) -> Object:  # noqa: A002, ANN401 - Stripe's own name, and any of its fields
    return {
        "id": id,
        "object": "product",
        "created": created,
        "updated": created,
        "name": name,
        **more,
    }


def build_price(
    *,
    id: str,  # noqa: A002 - Stripe's own name
    product: str,
    currency: str,
    unit_amount: int,
    created: int,
    interval: Interval | None = None,
    interval_count: int = 1,
    lookup_key: str | None = None,
    active: bool = True,
    metadata: dict[str, str] | None = None,
    nickname: str | None = None,
) -> Object:
    """A price of one product; recurring when an interval is given."""
    price: Object = {
        "id": id,
        "object": "price",
        "created": created,
        "product": product,
        "currency": currency,
        "unit_amount": unit_amount,
        "unit_amount_decimal": str(unit_amount),
        "active": active,
        "lookup_key": lookup_key,
        "nickname": nickname,
        "metadata": metadata or {},
    }
    if interval:
        price["type"] = "recurring"
        price["recurring"] = {
            "interval": interval,
            "interval_count": interval_count,
            "meter": None,
            "usage_type": "licensed",
        }
    return price


def build_customer(
    *,
    id: str,  # noqa: A002 - Stripe's own name
    email: str | None,
    created: int,
    name: str | None = None,
    country: str | None = None,
    payment_method: str | None = None,
    locale: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Object:
    """A customer; `payment_method` is the default for invoices."""
    customer: Object = {
        "id": id,
        "object": "customer",
        "created": created,
        "email": email,
        "name": name,
        "metadata": metadata or {},
    }
    if country:
        customer["address"] = {**ADDRESS, "country": country}
    if locale:
        customer["preferred_locales"] = [locale]
    if payment_method:
        customer["invoice_settings"] = {
            "custom_fields": None,
            "default_payment_method": payment_method,
            "footer": None,
            "rendering_options": None,
        }
    return customer


def billing_details(email: str | None, name: str | None, country: str | None) -> Object:
    address = {**ADDRESS, "country": country} if country else ADDRESS
    return {**BILLING_DETAILS, "address": address, "email": email, "name": name}


def build_card(
    *,
    id: str,  # noqa: A002 - Stripe's own name
    customer: str | None,
    created: int,
    number: str = "4242424242424242",
    exp_month: int = 12,
    exp_year: int = 2034,
    email: str | None = None,
    name: str | None = None,
    country: str | None = None,
) -> Object:
    """A card; `number` is one of Stripe's test numbers (`simulator.core.cards.CARDS`)."""
    return {
        "id": id,
        "object": "payment_method",
        "created": created,
        "customer": customer,
        "type": "card",
        "card": card_details(number, exp_month, exp_year, country or "US"),
        "billing_details": billing_details(email, name, country),
        "_number": number,
    }


def build_debit(
    *,
    id: str,  # noqa: A002 - Stripe's own name
    customer: str | None,
    created: int,
    iban: str,
    email: str | None = None,
    name: str | None = None,
    country: str | None = None,
) -> Object:
    """A SEPA direct debit; `iban` is one of Stripe's test accounts."""
    return {
        "id": id,
        "object": "payment_method",
        "created": created,
        "customer": customer,
        "type": "sepa_debit",
        "sepa_debit": debit_details(iban),
        "billing_details": billing_details(email, name, country),
        "_number": iban,
    }


def build_item(
    subscription: str,
    place: int,
    price: Object,
    quantity: int,
    *,
    created: int,
    period: tuple[int, int],
) -> Object:
    """One of a subscription's items; the first one's id ends as the subscription's."""
    ending = subscription.removeprefix(PREFIXES["subscription"])
    return {
        "id": f"{PREFIXES['subscription_item']}{ending}{place or ''}",
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": created,
        "current_period_end": period[1],
        "current_period_start": period[0],
        "discounts": [],
        "metadata": {},
        "price": public(price),
        "quantity": quantity,
        "subscription": subscription,
        "tax_rates": [],
    }


def build_subscription(
    *,
    id: str,  # noqa: A002 - Stripe's own name
    customer: str,
    price: Object,
    created: int,
    period_start: int,
    period_end: int,
    status: str = "active",
    quantity: int = 1,
    payment_method: str | None = None,
    latest_invoice: str | None = None,
    metadata: dict[str, str] | None = None,
    cancel_at_period_end: bool = False,
    canceled_at: int | None = None,
    ended_at: int | None = None,
    more_items: Sequence[tuple[Object, int]] = (),
) -> Object:
    """A subscription; `price` is the price itself, `more_items` are prices with quantities."""
    period = (period_start, period_end)
    items = [
        build_item(id, place, one, number, created=created, period=period)
        for place, (one, number) in enumerate([(price, quantity), *more_items])
    ]
    subscription: Object = {
        "id": id,
        "object": "subscription",
        "created": created,
        "start_date": created,
        "billing_cycle_anchor": created,
        "currency": price["currency"],
        "customer": customer,
        "items": {
            "object": "list",
            "data": items,
            "has_more": False,
            "url": f"/v1/subscription_items?subscription={id}",
        },
        "latest_invoice": latest_invoice,
        "metadata": metadata or {},
        "status": status,
        "cancel_at_period_end": cancel_at_period_end,
        "cancel_at": period_end if cancel_at_period_end else None,
        "canceled_at": canceled_at,
        "ended_at": ended_at,
    }
    if payment_method:
        subscription["default_payment_method"] = payment_method
    return subscription


def build_invoice(
    *,
    id: str,  # noqa: A002 - Stripe's own name
    customer: Object,
    subscription: Object,
    created: int,
    billing_reason: str = "subscription_cycle",
    status: str = "draft",
    base_url: str | None = None,
    lines: Sequence[Line] | None = None,
    discounts: Sequence[tuple[Object, Object]] = (),
    **more: Any,  # noqa: ANN401 - any field of an invoice
) -> Object:
    """An invoice over a subscription's current period, or over the lines given.

    `discounts` are pairs of a discount and its coupon, `more` are fields of a further state.
    """
    currency = subscription["currency"]
    item = subscription["items"]["data"][0]
    told = of_items(subscription) if lines is None else lines
    shown = [shown_line(line, place, id, subscription, currency) for place, line in enumerate(told)]
    sums = summed(shown, discounts)
    amount = max(0, sums["total"])
    parent = {
        "quote_details": None,
        "subscription_details": {
            "metadata": subscription.get("metadata", {}),
            "subscription": subscription["id"],
        },
        "type": "subscription_details",
    }
    paid = amount if status == "paid" else 0
    begins = item["current_period_start"] if billing_reason == "subscription_create" else created
    invoice: Object = {
        "id": id,
        "object": "invoice",
        "created": created,
        "customer": customer["id"],
        "customer_email": customer.get("email"),
        "customer_name": customer.get("name"),
        "customer_address": customer.get("address"),
        "collection_method": subscription.get("collection_method", "charge_automatically"),
        "currency": currency,
        "amount_due": amount,
        "amount_paid": paid,
        "amount_remaining": amount - paid,
        "billing_reason": billing_reason,
        "parent": parent,
        "period_start": begins,
        "period_end": created,
        "status": status,
        **sums,
        "lines": {
            "object": "list",
            "data": sums["lines"],
            "has_more": False,
            "url": f"/v1/invoices/{id}/lines",
        },
    }
    if status != "draft":
        finalized = more.pop("finalized_at", created)
        invoice |= {
            "number": f"SIM{id[-8:].upper()}-0001",
            "effective_at": finalized,
            "hosted_invoice_url": f"{base_url}/invoice/{id}" if base_url else None,
            "status_transitions": {
                "finalized_at": finalized,
                "marked_uncollectible_at": None,
                "paid_at": more.pop("paid_at", finalized) if status == "paid" else None,
                "voided_at": None,
            },
        }
    if status == "paid":
        invoice |= {"attempted": True, "attempt_count": 1, "auto_advance": False}
    return {**invoice, **more}
