"""Prices of memberships in words: how much, how often, and until when with a discount."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.money import Money, format_money
from fundraiser.texts import date, each_time, gettext as _, language

if TYPE_CHECKING:
    from fundraiser.members.models import Membership


def per(amount: int, currency: str, interval: str | None, count: int = 1) -> str:
    """An amount and how often it is paid: every ``count`` intervals."""
    return each_time(format_money(Money(amount, currency), language()), interval, count)


def price_of(membership: Membership) -> str:
    """What a membership costs; where a discount ends, also what it costs then."""
    m = membership
    now = per(m.amount, m.currency, m.interval, m.interval_count or 1)
    if m.discount_until is None or m.price is None or m.price == m.amount:
        return now
    return _(
        "%(price)s until %(date)s, then %(later)s",
        price=now,
        date=date(m.discount_until),
        later=per(m.price, m.currency, m.interval, m.interval_count or 1),
    )
