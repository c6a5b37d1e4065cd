"""A person's yearly statement: payments and refunds of a year, by currency."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from fundraiser.db import now
from fundraiser.errors import NotFoundError
from fundraiser.payments.models import Payment, PaymentStatus
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

_EARLIEST = 2000
_LOST = "lost"


@dataclass(frozen=True, slots=True)
class Total:
    """Payments and refunds in one currency, in its smallest unit."""

    currency: str
    paid: int
    returned: int

    @property
    def kept(self) -> int:
        return self.paid - self.returned


@dataclass(frozen=True, slots=True)
class Statement:
    """A year's statement; ``payments`` are oldest first, each with its refunds, whenever they were.

    ``unfinished`` while the year may bring more payments.
    """

    year: int
    payments: Sequence[tuple[Payment, int]]
    totals: Sequence[Total]
    made_at: datetime
    unfinished: bool


def read_statement(session: Session, member_id: int, year: int, zone: ZoneInfo) -> Statement:
    """A person's successful payments of a year, in the newsroom's time zone.

    Raises:
        NotFoundError: the year is before us or in the future.
    """
    at = now()
    if not _EARLIEST <= year <= at.astimezone(zone).year:
        raise NotFoundError(
            _("There’s no statement for this year. Choose one that has already started.")
        )
    first, following = (datetime(one, 1, 1, tzinfo=zone) for one in (year, year + 1))
    rows = session.scalars(
        select(Payment)
        .where(
            Payment.member_id == member_id,
            Payment.status == PaymentStatus.SUCCEEDED,
            Payment.paid_at >= first,
            Payment.paid_at < following,
        )
        .order_by(Payment.paid_at, Payment.id)
    ).all()
    payments = [(row, row.amount if row.dispute == _LOST else row.refunded) for row in rows]
    totals: dict[str, tuple[int, int]] = {}
    for row, returned in payments:
        paid, back = totals.get(row.currency, (0, 0))
        totals[row.currency] = (paid + row.amount, back + returned)
    return Statement(
        year=year,
        payments=payments,
        totals=[Total(currency, *sums) for currency, sums in sorted(totals.items())],
        made_at=at,
        unfinished=following > at,
    )


def years_of(session: Session, member_id: int, zone: ZoneInfo) -> list[int]:
    """The years with payments by this person, latest first."""
    year = func.extract("year", func.timezone(zone.key, Payment.paid_at))
    found = session.scalars(
        select(year)
        .where(Payment.member_id == member_id, Payment.status == PaymentStatus.SUCCEEDED)
        .distinct()
    )
    return sorted((int(one) for one in found), reverse=True)
