"""Prices in words: how much, how often, and the price after a discount ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.members.renewals import next_payment_at
from fundraiser.money import Money, format_money
from fundraiser.texts import date, each_time, gettext as _, language

if TYPE_CHECKING:
    from fundraiser.members.models import Membership


def per(amount: int, currency: str, interval: str | None, count: int = 1) -> str:
    """An amount and its interval in words: each ``count`` intervals."""
    return each_time(_money(amount, currency), interval, count)


def price_of(membership: Membership) -> str:
    """A membership's price in words; with a discount that ends, also the price afterwards."""
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


def next_payment_of(membership: Membership) -> str | None:
    """The next payment's amount and date, and the part that the member's credit pays; or None."""
    m, at = membership, next_payment_at(membership)
    if at is None:
        return None
    # During a discount of 100 %, the next payment is the list price.
    due = m.amount or m.price or 0
    known = {"amount": _money(due, m.currency), "date": date(at)}
    if not m.credit:
        return f"{known['amount']}, {known['date']}"
    known["credit"] = _money(m.credit, m.currency)
    if m.credit < due:
        return _("%(amount)s, %(date)s, minus your credit of %(credit)s", **known)
    return _("%(amount)s, %(date)s, covered by your credit of %(credit)s", **known)


def _money(amount: int, currency: str) -> str:
    return format_money(Money(amount, currency), language())
