"""Gifts in a sync: create one for each charge that paid for a gift, and follow its refunds."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from fundraiser.db import now
from fundraiser.members.gifts import Gift, Tell, hash_code, make_code, telling
from fundraiser.members.models import Member, Membership, Source
from fundraiser.outbox import enqueue
from fundraiser.payments.models import Checkout, CheckoutKind, PaymentStatus
from fundraiser.payments.payment_status import taken_back_at
from fundraiser.payments.stripe.gateway import checkout_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from fundraiser.payments.stripe.types import Charge, CustomerState

_LOST = "lost"  # Stripe's status of a dispute that the payer won


def write_gifts(session: Session, giver: Member, state: CustomerState) -> Sequence[Member]:
    """Update a customer's gifts from the charges that paid for them.

    Returns the recipients to recount because of a refund or a dispute; locked.
    """
    paid = {
        ours: charge
        for charge in state.charges
        if charge.status == PaymentStatus.SUCCEEDED and (ours := checkout_id(charge.metadata))
    }
    if not paid:
        return []
    checkouts = session.scalars(
        select(Checkout)
        .where(Checkout.id.in_(paid), Checkout.kind == CheckoutKind.GIFT)
        .order_by(Checkout.id)
    ).all()
    changed = [_write_gift(session, giver, found, paid[found.id]) for found in checkouts]
    recipients = {name for name in changed if name is not None}
    if not recipients:
        return []
    return session.scalars(
        select(Member).where(Member.id.in_(recipients)).order_by(Member.id).with_for_update()
    ).all()


def _write_gift(session: Session, giver: Member, checkout: Checkout, charge: Charge) -> int | None:
    """Create or update one gift; returns its recipient if the membership has changed."""
    gift = session.scalars(
        select(Gift)
        .where(Gift.checkout_id == checkout.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).first()
    if gift is None:
        gift = _make(session, giver, checkout, charge)
    gift.giver_id = giver.id  # the customer may have become somebody else's
    _tell_of_the_end(session, gift, charge)
    facts = {
        "refunded_at": charge.refunded_at,
        "disputed_at": taken_back_at(charge),
    }
    if facts == {name: getattr(gift, name) for name in facts}:
        return None
    for name, value in facts.items():
        setattr(gift, name, value)
    session.execute(
        update(Membership)
        .where(Membership.source == Source.GIFT, Membership.reference == gift.charge_id)
        .values(**facts)
    )
    return gift.recipient_id


def _tell_of_the_end(session: Session, gift: Gift, charge: Charge) -> None:
    """Enqueue e-mails to the recipient and the giver if the money is finally gone.

    During a dispute nobody is e-mailed: it may be won, and the payer knows.
    """
    context = {"gift": gift.id}
    if charge.refunded_at and gift.refunded_at is None:
        enqueue(
            session,
            "gift_paid_back",
            to=gift.giver_id,
            key=charge.id,
            context=context,
        )
    if gift.recipient_id and (charge.refunded_at or charge.dispute == _LOST):
        enqueue(
            session,
            "gift_taken_back",
            to=gift.recipient_id,
            key=charge.id,
            context=context,
        )


def _make(session: Session, giver: Member, checkout: Checkout, charge: Charge) -> Gift:
    written = checkout.gift or {}
    tell_at = datetime.fromisoformat(written["tell_at"]) if written["tell_at"] else None
    if written["tell"] == Tell.NOW:
        tell_at = charge.created_at
    gift = Gift(
        checkout_id=checkout.id,
        charge_id=charge.id,
        code_hash=hash_code(make_code(checkout.id)),
        giver_id=giver.id,
        giver_name=written["giver_name"],
        recipient_name=written["recipient_name"],
        recipient_email=written["recipient_email"],
        message=written["message"],
        language=written["language"],
        tier=checkout.tier,
        years=written["years"],
        amount=charge.amount,
        currency=charge.currency,
        campaign=checkout.campaign,
        tell_at=tell_at,
        paid_at=charge.created_at,
    )
    checkout.gift = None
    session.add(gift)
    session.flush()
    enqueue(
        session,
        "gift_given",
        to=giver.id,
        key=charge.id,
        context={"gift": gift.id},
    )
    if tell_at and tell_at <= now():
        enqueue(session, "gift_told", to=gift.id, key=telling(tell_at))
    return gift
