"""Read the amounts that people type."""

from __future__ import annotations

import re

from fundraiser.errors import UnprocessableError
from fundraiser.money import currency_typed, may_mean_thousands, parse_amount
from fundraiser.texts import gettext as _

LONGEST_AMOUNT = 20  # characters: 1 000 000,50 EUR


def read_amount(typed: str, currency: str) -> int:
    """Parse a typed amount into the currency's smallest unit.

    Raises:
        UnprocessableError: it is no amount, one of another currency, or may mean two amounts.
    """
    amount = parse_amount(typed, currency) if len(typed.strip()) <= LONGEST_AMOUNT else None
    if amount is not None:
        return amount
    if (other := currency_typed(typed)) not in {None, currency}:
        sentence = _(
            "You’ve typed an amount in %(other)s, but this one is in %(currency)s. Enter only the "
            "digits.",
            other=other,
            currency=currency,
        )
    elif may_mean_thousands(typed):
        whole = re.sub(r"\D", "", typed)
        sentence = _(
            "%(typed)s can mean two amounts. If you mean %(whole)s, enter it without a separator.",
            typed=typed.strip(),
            whole=whole,
        )
    else:
        sentence = _("Enter the amount in digits, like 12 or 12.50.")
    raise UnprocessableError(sentence, field="amount")
