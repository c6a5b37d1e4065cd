"""Compute prices: fractions of a penny, several currencies, minimum and maximum amounts."""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from simulator.core.errors import StripeError, refused
from simulator.core.shapes import Object

MOST = 99_999_999
# Stripe counts these in whole units; of the others, some only in steps.
ZERO_DECIMAL = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()  # noqa: SIM905 - a table
)
STEPS = {"isk": 100, "ugx": 100, "bhd": 10, "jod": 10, "kwd": 10, "omr": 10, "tnd": 10}


def unit(subscription: Object, price: Object) -> Decimal:
    """A price's exact amount in the subscription's currency, fractions included."""
    other = subscription.get("_units", {}).get(price["id"])
    whole = price["unit_amount"]
    return Decimal(other or (price["unit_amount_decimal"] if whole is None else whole))


def rounded(amount: Decimal) -> int:
    """Round to the smallest unit, halves up, as Stripe rounds each line."""
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def times(subscription: Object, price: Object, quantity: int) -> int:
    """The amount of a quantity of a price for a whole period."""
    return rounded(unit(subscription, price) * quantity)


def part(subscription: Object, price: Object, quantity: int, share: Fraction) -> Fraction:
    """The exact amount for a share of a period."""
    return Fraction(unit(subscription, price)) * quantity * share


def must_fit(amount: int, currency: str, param: str) -> None:
    """Refuse an amount above Stripe's maximum, or between a currency's steps."""
    if amount > MOST:
        most = f"{MOST:,}" if currency in ZERO_DECIMAL else f"{MOST / 100:,.2f}"
        raise StripeError(
            f"Amount must be no more than {most} {currency}", code="amount_too_large", param=param
        )
    step = STEPS.get(currency, 1)
    if amount % step:
        raise refused(f"Amounts in {currency} must be divisible by {step}.", param)


def in_currency(price: Object, currency: str, param: str) -> Object:
    """The price's amounts in a currency, or Stripe's refusal if it lacks them."""
    if price["currency"] == currency:
        return price
    found = price.get("_currency_options", {}).get(currency)
    if found is None:
        raise refused(
            f"The price specified only supports `{price['currency']}`. This doesn't match the"
            f" expected currency: `{currency}`.",
            param,
        )
    return {**price, **found, "currency": currency}
