"""Notice price changes made in Stripe itself, which no intent of ours asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, or_, select

from fundraiser.db import now
from fundraiser.members.models import ENDED, Membership
from fundraiser.outbox import Email, enqueue
from fundraiser.payments.intents import Intent, IntentKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

_SOON = timedelta(hours=24)  # a change that waits for the bank comes later than its intent
# The price in the currency's smallest unit, the currency, the interval and its count.
Pay = tuple[Any, ...]


def read_prices(session: Session, customer_id: str) -> dict[str, Pay]:
    """What a customer's memberships cost by our rows, by Stripe's ID of the subscription."""
    rows = session.execute(
        select(
            Membership.reference,
            Membership.price,
            Membership.currency,
            Membership.interval,
            Membership.interval_count,
        ).where(Membership.customer_id == customer_id, Membership.status.not_in(ENDED))
    )
    return {reference: (price, *what) for reference, price, *what in rows}


def enqueue_of_new_prices(
    session: Session, before: dict[str, Pay], memberships: Iterable[Membership]
) -> None:
    """E-mail a member whose price is another than ``before``, unless the account changed it."""
    for m in memberships:
        price = (m.price, m.currency, m.interval, m.interval_count)
        was = before.get(m.reference, price)
        if None in {was[0], m.price} or price == was or m.status in ENDED:
            continue
        if not _is_ours(session, m):
            enqueue(
                session,
                "price_changed_at_stripe",
                to=m.member_id,
                key=f"{m.reference} {now():%Y-%m-%dT%H:%M:%S}",
                context={"membership": m.reference},
            )


def _is_ours(session: Session, membership: Membership) -> bool:
    """Whether the change is one asked for in the account, whose own e-mail is still to come."""
    told = exists().where(Email.kind == "price_changed", Email.key == Intent.key)
    ours = exists().where(
        Intent.member_id == membership.member_id,
        Intent.target == membership.reference,
        Intent.kind == IntentKind.PRICE,
        Intent.refusal.is_(None),
        or_(Intent.closed_at.is_(None), Intent.closed_at > now() - _SOON),
        ~told,
    )
    return bool(session.scalar(select(ours)))
