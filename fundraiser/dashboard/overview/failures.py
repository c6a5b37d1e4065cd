"""First failures of renewals, and whether they were recovered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, cast, func, select, true
from sqlalchemy.orm import aliased

from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy import Select


def first_failures(
    grace: timedelta, since: datetime, until: datetime
) -> Select[int | None, datetime, str | None, str, int]:
    """SQL: a row for each renewal that first failed in this time, of people who had paid before.

    ``days``: whole days until it was paid, within the grace period; null if it wasn't.
    ``failed_at``, ``failure`` (Stripe's reason), ``currency`` and ``amount`` are the failed
    payment's.
    """
    failed, before, after = aliased(Payment), aliased(Payment), aliased(Payment)
    previous = (
        select(before.status)
        .where(before.subscription_id == failed.subscription_id, before.paid_at < failed.paid_at)
        .order_by(before.paid_at.desc())
        .limit(1)
        .lateral()
    )
    made_good = (
        select(func.min(after.paid_at).label("at"))
        .where(
            after.subscription_id == failed.subscription_id,
            after.status == PaymentStatus.SUCCEEDED,
            after.paid_at > failed.paid_at,
            after.paid_at < failed.paid_at + grace,
        )
        .lateral()
    )
    seconds = func.extract("epoch", made_good.c.at - failed.paid_at)
    return (
        select(
            cast(func.floor(seconds / 86_400), BigInteger).label("days"),
            failed.paid_at.label("failed_at"),
            failed.failure,
            failed.currency,
            failed.amount,
        )
        .select_from(failed)
        .join(previous, previous.c.status == PaymentStatus.SUCCEEDED)
        .outerjoin(made_good, true())
        .where(
            failed.status == PaymentStatus.FAILED,
            failed.kind == CheckoutKind.MEMBERSHIP,
            failed.subscription_id.is_not(None),
            failed.paid_at >= since,
            failed.paid_at < until,
        )
    )
