"""Charge a customer's new payment method from now on, and at once for overdue payments.

At Stripe a subscription with its own payment method keeps charging it, even if the customer chooses
another default in the billing portal.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fundraiser.members.models import ENDED
from fundraiser.outbox import enqueue
from fundraiser.payments.models import Customer
from fundraiser.payments.payment_status import charges_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

    from fundraiser.payments.stripe.types import CustomerState, Invoice, Subscription
    from fundraiser.payments.telling import Telling


def follow_new_method(
    session: Session,
    state: CustomerState,
    products: Collection[str],
    telling: Telling,
) -> None:
    """Set a customer's new default method on all running memberships.

    We set it on each subscription instead of clearing the old one, because Stripe might then charge
    an older default source.

    We try an overdue invoice once with it; Stripe does the other retries. If the bank refuses or
    wants confirmation, the invoice says so, and we read it again.
    """
    customer, method = session.get(Customer, state.id), state.method
    if customer is None or state.deleted:
        return
    told = False
    if method is not None and customer.method_id not in {None, method.id}:
        for found in state.subscriptions:
            if found.status in ENDED or found.only(products) is None:
                continue
            if found.method and found.method.id != method.id:
                use = partial(telling.gateway.use_method, found.id, method.id)
                told |= telling.tell(f"use {method.id} for {found.id}", use)
            if overdue := _overdue(state, found):
                pay = partial(telling.gateway.pay_invoice, overdue.id, method.id)
                told |= telling.tell(f"pay {overdue.id} by {method.id}", pay)
            if not told:
                enqueue(
                    session,
                    "method_changed",
                    to=customer.member_id,
                    key=f"{found.id} {customer.method_id} {method.id}",
                    context={"membership": found.id},
                )
    # Store it only after all calls, so that a sync after a crash repeats them.
    if not told:
        customer.method_id = method.id if method else ""


def _overdue(state: CustomerState, found: Subscription) -> Invoice | None:
    """A subscription's latest invoice, if an attempt to collect it has failed.

    An invoice of a pending change is excluded: it isn't owed until the member confirms.
    """
    latest = max(
        (
            one
            for one in state.invoices
            if one.subscription_id == found.id
            and one.status not in {"draft", "void"}
            and one.id != found.waiting_invoice_id
        ),
        key=lambda one: one.created_at,
        default=None,
    )
    if latest is None or latest.status != "open" or not latest.attempted:
        return None
    if found.collection_method == "send_invoice":
        return None
    tries = charges_of(latest, state.charges)
    return None if any(charge.status == "pending" for charge in tries) else latest
