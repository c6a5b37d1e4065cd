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
