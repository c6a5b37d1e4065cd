"""What was last charged for a membership, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from babel.lists import format_list
from sqlalchemy import select

from fundraiser.config import current_settings
from fundraiser.money import Money, format_money
from fundraiser.payments.models import Payment, PaymentStatus
from fundraiser.texts import date, language

if TYPE_CHECKING:
    from datetime import date as date_type, datetime

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Membership

_LATEST = 10  # charges; a day has one or two


def last_sums(session: Session, membership: Membership) -> str | None:
    """The sums charged on the day of the latest charge ("£7.82 and £12.18"); None if none."""
    charged = _charged_last(session, membership)
    return _say(charged) if charged else None


def last_payment_of(session: Session, membership: Membership) -> str | None:
    """The sums and the day of the latest charge; only the day if credit or a discount paid."""
    charged, paid_at = _charged_last(session, membership), membership.paid_at
    if charged and (paid_at is None or _day(charged[0].paid_at) >= _day(paid_at)):
        return f"{_say(charged)}, {date(charged[0].paid_at)}"
    return date(paid_at) if paid_at else None


def _charged_last(session: Session, membership: Membership) -> list[Payment]:
    found = session.scalars(
        select(Payment)
        .where(
            Payment.subscription_id == membership.reference,
            Payment.status == PaymentStatus.SUCCEEDED,
        )
        .order_by(Payment.paid_at.desc(), Payment.id.desc())
        .limit(_LATEST)
    ).all()
    return [one for one in found if _day(one.paid_at) == _day(found[0].paid_at)]


def _day(at: datetime) -> date_type:
    return at.astimezone(current_settings().newsroom_timezone).date()


def _say(charged: list[Payment]) -> str:
    sums = [format_money(Money(one.amount, one.currency), language()) for one in charged[::-1]]
    return format_list(sums, locale=language())
