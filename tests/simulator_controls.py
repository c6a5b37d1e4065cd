"""Negative controls for the simulator's checks, and what the checks of its billing share."""

from collections.abc import Callable
from typing import Any

import pytest
import requests
import stripe

from tests.simulator_parts import SUCCEEDS, Simulator

Check = Callable[[Simulator], None]
# How a check fails: by its own words, or where the simulator refuses or does not.
FAILS = (AssertionError, stripe.StripeError, pytest.fail.Exception)


class Controls:
    """The checks of one file, each with the behaviours without which it has to fail."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, Check]] = []

    def needs(self, *names: str) -> Callable[[Check], Check]:
        """Mark a check as one that notices when these behaviours are missing."""

        def register(check: Check) -> Check:
            self.pairs += [(name, check) for name in names]
            return check

        return register

    def notices(self, simulator: Simulator, name: str) -> None:
        """Run each check of this behaviour without it, and expect that it fails."""
        for one, check in self.pairs:
            if one == name:
                with simulator.without(name), pytest.raises(FAILS):
                    check(simulator)

    @property
    def names(self) -> list[str]:
        return sorted({name for name, _ in self.pairs})


def member(simulator: Simulator) -> Any:
    return simulator.subscription(simulator.subscribe())


def update(simulator: Simulator, found: Any, **params: Any) -> Any:
    whole: Any = params
    return simulator.client.v1.subscriptions.update(found.id, whole)


def again(simulator: Simulator, found: Any) -> Any:
    return simulator.client.v1.subscriptions.retrieve(found.id)


def paid(simulator: Simulator, found: Any) -> list[int]:
    """What was charged, oldest first."""
    params: Any = {"customer": found.customer, "limit": 100}
    charges = simulator.client.v1.charges.list(params).data
    return [charge.amount for charge in charges if charge.paid][::-1]


def invoices(simulator: Simulator, found: Any) -> list[Any]:
    """The subscription's invoices, newest first."""
    params: Any = {"subscription": found.id, "limit": 100}
    return list(simulator.client.v1.invoices.list(params).data)


def cancel_in_the_portal(simulator: Simulator, found: Any, action: str = "cancel") -> Any:
    page = f"{simulator.portal(found)}/subscriptions/{found.id}"
    assert requests.post(page, data={"action": action}, timeout=10).ok
    return again(simulator, found)


def price_of(simulator: Simulator, **params: Any) -> Any:
    """A monthly price of a product of its own."""
    product = simulator.client.v1.products.create(params={"name": "Reader"})
    usual = {"currency": "eur", "product": product.id, "recurring": {"interval": "month"}}
    whole: Any = {**usual, **params}
    return simulator.client.v1.prices.create(params=whole)


def with_card(simulator: Simulator, card: str = SUCCEEDS) -> str:
    """A customer with a card, who bought something else before."""
    session = simulator.subscribe(card)
    found = simulator.subscription(session)
    method = found.default_payment_method
    settings: Any = {"invoice_settings": {"default_payment_method": method}}
    simulator.client.v1.customers.update(found.customer, settings)
    simulator.client.v1.subscriptions.cancel(found.id)
    return str(found.customer)


def subscribe(simulator: Simulator, customer: str, **params: Any) -> Any:
    items = params.pop("items", None) or [{"price": simulator.price()}]
    whole: Any = {"customer": customer, "items": items, **params}
    return simulator.client.v1.subscriptions.create(whole)


def coupon(simulator: Simulator, **params: Any) -> str:
    whole: Any = params
    return str(simulator.client.v1.coupons.create(whole).id)


def preview(simulator: Simulator, found: Any, **details: Any) -> Any:
    params: Any = {"subscription": found.id}
    if details:
        params["subscription_details"] = details
    return simulator.client.v1.invoices.create_preview(params)


def other_amount(found: Any, amount: int, interval: str = "month") -> Any:
    """Items with another amount for the first item."""
    item = found["items"].data[0]
    data = {
        "currency": found.currency,
        "product": item.price.product,
        "recurring": {"interval": interval},
        "unit_amount": amount,
    }
    return [{"id": item.id, "price_data": data}]
