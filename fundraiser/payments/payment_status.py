"""Derive a membership's payment state from its invoices and charges; uses no database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundraiser.db import now
from fundraiser.members.models import Dues
from fundraiser.payments.disputes import holds_money
from fundraiser.payments.stripe.types import PAID_BY_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from fundraiser.payments.stripe.types import Charge, CustomerState, Invoice, Subscription


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """A membership's payment facts for the counting rule and e-mails, as in ``Membership``.

    ``invoiced`` is the latest amount paid for a whole period (smallest unit), ``listed`` the same
    before discounts; None before the first payment.
    """

    payment_status: Dues
    paid_at: datetime | None
    grace_from: datetime | None
    refunded_at: datetime | None
    disputed_at: datetime | None
    pay_url: str | None
    due: int | None
    needs_confirmation: bool
    paid_until: datetime | None = None
    has_paid: bool = False
    invoiced: int | None = None
    listed: int | None = None
    next_attempt_at: datetime | None = None


def payment_facts(state: CustomerState, subscription_id: str) -> PaymentFacts:
    """Derive one subscription's facts from its customer's state."""
    it = next((found for found in state.subscriptions if found.id == subscription_id), None)
    waiting_id = it.waiting_invoice_id if it else None
    of_it = [found for found in state.invoices if found.subscription_id == subscription_id]
    # A pending change has no effect until it is paid.
    waiting = next((found for found in of_it if found.id == waiting_id), None)
    invoices = sorted(
        (found for found in of_it if found is not waiting),
        key=lambda invoice: invoice.created_at,
        reverse=True,
    )
    paid = [invoice for invoice in invoices if _is_paid(invoice)]
    # A difference pays for a change within the period, which has its own payment.
    period = next((invoice for invoice in paid if not invoice.is_difference), None)
    unpaid = _unbroken_failures(invoices, state.charges)
    free = _is_free_now(invoices, state.charges)
    paid_at = period.paid_at if period else None
    paid_until = _paid_until(period, it)
    if it and it.is_on_trial:
        # A trial is a free period whatever was paid before, except after a restart: a late payment
        # paid for that one.
        paid_by = it.metadata.get(PAID_BY_KEY)
        payments = [charge for charge in state.charges if charge.id == paid_by]
        if payments:
            paid_at, paid_until = payments[0].created_at, it.trial_end
    else:
        payments = _succeeded(period, state.charges) if period and not free else []
    latest = unpaid[0] if unpaid else waiting
    return PaymentFacts(
        payment_status=_payment_status(
            invoices, state.charges, paid=bool(paid), unpaid=bool(unpaid), free=free
        ),
        paid_at=paid_at,
        grace_from=min((_failed_at(invoice, state.charges) for invoice in unpaid), default=None),
        refunded_at=_all_gone([charge.refunded_at for charge in payments]),
        disputed_at=_all_gone([taken_back_at(charge) for charge in payments]),
        pay_url=latest.pay_url if latest else None,
        due=latest.remaining if latest else None,
        needs_confirmation=latest is not None and _waits_for_the_payer(latest, state.charges),
        paid_until=paid_until,
        has_paid=any(_is_kept(invoice, state.charges) for invoice in paid),
        invoiced=period.amount if period else None,
        listed=_listed(period) if period else None,
        next_attempt_at=latest.next_attempt_at if latest else None,
    )


def taken_back_at(charge: Charge) -> datetime | None:
    """Since when a dispute has withdrawn this charge's money, if it has."""
    return charge.disputed_at if holds_money(charge.dispute) else None


def charges_of(invoice: Invoice, charges: Iterable[Charge]) -> list[Charge]:
    """The charges that tried to pay this invoice, latest first."""
    return [
        charge
        for charge in charges
        if charge.id in invoice.charges
        or (charge.intent_id and charge.intent_id in invoice.intents)
    ]


def _payment_status(
    invoices: Sequence[Invoice],
    charges: Sequence[Charge],
    *,
    paid: bool,
    unpaid: bool,
    free: bool,
) -> Dues:
    if unpaid:
        return Dues.OVERDUE if paid else Dues.NOTHING
    if free:
        return Dues.FREE
    if paid:
        return Dues.PAID
    in_process = any(
        invoice.status == "open" and _is_pending(invoice, charges) for invoice in invoices
    )
    return Dues.IN_PROCESS if in_process else Dues.NOTHING


def _is_paid(invoice: Invoice) -> bool:
    return invoice.status == "paid" and invoice.amount > 0


def _is_pending(invoice: Invoice, charges: Iterable[Charge]) -> bool:
    return any(charge.status == "pending" for charge in charges_of(invoice, charges))


def _succeeded(invoice: Invoice, charges: Iterable[Charge]) -> list[Charge]:
    return [charge for charge in charges_of(invoice, charges) if charge.status == "succeeded"]


def _all_gone(times: list[datetime | None]) -> datetime | None:
    """The latest of these times if every payment has one: only then is all the money gone."""
    gone = [at for at in times if at]
    return max(gone) if gone and len(gone) == len(times) else None


def _is_kept(invoice: Invoice, charges: Iterable[Charge]) -> bool:
    """Whether we still have part of an invoice's payment; true if paid in cash or by credit."""
    payments = _succeeded(invoice, charges)
    return not payments or any(
        charge.refunded_at is None and taken_back_at(charge) is None for charge in payments
    )


def _paid_until(period: Invoice | None, it: Subscription | None) -> datetime | None:
    """The end of the latest paid period."""
    if period is None:
        return None
    return period.until or (it.period_end if it else None)


def _listed(period: Invoice) -> int | None:
    """An invoice's price for its period before discounts; None if it has no such line."""
    amounts = [line.amount for line in period.lines if line.is_of_period]
    return sum(amounts) if amounts else None


def _is_free_now(newest_first: list[Invoice], charges: Sequence[Charge]) -> bool:
    """Whether the current period is free: its invoice is for nothing."""
    for invoice in newest_first:
        if invoice.status in {"draft", "void"} or invoice.is_difference:
            continue
        if invoice.status == "open" and _is_pending(invoice, charges):
            continue
        return invoice.status == "paid" and invoice.is_free
    return False


def _unbroken_failures(newest_first: list[Invoice], charges: Sequence[Charge]) -> list[Invoice]:
    """The unpaid finished invoices since the latest paid one, latest first."""
    unpaid: list[Invoice] = []
    for invoice in newest_first:
        if invoice.amount <= 0 or invoice.status in {"draft", "void"}:
            continue
        if invoice.status == "paid":
            break
        if not _is_pending(invoice, charges) and _is_due(invoice):
            unpaid.append(invoice)
    return unpaid


def _is_due(invoice: Invoice) -> bool:
    """Whether it should be paid by now: a failed attempt, uncollectible, or past its due date."""
    if invoice.status == "uncollectible" or invoice.attempted:
        return True
    return invoice.due_at is not None and invoice.due_at <= now()


def _waits_for_the_payer(invoice: Invoice, charges: tuple[Charge, ...]) -> bool:
    """Whether the bank wants the payer's confirmation: then no charge, or a charge that says so."""
    tries = charges_of(invoice, charges)
    if invoice.to_confirm:
        return True
    return bool(invoice.intents) and (not tries or tries[0].failure == "authentication_required")


def _failed_at(invoice: Invoice, charges: tuple[Charge, ...]) -> datetime:
    """When it should have been paid: its due date, or its first failed charge."""
    failures = [c.created_at for c in charges_of(invoice, charges) if c.status == "failed"]
    return invoice.due_at or min(failures, default=invoice.created_at)
