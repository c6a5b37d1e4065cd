"""Products and prices at Stripe, made by the application and kept in step with the tiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.payments.models import AdoptedProduct, Price, Tier

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.payments.gateway import Gateway


@dataclass(frozen=True, slots=True)
class OurProduct:
    """A product whose subscribers are members; ``adopted_at`` is None for one that we made."""

    tier: str
    adopted_at: datetime | None


def our_products(session: Session) -> dict[str, OurProduct]:
    """The products that make members, by their id at Stripe: each tier's own and adopted ones."""
    adopted = {
        row.id: OurProduct(row.tier_slug, row.adopted_at)
        for row in session.scalars(select(AdoptedProduct))
    }
    made = session.execute(select(Tier.product_id, Tier.slug).where(Tier.product_id.is_not(None)))
    return adopted | {product_id: OurProduct(slug, None) for product_id, slug in made if product_id}


def publish_catalogue(session: Session, gateway: Gateway) -> int:
    """Make at Stripe what is not there yet; returns how many products and prices were made."""
    made = 0
    for tier in session.scalars(select(Tier).where(Tier.retired_at.is_(None))):
        if tier.product_id is None:
            tier.product_id = gateway.make_product(tier)
            made += 1
        for price in tier.prices:
            if price.stripe_id is None:
                price.stripe_id = gateway.make_price(price, tier.product_id)
                made += 1
    session.flush()
    return made


def missing_from_catalogue(session: Session) -> int:
    """How many products and prices are still to be made at Stripe."""
    return len(
        session.scalars(
            select(Tier.slug).where(Tier.product_id.is_(None), Tier.retired_at.is_(None))
        ).all()
    ) + len(session.scalars(select(Price.id).where(Price.stripe_id.is_(None))).all())
