"""Create products and prices at Stripe, and keep them in step with the tiers.

We write staff's changes as rows first, so that nothing is lost while Stripe is down. The request
itself, a periodic job or ``fundraiser set-up-stripe`` then updates Stripe from the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, null, or_, select

from fundraiser.db import checkpoint, now
from fundraiser.payments.models import ImportedProduct, OldPrice, Price, Tier

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from fundraiser.payments.stripe.gateway import Gateway

# Allows for payment pages that are just being opened with an old price.
_ON_THEIR_WAY = timedelta(minutes=1)
# Every sync runs this: one query.
_OUR_PRODUCTS = select(
    ImportedProduct.id, ImportedProduct.tier_slug, ImportedProduct.imported_at
).union_all(select(Tier.product_id, Tier.slug, null()).where(Tier.product_id.is_not(None)))


@dataclass(frozen=True, slots=True)
class OurProduct:
    """A product whose subscribers are members; ``imported_at`` is None if we made it."""

    tier: str
    imported_at: datetime | None


def our_products(session: Session) -> dict[str, OurProduct]:
    """The products that make members, by Stripe ID: each tier's own and imported ones."""
    found = session.execute(_OUR_PRODUCTS)
    return {product_id: OurProduct(tier, imported_at) for product_id, tier, imported_at in found}


def publish_catalogue(session: Session, gateway: Gateway) -> int:
    """Create missing products and prices at Stripe; returns how many it made.

    Skips what another process is publishing.

    Raises:
        StripeUnavailableError: Stripe doesn't answer, or refuses the key.
    """
    tiers = session.scalars(select(Tier).where(_needs_stripe())).all()
    return sum(_publish_tier(session, gateway, tier) for tier in tiers)


def _publish_tier(session: Session, gateway: Gateway, tier: Tier) -> int:
    made = 0
    if tier.product_id is None:
        checkpoint(session)
        product_id = gateway.make_product(tier)
        session.refresh(tier, with_for_update=True)
        tier.product_id = tier.product_id or product_id
        made += 1
    if tier.stale_at_stripe:
        told = (tier.names, tier.retired_at)
        checkpoint(session)
        gateway.update_product(tier, tier.product_id)
        session.refresh(tier, with_for_update=True)
        # Staff may have changed it again.
        tier.stale_at_stripe = tier.stale_at_stripe and told != (tier.names, tier.retired_at)
    for price in tier.prices:
        if _is_unmade(price):
            made += _publish_price(session, gateway, price, tier.product_id)
    session.flush()
    return made


def _publish_price(session: Session, gateway: Gateway, price: Price, product_id: str) -> int:
    """Make a price at Stripe, and write it down unless somebody has written another meanwhile."""
    wanted = (price.stripe_id, price.amount, price.next_amount)
    amount = price.amount
    if price.stripe_id and price.next_amount:
        amount = price.next_amount
    checkpoint(session)
    stripe_id = gateway.make_price(price, product_id, amount)
    same = select(Price).where(Price.id == price.id).with_for_update()
    found = session.scalars(same.execution_options(populate_existing=True)).first()
    if found is None or wanted != (found.stripe_id, found.amount, found.next_amount):
        return 0
    if price.stripe_id is None:
        price.stripe_id = stripe_id
    else:
        retire_price(session, price)
        price.stripe_id, price.amount, price.next_amount = stripe_id, amount, None
    return 1


def check_catalogue(session: Session, gateway: Gateway) -> int:
    """Find products and prices that somebody archived or deleted at Stripe; returns how many.

    The next periodic job makes them again. Until then readers pay the same amount without the
    price.

    Raises:
        StripeUnavailableError: Stripe doesn't answer, or refuses the key.
    """
    products, prices = gateway.list_active("products"), gateway.list_active("prices")
    on_offer = select(Tier).where(Tier.retired_at.is_(None), Tier.product_id.is_not(None))
    for tier in session.scalars(on_offer.with_for_update(skip_locked=True)):
        if tier.product_id not in products:
            tier.product_id = gateway.restore_product(tier)
        for price in tier.prices:
            if price.stripe_id and price.stripe_id not in prices:
                price.next_amount = price.next_amount or price.amount
    session.flush()
    return missing_from_catalogue(session)


def publish_next(session: Session, gateway: Gateway) -> bool:
    """Publish one changed tier, or archive one old price, at Stripe; False if none is left.

    Raises:
        StripeUnavailableError: Stripe doesn't answer, or refuses the key.
    """
    waiting = select(Tier).where(_needs_stripe()).limit(1)
    if tier := session.scalars(waiting).first():
        _publish_tier(session, gateway, tier)
        return True
    # Archive only after the commit: no reader may get an archived price.
    old = session.scalars(
        select(OldPrice)
        .where(OldPrice.archived_at.is_(None), OldPrice.retired_at < now() - _ON_THEIR_WAY)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()
    if old is None:
        return False
    gateway.archive_price(old.stripe_id)
    old.archived_at = now()
    return True


def retire_price(session: Session, price: Price) -> None:
    """Record that new members can't use this Stripe price any more."""
    if price.stripe_id:
        session.add(
            OldPrice(
                stripe_id=price.stripe_id,
                tier_slug=price.tier_slug,
                interval=price.interval,
                currency=price.currency,
                amount=price.amount,
                retired_at=now(),
            )
        )


def missing_from_catalogue(session: Session) -> int:
    """How many products and prices still have to be made or changed at Stripe."""
    waiting = session.scalars(select(Tier).where(_needs_stripe())).all()
    return sum(
        (tier.product_id is None or tier.stale_at_stripe) + sum(map(_is_unmade, tier.prices))
        for tier in waiting
    )


def is_at_stripe(tier: Tier) -> bool:
    """Whether Stripe has everything that we offer of this tier."""
    return tier.product_id is not None and not any(map(_is_unmade, tier.prices))


def _is_unmade(price: Price) -> bool:
    return price.stripe_id is None or price.next_amount is not None


def _needs_stripe() -> ColumnElement[bool]:
    unmade = or_(Price.stripe_id.is_(None), Price.next_amount.is_not(None))
    on_offer = and_(
        Tier.retired_at.is_(None), or_(Tier.product_id.is_(None), Tier.prices.any(unmade))
    )
    return or_(on_offer, and_(Tier.stale_at_stripe, Tier.product_id.is_not(None)))
