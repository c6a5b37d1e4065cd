"""How a membership's payments stand: read from its invoices and charges, no database, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundraiser.members.models import Standing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from fundraiser.payments.facts import Charge, CustomerState, Invoice

# A dispute in these states has not, or no longer, taken the money away.
_MONEY_IS_OURS = {
    "won",
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "prevented",
}


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """What the count rule and the letters read of a membership's payments, as in ``Membership``."""

    standing: Standing
    paid_at: datetime | None
    grace_from: datetime | None
    refunded_at: datetime | None
    disputed_at: datetime | None
    pay_url: str | None
    needs_confirmation: bool


def payment_facts(state: CustomerState, subscription_id: str) -> PaymentFacts:
    """Read the facts of one subscription out of its customer's state."""
    invoices = sorted(
        (found for found in state.invoices if found.subscription_id == subscription_id),
        key=lambda invoice: invoice.created_at,
        reverse=True,
    )
    paid = next((invoice for invoice in invoices if _is_paid(invoice)), None)
    overdue = _overdue(invoices, state.charges)
    in_process = any(
        charge.status == "pending"
        for invoice in invoices
        if invoice.status == "open"
        for charge in charges_of(invoice, state.charges)
    )
    if overdue is not None:
        standing = Standing.OVERDUE if paid else Standing.NOTHING
    elif paid:
        standing = Standing.PAID
    else:
        standing = Standing.IN_PROCESS if in_process else Standing.NOTHING
    payments = (
        [c for c in charges_of(paid, state.charges) if c.status == "succeeded"] if paid else []
    )
    newest = max(payments, key=lambda charge: charge.created_at, default=None)
    return PaymentFacts(
        standing=standing,
        paid_at=paid.paid_at if paid else None,
        grace_from=_first_failure(overdue, state.charges) if overdue else None,
        refunded_at=newest.refunded_at if newest else None,
        disputed_at=taken_back_at(newest) if newest else None,
        pay_url=overdue.pay_url if overdue else None,
        needs_confirmation=overdue is not None and _waits_for_the_payer(overdue, state.charges),
    )


def taken_back_at(charge: Charge) -> datetime | None:
    """Since when a dispute has taken the money of this charge away, if one does."""
    takes = charge.dispute and charge.dispute not in _MONEY_IS_OURS
    return charge.disputed_at if takes else None


def charges_of(invoice: Invoice, charges: Iterable[Charge]) -> list[Charge]:
    """The charges that tried to pay this invoice, newest first as Stripe lists them."""
    return [charge for charge in charges if charge.intent_id in invoice.intents]


def _is_paid(invoice: Invoice) -> bool:
    return invoice.status == "paid" and invoice.amount > 0


def _overdue(newest_first: list[Invoice], charges: tuple[Charge, ...]) -> Invoice | None:
    """The newest finished invoice, if it is finished without being paid."""
    for invoice in newest_first:
        if invoice.amount == 0 or invoice.status in {"draft", "void"}:
            continue
        if invoice.status == "paid":
            return None
        tries = charges_of(invoice, charges)
        if any(charge.status == "pending" for charge in tries):
            continue
        if invoice.attempted or invoice.status == "uncollectible":
            return invoice
    return None


def _waits_for_the_payer(invoice: Invoice, charges: tuple[Charge, ...]) -> bool:
    """Whether the bank wants the payer to confirm: it makes no charge then, or one that says so."""
    tries = charges_of(invoice, charges)
    return bool(invoice.intents) and (not tries or tries[0].failure == "authentication_required")


def _first_failure(invoice: Invoice, charges: tuple[Charge, ...]) -> datetime:
    failures = [c.created_at for c in charges_of(invoice, charges) if c.status == "failed"]
    return min(failures, default=invoice.created_at)
