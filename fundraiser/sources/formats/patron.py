"""A Patreon patron, from its CSV or API, and what that proves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from fundraiser.sources.readings import Why, add_interval

if TYPE_CHECKING:
    from decimal import Decimal

    from fundraiser.members.models import Interval
    from fundraiser.sources.readings import Context, Reading

STATUSES = {"active patron", "declined patron", "former patron", ""}
# In lists without the status of the latest charge, whose own words say how it went.
OLD_STATUSES = {
    **dict.fromkeys(("ok", "active", "processed", "active patron"), ("active patron", "paid")),
    "pending": ("active patron", "pending"),
    **dict.fromkeys(("declined", "declined patron"), ("declined patron", "declined")),
    **dict.fromkeys(("former", "deleted", "canceled", "former patron"), ("former patron", "paid")),
    "": ("", ""),
}
_PAID = {"paid", "refund declined"}
_NOT_THROUGH = {"declined": Why.NEVER_PAID, "pending": Why.PENDING}
_NO = {
    "free trial": Why.TRIAL,
    "refunded": Why.REFUNDED,
    "refunded by patreon": Why.REFUNDED,
    "fraud": Why.FRAUD,
    "deleted": Why.NOT_ACTIVE,
}
_ASK = {
    "partially refunded": Why.PARTLY_REFUNDED,
    "refund pending": Why.PARTLY_REFUNDED,
    "other": Why.UNKNOWN_CHARGE,
}


@dataclass(frozen=True, slots=True)
class Patron:
    """A patron; ``status`` and ``charge`` (the latest attempt) in the CSV's words, lower case.

    ``lifetime`` is the total ever paid. ``expires`` is an end that the patron chose, ``due`` the
    next charge, ``charged`` the latest attempt.
    """

    status: str
    charge: str
    lifetime: Decimal
    is_free: bool
    is_trial: bool
    is_gifted: bool
    expires: date | datetime | None
    due: date | datetime | None
    charged: date | datetime | None


def judge(patron: Patron, reading: Reading, context: Context) -> Reading:
    """Set until when something is paid, if anything is."""
    if free := _why_free(patron, reading):
        return reading.is_not_paying(free)
    _read_ends(patron, reading, context)
    if patron.charge in _NO:
        if patron.charge.startswith(("refunded", "fraud")):
            reading.refunded_at = (
                context.since(patron.charged) if patron.charged else context.list_at
            )
        return reading.is_not_paying(_NO[patron.charge])
    if patron.charge in _ASK:
        return reading.ask(_ASK[patron.charge])
    if patron.charge not in _PAID and patron.lifetime <= 0:
        return reading.is_not_paying(_NOT_THROUGH.get(patron.charge, Why.NEVER_PAID))
    if patron.status == "former patron" and reading.counts_until is None:
        return reading.is_not_paying(Why.NOT_ACTIVE)
    if patron.charge not in _PAID and patron.charge not in _NOT_THROUGH:
        return reading.ask(Why.UNKNOWN_CHARGE)
    if reading.counts_until is None:
        return reading.ask(Why.DECLINED if patron.charge in _NOT_THROUGH else Why.NO_END)
    if patron.charge in _PAID and not reading.cancel_at and reading.counts_until <= context.list_at:
        # Paid, and due since, and nobody tried to charge it: the creator may have paused.
        reading.looks.append(Why.NOT_CHARGED)
    return reading


def _why_free(patron: Patron, reading: Reading) -> Why | None:
    """Why nothing is paid, by flags and amount, whatever the status says."""
    if patron.is_free or not patron.status:
        return Why.FREE
    if patron.is_trial:
        return Why.TRIAL
    if patron.is_gifted:
        return Why.GIFTED
    if reading.amount == 0:
        return Why.GIFTED if patron.lifetime == 0 else Why.FREE
    return None


def _read_ends(patron: Patron, reading: Reading, context: Context) -> None:
    """A membership with an expiry was cancelled: it ends then, without grace."""
    end = patron.expires or _paid_until(patron, reading)
    if end:
        reading.counts_until = context.until(end)
        if patron.expires or patron.status == "former patron":
            reading.cancel_at = reading.counts_until


def _paid_until(patron: Patron, reading: Reading) -> date | datetime | None:
    """The next charge; after a failed charge, the day on which that was due.

    Patreon retries a declined charge for weeks. If it already gives a later charge, there is an
    unpaid period before it.
    """
    due, charged = patron.due, patron.charged
    if due is None or charged is None or patron.charge not in _NOT_THROUGH:
        return due
    if _day(due) <= _day(charged) or reading.interval is None:
        return due
    return add_interval(due, reading.interval, -reading.interval_count)


def _day(moment: date | datetime) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def end_of_charge(patron: Patron, interval: Interval, count: int) -> date | datetime | None:
    """The end of the latest charge's period, if it succeeded."""
    if patron.charged is None or patron.charge not in _PAID:
        return None
    return add_interval(patron.charged, interval, count)
