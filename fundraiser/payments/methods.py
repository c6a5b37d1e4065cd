"""A customer's new payment method: it is charged from now on, and at once for what is overdue.

At Stripe a subscription that has a payment method of its own keeps charging it, whatever the
customer makes their default in the billing portal.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fundraiser.members.models import ENDED
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
    """Have a customer's memberships charged on a default method that is new.

    Each subscription is given the new method rather than left without its own: one without might be
    charged on an older default source.

    What is overdue is tried once with it, and no more: the retries are Stripe's. Refused, or to be
    confirmed: the invoice says so, and is read again.
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
    # Known only once all is said: whoever dies before that is followed by one who says it again.
    if not told:
        customer.method_id = method.id if method else ""


def _overdue(state: CustomerState, found: Subscription) -> Invoice | None:
    """The latest invoice of a subscription, if a try to collect it has failed.

    A change that waits for its payment is the member's to pay: until then nothing is owed for it.
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
