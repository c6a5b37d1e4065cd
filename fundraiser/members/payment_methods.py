"""Payment methods: their names in words, and their properties; the types are Stripe's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from fundraiser.members.models import Membership

# Bank debits: people agree to them at once, and they succeed or fail days later.
_DEBITS = {
    "acss_debit",
    "au_becs_debit",
    "bacs_debit",
    "nz_bank_account",
    "sepa_debit",
    "us_bank_account",
}
_BRANDS = {
    "amazon_pay": "Amazon Pay",
    "cashapp": "Cash App Pay",
    "klarna": "Klarna",
    "link": "Link",
    "paypal": "PayPal",
    "revolut_pay": "Revolut Pay",
}


def method_name(kind: str | None, last4: str | None) -> str | None:
    """A payment method's name in words; None if unknown."""
    if is_card(kind, last4):
        return _("Card ending in %(last4)s", last4=last4) if last4 else _("Card")
    if kind in _DEBITS:
        return (
            _("Bank debit, account ending in %(last4)s", last4=last4) if last4 else _("Bank debit")
        )
    if kind in _BRANDS:
        return _BRANDS[kind]
    return None if kind is None else kind.replace("_", " ").capitalize()


def method_of(membership: Membership) -> str | None:
    """A membership's payment method in words."""
    return method_name(membership.method, membership.card_last4)


def is_card(kind: str | None, last4: str | None = None) -> bool:
    """Whether it is a card; memberships synced by older versions have only the last digits."""
    return kind == "card" or (kind is None and last4 is not None)


def pays_by_card(membership: Membership) -> bool:
    """Whether a membership is paid by card, so that texts may say "card"."""
    return is_card(membership.method, membership.card_last4)


def has_expiry(kind: str | None) -> bool:
    """Whether the method has an expiry month."""
    return kind == "card"


def settles_later(kind: str | None) -> bool:
    """Whether a payment may succeed or fail days after it was made."""
    return kind in _DEBITS


def can_be_confirmed(kind: str | None) -> bool:
    """Whether a bank may ask the payer to confirm a payment; never for debits."""
    return kind is not None and kind not in _DEBITS
