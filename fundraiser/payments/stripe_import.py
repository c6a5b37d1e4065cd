"""Import subscribers of products that existed at Stripe before this service.

The operator names the products; from then on their subscriptions are memberships like any other. We
sync customers in the order in which they subscribed, so member numbers follow that order. An
interrupted import continues: it skips customers that are already synced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.db import now
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.members.models import Membership
from fundraiser.payments.models import Customer, ImportedProduct, Tier
from fundraiser.payments.products import our_products

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.payments.stripe.gateway import Gateway


def import_products(session: Session, gateway: Gateway, tiers: Mapping[str, str]) -> None:
    """Register these products for import (tier by product); safe to repeat.

    Raises:
        UnprocessableError: there is no such tier or product, or the product has another tier.
    """
    known = our_products(session)
    for product_id, tier in tiers.items():
        if session.get(Tier, tier) is None:
            slugs = ", ".join(session.scalars(select(Tier.slug).order_by(Tier.position)))
            raise UnprocessableError(f"There is no tier {tier}; there are {slugs}.")
        if product_id in known:
            if known[product_id].tier != tier:
                raise UnprocessableError(
                    f"{product_id} is of the tier {known[product_id].tier} already."
                )
            continue
        try:
            gateway.check_product(product_id)
        except NotFoundError as error:
            raise UnprocessableError(f"Stripe has no product {product_id}.") from error
        session.add(ImportedProduct(id=product_id, tier_slug=tier, imported_at=now()))
    session.flush()


def customers_to_import(
    session: Session, gateway: Gateway, products: Mapping[str, str], seen: Callable[[int], None]
) -> list[str]:
    """Customers of these products that aren't synced yet, in the order in which they subscribed.

    Calls ``seen`` with the number of subscriptions read.
    """
    began = _began(gateway, products, seen)
    imported_at = {row.id: row.imported_at for row in session.scalars(select(ImportedProduct))}
    newest = max(imported_at[product] for product in products if product in imported_at)
    settled = set(session.scalars(select(Customer.id).where(Customer.settled_at >= newest)))
    return sorted(began.keys() - settled, key=lambda customer: (began[customer], customer))


def customers_to_bring_back(
    session: Session, gateway: Gateway, seen: Callable[[int], None]
) -> list[str]:
    """Customers with memberships at Stripe that we don't know, in the order they subscribed.

    Calls ``seen`` with the number of subscriptions read.
    """
    known = set(session.scalars(select(Membership.reference)))
    began = _began(gateway, our_products(session), seen, but=known)
    return sorted(began, key=lambda customer: (began[customer], customer))


def _began(
    gateway: Gateway,
    products: Collection[str],
    seen: Callable[[int], None],
    *,
    but: Collection[str] = (),
) -> dict[str, datetime]:
    """When each subscriber of these products first subscribed, except for these subscriptions."""
    began: dict[str, datetime] = {}
    cursor = None
    while True:
        page = gateway.list_subscriptions(cursor)
        for found in page.facts:
            if found.id not in but and found.only(products):
                customer = found.customer_id
                began[customer] = min(began.get(customer, found.started_at), found.started_at)
        seen(len(page.facts))
        cursor = page.next
        if cursor is None:
            return began
