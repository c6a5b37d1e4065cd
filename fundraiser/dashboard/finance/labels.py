"""Stripe's codes for disputes and payouts, in words."""

from __future__ import annotations

from fundraiser.texts import gettext as _


def dispute_status(code: str) -> str:
    """Describe the status of an open dispute."""
    names = {
        "needs_response": _("needs response"),
        "under_review": _("the bank is deciding"),
    }
    return names.get(code) or code.replace("_", " ")


def event(kind: str) -> str:
    """Describe an event at Stripe by its type."""
    names = {
        "charge.dispute.closed": _("dispute closed"),
        "charge.dispute.created": _("payment disputed"),
        "charge.dispute.funds_reinstated": _("disputed money returned"),
        "charge.dispute.funds_withdrawn": _("disputed money withdrawn"),
        "charge.dispute.updated": _("dispute changed"),
        "charge.failed": _("payment failed"),
        "charge.pending": _("payment being processed"),
        "charge.refund.updated": _("refund changed"),
        "charge.refunded": _("payment refunded"),
        "checkout.session.async_payment_failed": _("first payment failed"),
        "checkout.session.async_payment_succeeded": _("first payment arrived"),
        "checkout.session.completed": _("payment page completed"),
        "checkout.session.expired": _("payment page expired"),
        "customer.deleted": _("customer deleted"),
        "customer.discount.created": _("discount started"),
        "customer.discount.deleted": _("discount ended"),
        "customer.discount.updated": _("discount changed"),
        "customer.subscription.created": _("subscription created"),
        "customer.subscription.deleted": _("subscription ended"),
        "customer.subscription.paused": _("subscription paused"),
        "customer.subscription.resumed": _("subscription restarted"),
        "customer.subscription.trial_will_end": _("free period about to end"),
        "customer.subscription.updated": _("subscription changed"),
        "customer.updated": _("customer changed"),
        "invoice.finalization_failed": _("invoice couldn’t be made"),
        "invoice.finalized": _("invoice made"),
        "invoice.marked_uncollectible": _("invoice given up"),
        "invoice.overpaid": _("invoice overpaid"),
        "invoice.paid": _("paid invoice"),
        "invoice.payment_action_required": _("payment needs confirmation"),
        "invoice.payment_failed": _("payment failed"),
        "invoice.upcoming": _("payment coming up"),
        "invoice.voided": _("invoice cancelled"),
        "payment_intent.processing": _("payment being processed"),
        "payment_method.automatically_updated": _("card renewed by the bank"),
        "refund.created": _("refund made"),
        "refund.failed": _("refund rejected"),
        "refund.updated": _("refund changed"),
        "subscription_schedule.canceled": _("planned change cancelled"),
        "subscription_schedule.created": _("change planned"),
        "subscription_schedule.released": _("planned change made"),
        "subscription_schedule.updated": _("planned change changed"),
    }
    return names.get(kind) or kind.replace("_", " ").replace(".", " ")


def payout_failure(code: str) -> str:
    """Describe Stripe's reason for a failed payout."""
    names = {
        "account_closed": _("The bank account is closed."),
        "account_frozen": _("The bank account is frozen."),
        "bank_account_restricted": _("The bank account can’t receive these payouts."),
        "bank_ownership_changed": _("The bank account has a new owner."),
        "could_not_process": _("The bank couldn’t process the payout."),
        "debit_not_authorized": _("The bank account doesn’t allow debits."),
        "declined": _("The bank declined the payout."),
        "incorrect_account_holder_name": _("The account holder’s name is wrong."),
        "insufficient_funds": _("Your Stripe balance was too low."),
        "invalid_account_number": _("The account number is wrong."),
        "invalid_currency": _("The bank account doesn’t take this currency."),
        "no_account": _("There is no such bank account."),
    }
    return names.get(code) or code.replace("_", " ").capitalize()
