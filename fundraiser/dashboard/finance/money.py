"""Queries for income, refunds and payouts, by month and by payout."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select, tuple_

from fundraiser.db import now
from fundraiser.errors import NotFoundError
from fundraiser.paging import PAGE, split_page
from fundraiser.payments.models import (
    BalanceScan,
    BalanceTransaction,
    HeldAtStripe,
    MonthlySum,
    Part,
    Payment,
    Payout,
    Tier,
)
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

MOST_SHOWN = 200  # of what is in a payout; the file has all of it
_LATE = timedelta(hours=3)
_EARLIEST = 2000


@dataclass(slots=True)
class Sums:
    """Totals in the smallest unit; ``payments`` counts payments.

    ``refunds``, ``disputes``, ``fees`` and ``payouts`` are positive if money left.
    """

    gross: int = 0
    refunds: int = 0
    disputes: int = 0
    fees: int = 0
    other: int = 0
    payouts: int = 0
    payments: int = 0

    def add(self, part: Part, count: int, amount: int, fee: int) -> None:
        """Add transactions of one kind."""
        match part:
            case Part.GROSS:
                self.gross += amount
                self.payments += count
            case Part.REFUNDS:
                self.refunds -= amount
            case Part.DISPUTES:
                self.disputes -= amount
            case Part.FEES:
                self.fees -= amount
            case Part.PAYOUTS:
                self.payouts -= amount
            case Part.OTHER:
                self.other += amount
        self.fees += fee

    @property
    def net(self) -> int:
        """The total before payouts."""
        return self.gross - self.refunds - self.disputes - self.fees + self.other

    @property
    def change(self) -> int:
        """The change of Stripe's balance."""
        return self.net - self.payouts


@dataclass(frozen=True, slots=True)
class Month:
    """A month in one currency; ``opening`` is Stripe's balance at its start."""

    month: date
    sums: Sums
    opening: int

    @property
    def closing(self) -> int:
        """Stripe's balance at the end, or now."""
        return self.opening + self.sums.change


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether our books match Stripe's balance: ``held`` has the balance and the difference."""

    held: Sequence[HeldAtStripe]
    as_of: datetime | None
    is_late: bool
    is_first: bool

    @property
    def differing(self) -> list[HeldAtStripe]:
        return [found for found in self.held if found.difference]


class Movement(NamedTuple):
    """A balance transaction, whose payment it belongs to, and its tier's names by language."""

    transaction: BalanceTransaction
    member_id: int | None
    tier_names: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class PayoutPage:
    """A payout and its contents; ``shown`` are the latest of ``count`` transactions."""

    payout: Payout
    sums: Sums
    returned: int
    count: int
    shown: Sequence[Movement]

    @property
    def total(self) -> int:
        """The total of the payout's contents."""
        return self.sums.net + self.returned


@dataclass(slots=True)
class Purpose:
    """What was paid for: a kind and a tier; empty for fees without a payment."""

    kind: str
    tier: str
    sums: Sums = field(default_factory=Sums)


def read_agreement(session: Session) -> Agreement:
    """Whether all transactions add up to Stripe's balance, and when that was checked."""
    look = session.get(BalanceScan, 1)
    held = session.scalars(
        select(HeldAtStripe)
        .where(HeldAtStripe.compared_at.is_not(None))
        .order_by(HeldAtStripe.currency)
    ).all()
    as_of = max((found.compared_at for found in held if found.compared_at), default=None)
    is_first = look is None or look.finished_at is None
    return Agreement(
        held=held,
        as_of=as_of,
        is_late=not is_first and as_of is not None and now() - as_of > _LATE,
        is_first=is_first,
    )


def read_months(session: Session) -> dict[str, list[Month]]:
    """Months by currency, the currency with the most payments first; latest month first."""
    rows = session.execute(
        select(
            MonthlySum.month,
            MonthlySum.currency,
            MonthlySum.part,
            func.sum(MonthlySum.count),
            func.sum(MonthlySum.amount),
            func.sum(MonthlySum.fee),
        )
        .group_by(MonthlySum.month, MonthlySum.currency, MonthlySum.part)
        .order_by(MonthlySum.month)
    )
    sums: dict[str, dict[date, Sums]] = {}
    for month, currency, part, *figures in rows:
        found = sums.setdefault(currency, {}).setdefault(month, Sums())
        found.add(part, *(int(figure) for figure in figures))
    months: dict[str, list[Month]] = {}
    for currency in sorted(sums, key=lambda code: (-_payments(sums[code].values()), code)):
        opening, found_months = 0, []
        for month, found in sums[currency].items():
            found_months.append(Month(month, found, opening))
            opening += found.change
        months[currency] = found_months[::-1]
    return months


def add_up(months: Iterable[Month]) -> Sums:
    """Add several months."""
    total = Sums()
    for found in months:
        for name in Sums.__dataclass_fields__:
            setattr(total, name, getattr(total, name) + getattr(found.sums, name))
    return total


def read_purposes(session: Session, first: date, last: date) -> dict[str, list[Purpose]]:
    """By currency, what was paid for from ``first`` to ``last``, without payouts."""
    rows = session.execute(
        select(
            MonthlySum.currency,
            MonthlySum.kind,
            MonthlySum.tier,
            MonthlySum.part,
            func.sum(MonthlySum.count),
            func.sum(MonthlySum.amount),
            func.sum(MonthlySum.fee),
        )
        .where(MonthlySum.month.between(first, last), MonthlySum.part != Part.PAYOUTS)
        .group_by(MonthlySum.currency, MonthlySum.kind, MonthlySum.tier, MonthlySum.part)
    )
    found: dict[str, dict[tuple[str, str], Purpose]] = {}
    for currency, kind, tier, part, *figures in rows:
        if part is Part.FEES and not kind:
            kind = part  # noqa: PLW2901 - Stripe's own, of no payment
        purpose = found.setdefault(currency, {}).setdefault((kind, tier), Purpose(kind, tier))
        purpose.sums.add(part, *(int(figure) for figure in figures))
    return {
        currency: sorted(
            purposes.values(), key=lambda one: (one.kind in {"", Part.FEES}, -one.sums.gross)
        )
        for currency, purposes in found.items()
    }


class PayoutState(StrEnum):
    """What became of a payout, as a filter."""

    ARRIVED = "arrived"
    UNDER_WAY = "under-way"
    RETURNED = "returned"


_PAYOUTS = {
    PayoutState.ARRIVED: Payout.status == "paid",
    PayoutState.RETURNED: Payout.status.in_(("failed", "canceled")),
    PayoutState.UNDER_WAY: Payout.status.not_in(("paid", "failed", "canceled")),
}


def payout_currencies(session: Session) -> Sequence[str]:
    """The currencies of all payouts."""
    return session.scalars(select(Payout.currency).distinct().order_by(Payout.currency)).all()


def list_payouts(
    session: Session,
    before: str | None,
    *,
    state: str = "",
    currency: str = "",
    most: int = PAGE,
) -> tuple[Sequence[Payout], str | None]:
    """A page of payouts, latest first, and the next page's key; an unknown state is no filter."""
    newest_first = (Payout.created_at, Payout.id)
    statement = select(Payout).order_by(*(column.desc() for column in newest_first)).limit(most + 1)
    if state in _PAYOUTS:
        statement = statement.where(_PAYOUTS[PayoutState(state)])
    if currency:
        statement = statement.where(Payout.currency == currency)
    if before:
        last = select(*newest_first).where(Payout.id == before).scalar_subquery()
        statement = statement.where(tuple_(*newest_first) < last)
    return split_page(session.scalars(statement).all(), lambda payout: payout.id, most)


def read_payout(session: Session, payout_id: str) -> PayoutPage:
    """A payout and its contents.

    Raises:
        NotFoundError: there is no such payout.
    """
    payout = session.get(Payout, payout_id)
    if payout is None:
        raise NotFoundError(_("We can’t find this payout. Look for it in the list of payouts."))
    # The payout's own movement, which takes it out of the balance, is not in it.
    inside = (BalanceTransaction.payout_id == payout_id) & (
        func.coalesce(BalanceTransaction.source_id, "") != payout_id
    )
    sums, returned, count = Sums(), 0, 0
    for part, number, amount, fee in session.execute(
        select(
            BalanceTransaction.part,
            func.count(),
            func.sum(BalanceTransaction.amount),
            func.sum(BalanceTransaction.fee),
        )
        .where(inside)
        .group_by(BalanceTransaction.part)
    ):
        count += number
        if part is Part.PAYOUTS:
            returned += int(amount)
        else:
            sums.add(part, number, int(amount), int(fee))
    shown = session.execute(
        select(BalanceTransaction, Payment.member_id, Tier.names)
        .outerjoin(Payment, Payment.charge_id == BalanceTransaction.charge_id)
        .outerjoin(Tier, Tier.slug == BalanceTransaction.tier)
        .where(inside)
        .order_by(BalanceTransaction.created_at.desc(), BalanceTransaction.id.desc())
        .limit(MOST_SHOWN)
    )
    return PayoutPage(payout, sums, returned, count, [Movement(*row) for row in shown])


def read_month(typed: str) -> date:
    """The first day of a URL's month.

    Raises:
        NotFoundError: it is no month.
    """
    try:
        found = date.fromisoformat(f"{typed}-01")
    except ValueError:
        found = date.min
    if found.year < _EARLIEST:
        raise NotFoundError(
            _("This isn’t a month. Enter it as year and month, like 2026-03, or choose one.")
        )
    return found


def _payments(sums: Iterable[Sums]) -> int:
    return sum(found.payments for found in sums)
