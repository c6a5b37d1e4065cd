"""Reasons for failed payments, in words."""

from __future__ import annotations

from fundraiser.texts import gettext as _


def cause(code: str) -> str:
    """Describe Stripe's reason for a failed payment."""
    names = {
        "": _("No reason given"),
        "*": _("All other reasons"),
        "authentication_required": _("The bank asks for confirmation"),
        "card_declined": _("Card declined"),
        "generic_decline": _("Card declined"),
        "expired_card": _("Card expired"),
        "insufficient_funds": _("Not enough money"),
        "lost_card": _("Card reported lost"),
        "stolen_card": _("Card reported stolen"),
        "processing_error": _("Processing error"),
        "debit_not_authorized": _("Bank debit not authorised"),
        "bank_account_restricted": _("Bank account restricted"),
        "account_closed": _("Bank account closed"),
    }
    return names.get(code) or code.replace("_", " ").capitalize()
