"""What a person has paid by year, pays a month, and what happens next and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import case, func, select

from fundraiser.dashboard import labels
from fundraiser.db import now
from fundraiser.members.models import UNKNOWN_AMOUNT, Source
from fundraiser.members.monthly import monthly as monthly_of
from fundraiser.members.overdue import grace_ends_at, is_overdue
from fundraiser.outbox import EmailState
from fundraiser.payments.models import Payment, PaymentStatus
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

    from fundraiser.dashboard.members.profile import Person
    from fundraiser.members.models import Membership
    from fundraiser.outbox import Email

_LOST = "lost"


@dataclass(frozen=True, slots=True)
class YearPaid:
    """A year's successful payments in one currency, in its smallest unit.

    ``returned`` is what was refunded or lost to a dispute, whenever that was.
    """

    year: int
    currency: str
    count: int
    paid: int
    returned: int

    @property
    def kept(self) -> int:
        return self.paid - self.returned


def read_years(session: Session, member_id: int, zone: ZoneInfo) -> list[YearPaid]:
    """A person's payments by year and currency, latest first, in the newsroom's time zone."""
    year = func.extract("year", func.timezone(zone.key, Payment.paid_at))
    returned = case((Payment.dispute == _LOST, Payment.amount), else_=Payment.refunded)
    rows = session.execute(
        select(year, Payment.currency, func.count(), func.sum(Payment.amount), func.sum(returned))
        .where(Payment.member_id == member_id, Payment.status == PaymentStatus.SUCCEEDED)
        .group_by(year, Payment.currency)
        .order_by(year.desc(), Payment.currency)
    )
    return [YearPaid(int(when), *(row)) for when, *row in rows]


def lifetime(years: Sequence[YearPaid]) -> dict[str, int]:
    """What a person has paid and not got back, by currency."""
    found: dict[str, int] = {}
    for year in years:
        found[year.currency] = found.get(year.currency, 0) + year.kept
    return found


def monthly(memberships: Sequence[Membership]) -> dict[str, int]:
    """What running memberships bring a month, by currency: MRR, without gifts."""
    found: dict[str, int] = {}
    for one in memberships:
        if one.ended_at or not one.interval or one.source is Source.GIFT:
            continue
        if one.amount <= UNKNOWN_AMOUNT:
            continue
        amount = monthly_of(one.amount, one.interval, one.interval_count)
        found[one.currency] = found.get(one.currency, 0) + amount
    return found


def read_next(
    person: Person, emails: Sequence[Email], grace: timedelta
) -> list[tuple[datetime, str]]:
    """What happens next to a person, soonest first."""
    found = [event for one in person.memberships if not one.ended_at for event in _next(one, grace)]
    found += [
        (email.due_at, _("We send the e-mail “%(name)s”.", name=labels.email(email.kind)))
        for email in emails
        if email.state is EmailState.QUEUED
    ]
    return sorted(found)


def _next(membership: Membership, grace: timedelta) -> Iterator[tuple[datetime, str]]:
    at = now()
    if membership.cancel_at:
        yield membership.cancel_at, _("The membership ends: it has been cancelled.")
    elif is_overdue(membership):
        if membership.next_attempt_at:
            yield membership.next_attempt_at, _("Stripe tries the overdue payment again.")
        if (ends := grace_ends_at(membership, grace)) > at:
            yield ends, _("We stop counting this person, unless the overdue payment arrives.")
    elif membership.counts_until and membership.counts_until > at:
        yield membership.counts_until, _("The membership ends, unless it’s renewed.")
    elif membership.source is Source.STRIPE and membership.amount and membership.period_end:
        price = labels.money(membership.amount, membership.currency)
        yield membership.period_end, _("The next payment is due: %(amount)s.", amount=price)
    if membership.card_expires_at and membership.card_expires_at > at:
        yield membership.card_expires_at, _("The card expires.")
