"""A customer's payment methods: save, set as default, replace, detach.

Two fields choose the method. A subscription's own `default_payment_method` (set by Checkout) comes
before the customer's `invoice_settings.default_payment_method` (the only one that the billing
portal sets), so a card changed in the portal isn't charged at the next renewal.
"""

from simulator.core.billing import ENDED
from simulator.core.errors import StripeError
from simulator.core.events import emit, update
from simulator.core.shapes import Object
from simulator.core.world import World


def save(world: World, draft: Object, customer: str | None, at: int) -> Object:
    """Store a new payment method; emits an event if it belongs to a customer."""
    saved = world.store.put({**draft, "customer": customer})
    if customer:
        emit(world, "payment_method.attached", saved, at)
    return saved


def attach(world: World, method: Object, customer: str, at: int) -> Object:
    """Attach the payment method to a customer, which later charges need."""
    if method["customer"] == customer:
        return method
    if method["customer"]:
        raise StripeError(
            "The payment method you provided has already been attached to a customer.",
            param="payment_method",
        )
    return update(world, "payment_method.attached", method, at, customer=customer)


def detach(world: World, method: Object, at: int) -> Object:
    """Detach the payment method from its customer and from everything that uses it."""
    customer = world.named(method, "customer")
    if customer is None:
        raise StripeError(
            "The payment method you provided is not attached to a customer so detachment is"
            " impossible.",
            param="payment_method",
        )
    settings = customer["invoice_settings"]
    if settings["default_payment_method"] == method["id"]:
        make_default(world, customer, None, at)
    for subscription in _running(world, customer):
        if subscription["default_payment_method"] == method["id"]:
            _charge_on(world, subscription, None, at)
    return update(world, "payment_method.detached", method, at, customer=None)


def must_belong(world: World, method: str, customer: str, param: str) -> Object:
    """The customer's payment method with this ID, or Stripe's refusal."""
    found = world.must("payment_method", method, param)
    if found["customer"] != customer:
        raise StripeError(
            f"The customer does not have a payment method with the ID {method}. The payment method"
            " must be attached to the customer.",
            code="resource_missing",
            param=param,
        )
    return found


def change(world: World, customer: Object, method: Object, at: int) -> None:
    """Make a new method the customer's default, as the billing portal does."""
    make_default(world, customer, method["id"], at)
    if not world.on("two_methods"):
        for subscription in _running(world, customer):
            _charge_on(world, subscription, method["id"], at)


def replace(world: World, customer: Object, method: Object, at: int) -> None:
    """Charge each running subscription with this method, the customer's default."""
    make_default(world, customer, method["id"], at)
    for subscription in _running(world, customer):
        _charge_on(world, subscription, None, at)


def make_default(world: World, customer: Object, method: str | None, at: int) -> Object:
    settings = {**customer["invoice_settings"], "default_payment_method": method}
    return update(world, "customer.updated", customer, at, invoice_settings=settings)


def _charge_on(world: World, subscription: Object, method: str | None, at: int) -> None:
    kind = "customer.subscription.updated"
    update(world, kind, subscription, at, default_payment_method=method)


def _running(world: World, customer: Object) -> list[Object]:
    found = world.store.find("subscription", where={"customer": customer["id"]})
    return [one for one in found if one["status"] not in ENDED]
