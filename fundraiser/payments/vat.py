"""Value added tax on receipts, if the newsroom's prices include it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from babel.numbers import format_decimal

from fundraiser.config import current_settings
from fundraiser.money import Money, format_money, tax_included
from fundraiser.payments.models import CheckoutKind
from fundraiser.texts import language

if TYPE_CHECKING:
    from fundraiser.payments.models import Payment


def vat_line(payment: Payment) -> str | None:
    """The tax that a payment includes, its rate, and our VAT number; None if there is none to show.

    A one-time contribution buys nothing, so it includes no tax.
    """
    settings = current_settings()
    if settings.vat_rate is None or payment.kind is CheckoutKind.CONTRIBUTION:
        return None
    tax = tax_included(Money(payment.amount, payment.currency), settings.vat_rate)
    rate = format_decimal(settings.vat_rate, locale=language())
    line = f"{format_money(tax, language())} ({rate}\u00a0%)"
    return f"{line}, {settings.vat_number}" if settings.vat_number else line
