"""Stripe calls for products and prices, the catalogue of what readers can pay for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import stripe

from fundraiser.errors import NotFoundError
from fundraiser.payments.stripe.calls import Calls
from fundraiser.texts import DEFAULT_LANGUAGE

if TYPE_CHECKING:
    from fundraiser.payments.models import Price, Tier


class CatalogueCalls(Calls):
    """Stripe calls for products and prices."""

    def check_product(self, product_id: str) -> None:
        """Raise ``NotFoundError`` if Stripe has no such product."""
        with self._call("products"):
            self._client.v1.products.retrieve(product_id)

    def product_name(self, product_id: str) -> str:
        """A product's name at Stripe; the ID if Stripe no longer knows it."""
        try:
            return str(self._get(f"/v1/products/{product_id}")["name"])
        except NotFoundError:
            return product_id

    def make_product(self, tier: Tier) -> str:
        """Create a tier's product; returns its ID. Safe to repeat."""
        name = f"fundraiser_{tier.slug}"
        with self._call("products"):
            try:
                return self._prompt.v1.products.create(
                    {
                        "id": name,
                        "name": tier.names[DEFAULT_LANGUAGE],
                        "metadata": {"fundraiser_tier": tier.slug},
                    }
                ).id
            except stripe.InvalidRequestError as error:
                if error.code != "resource_already_exists":
                    raise
                return name

    def update_product(self, tier: Tier, product_id: str) -> None:
        """Update a product's name, and archive it while its tier isn't on offer."""
        with self._call("products"):
            self._prompt.v1.products.update(
                product_id,
                {"name": tier.names[DEFAULT_LANGUAGE], "active": tier.retired_at is None},
            )

    def make_price(self, price: Price, product_id: str, amount: int) -> str:
        """Create a price of this amount on a tier's product; returns its ID.

        Safe to repeat for the same older price.
        """
        lookup = f"fundraiser_{price.tier_slug}_{price.interval}_{price.currency.lower()}"
        key = f"price-{lookup}-{amount}-{price.id}-{price.stripe_id}"
        with self._call("prices"):
            return self._prompt.v1.prices.create(
                {
                    "product": product_id,
                    "currency": price.currency.lower(),
                    "unit_amount": amount,
                    "recurring": {"interval": price.interval.value},
                    "lookup_key": lookup,
                    "transfer_lookup_key": True,
                },
                {"idempotency_key": key},
            ).id

    def restore_product(self, tier: Tier) -> str:
        """Unarchive or recreate a tier's product; returns its ID."""
        try:
            self.update_product(tier, tier.product_id or "")
        except NotFoundError:
            return self.make_product(tier)
        return tier.product_id or ""

    def list_active(self, kind: str) -> set[str]:
        """The IDs of all ``products`` or ``prices`` that aren't archived."""
        return {found["id"] for found in self._each(f"/v1/{kind}", active=True)}

    def archive_price(self, stripe_id: str) -> None:
        """Archive a price for new subscriptions; existing ones continue."""
        with self._call("prices"):
            self._prompt.v1.prices.update(stripe_id, {"active": False})
