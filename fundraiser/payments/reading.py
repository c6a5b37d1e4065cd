"""Stripe's own JSON, read as plain facts.

Facts of the API: version 2026-08-26.dahlia. A subscription's period is on its items; a charge names
no invoice, so that the two meet by their payment intent; a dispute names no customer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fundraiser.payments.facts import Card, Charge, Invoice, Subscription, name_of, time_of

if TYPE_CHECKING:
    from datetime import datetime

_Found = dict[str, Any]

# Stripe's names for what takes money from a bank account, days after it was agreed to.
_DEBITS = {
    "acss_debit",
    "au_becs_debit",
    "bacs_debit",
    "nz_bank_account",
    "sepa_debit",
    "us_bank_account",
}


def read_subscription(found: _Found, *, orphaned: bool = False) -> Subscription:
    """``orphaned``: its customer was deleted, which it does not say itself."""
    item = found["items"]["data"][0]
    price = item["price"]
    customer = found["customer"]
    period_end = time_of(item["current_period_end"])
    ends_then = period_end if found["cancel_at_period_end"] else None
    details = found["cancellation_details"] or {}
    return Subscription(
        id=found["id"],
        customer_id=name_of(customer) or "",
        customer_deleted=orphaned or (isinstance(customer, dict) and bool(customer.get("deleted"))),
        status=found["status"],
        product_id=name_of(price["product"]) or "",
        amount=(price["unit_amount"] or 0) * (item.get("quantity") or 1),
        currency=found["currency"].upper(),
        interval=price["recurring"]["interval"] if price["recurring"] else "month",
        collection_paused=found["pause_collection"] is not None,
        started_at=time_of(found["start_date"]),
        period_end=period_end,
        cancel_at=_maybe(found["cancel_at"]) or ends_then,
        canceled_at=_maybe(found["canceled_at"]),
        ended_at=_maybe(found["ended_at"]),
        metadata=found["metadata"] or {},
        card=read_card(found["default_payment_method"]),
        cancel_reason=details.get("reason"),
        cancel_feedback=details.get("feedback"),
    )


def read_card(method: _Found | str | None) -> Card | None:
    """The card of a payment method that was expanded, if it is one."""
    card = method.get("card") if isinstance(method, dict) else None
    return Card(card["last4"] or "", card["exp_month"], card["exp_year"]) if card else None


def read_invoice(found: _Found) -> Invoice:
    details = (found["parent"] or {}).get("subscription_details") or {}
    payments = (found.get("payments") or {}).get("data", ())
    return Invoice(
        id=found["id"],
        subscription_id=name_of(details.get("subscription")),
        status=found["status"] or "draft",
        amount=found["total"],
        attempted=found["attempted"],
        created_at=time_of(found["created"]),
        paid_at=_maybe(found["status_transitions"]["paid_at"]),
        intents=frozenset(
            intent for one in payments if (intent := name_of(one["payment"].get("payment_intent")))
        ),
        pay_url=found["hosted_invoice_url"],
    )


def read_charge(found: _Found, dispute: _Found | None) -> Charge:
    """``dispute`` is the charge's newest."""
    refunds = (found.get("refunds") or {}).get("data", ())
    newest = max((refund["created"] for refund in refunds), default=found["created"])
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
        is_debit=(found["payment_method_details"] or {}).get("type") in _DEBITS,
    )


def _maybe(seconds: int | None) -> datetime | None:
    return None if seconds is None else time_of(seconds)
