"""What happened to the payment for a second membership, from our data and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.money import Money, format_money
from fundraiser.payments.disputes import holds_money
from fundraiser.payments.models import Payment, PaymentStatus
from fundraiser.texts import Named, gettext as _, language

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class MoneyBack:
    """What happened to the payment for a second membership, in the currency's smallest unit.

    ``refunded`` went back, ``waiting`` is still here, ``processing``: the bank hasn't finished the
    payment, ``disputed``: the bank withdrew it.
    """

    refunded: int = 0
    waiting: int = 0
    processing: bool = False
    disputed: bool = False


def read_money_back(session: Session, subscription_id: str) -> MoneyBack:
    """Read what happened to the payments for this second membership."""
    payments = session.scalars(
        select(Payment)
        .where(Payment.subscription_id == subscription_id)
        .order_by(Payment.paid_at.desc())
    ).all()
    paid = [found for found in payments if found.status is PaymentStatus.SUCCEEDED]
    latest = paid[0] if paid else None
    return MoneyBack(
        refunded=sum(found.refunded for found in payments),
        waiting=latest.amount if latest and not latest.refunded else 0,
        processing=any(found.status is PaymentStatus.PENDING for found in payments),
        disputed=latest is not None and holds_money(latest.dispute),
    )


def say_money_back(currency: str, money_back: MoneyBack, amount: str) -> Named:
    """Explain in a sentence or two what happened to the payment for a second membership."""
    if money_back.refunded:
        sentence = _(
            "We’ve refunded %(amount)s. Your bank may need up to ten days to show it.",
            amount=_money(money_back.refunded, currency),
        )
        return Named("refunded", sentence)
    if money_back.disputed:
        sentence = _(
            "Your payment of %(amount)s is disputed, so your bank decides about the refund.",
            amount=amount,
        )
        return Named("refund-disputed", sentence)
    if money_back.waiting:
        sentence = _(
            "We couldn’t send your %(amount)s refund yet. We’ll keep trying and "
            "e-mail you when it has been sent.",
            amount=_money(money_back.waiting, currency),
        )
        return Named("refund-waits", sentence)
    if money_back.processing:
        sentence = _(
            "Your bank is still processing the payment of %(amount)s. We’ll refund it as soon as "
            "it arrives.",
            amount=amount,
        )
        return Named("payment-in-process", sentence)
    return Named("not-charged", _("You haven’t been charged for it."))


def _money(amount: int, currency: str) -> str:
    return format_money(Money(amount, currency), language())
