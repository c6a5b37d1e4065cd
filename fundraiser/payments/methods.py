"""A customer's new payment method: it is charged from now on, and at once for what is overdue.

At Stripe a subscription that has a payment method of its own keeps charging it, whatever the
customer makes their default in the billing portal.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fundraiser.errors import NotFoundError
from fundraiser.members.models import ENDED
from fundraiser.payments.models import Customer
from fundraiser.payments.payment_status import charges_of
from fundraiser.payments.stripe.gateway import StripeRefusedError

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

    from fundraiser.payments.stripe.gateway import Gateway
    from fundraiser.payments.stripe.types import CustomerState, Invoice, PaymentMethod, Subscription


def follow_new_method(
    session: Session, gateway: Gateway, state: CustomerState, products: Collection[str]
) -> bool:
    """Charge a customer's memberships on a default method that is new; True if Stripe was told.

    Called while the customer's lock is held. Each subscription is given the new method rather than
    left without its own: one without might be charged on an older default source.

    What is overdue is tried once with it, and no more: the retries are Stripe's.
    """
    customer, method = session.get(Customer, state.id), state.method
    if customer is None or state.deleted:
        return False
    before, customer.method_id = customer.method_id, method.id if method else ""
    if method is None or before in {None, method.id}:
        return False
    told = False
    for found in state.subscriptions:
        if found.status in ENDED or found.only(products) is None:
            continue
        if found.method and found.method.id != method.id:
            told |= _use(gateway, found.id, method)
        overdue = _overdue(state, found)
        if overdue:
            told = True
            # Refused, or to be confirmed: the invoice says so, and is read again.
            with suppress(StripeRefusedError, NotFoundError):
                gateway.pay_invoice(overdue.id, method.id)
    return told


def _use(gateway: Gateway, subscription_id: str, method: PaymentMethod) -> bool:
    try:
        gateway.use_method(subscription_id, method.id)
    except (StripeRefusedError, NotFoundError):
        return False
    return True


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
