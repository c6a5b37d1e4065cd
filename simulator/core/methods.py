"""Payment methods of a customer: saved, made the default, replaced, detached.

Two places name what is charged. A subscription's own `default_payment_method` (Checkout sets it)
wins over the customer's `invoice_settings.default_payment_method` (the billing portal sets that
one only), so that a card changed in the portal is not the card that the next renewal is charged on.
"""

from simulator.core.billing import ENDED
from simulator.core.errors import StripeError
from simulator.core.events import emit, update
from simulator.core.shapes import Object
from simulator.core.world import World


def save(world: World, draft: Object, customer: str | None, at: int) -> Object:
    """Store a new payment method; tell when it belongs to a customer."""
    saved = world.store.put({**draft, "customer": customer})
    if customer:
        emit(world, "payment_method.attached", saved, at)
    return saved


def attach(world: World, method: Object, customer: str, at: int) -> Object:
    """Give the payment method to a customer; to be charged later it has to belong to one."""
    if method["customer"] == customer:
        return method
    if method["customer"]:
        raise StripeError(
            "The payment method you provided has already been attached to a customer.",
            param="payment_method",
        )
    return update(world, "payment_method.attached", method, at, customer=customer)


def detach(world: World, method: Object, at: int) -> Object:
    """Take the payment method from its customer, and from whatever named it to be charged."""
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
    """The customer's payment method of that id, or Stripe's refusal."""
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
    """What the billing portal does with a new payment method: it becomes the customer's default."""
    make_default(world, customer, method["id"], at)
    if not world.on("two_methods"):
        for subscription in _running(world, customer):
            _charge_on(world, subscription, method["id"], at)


def replace(world: World, customer: Object, method: Object, at: int) -> None:
    """Have each running subscription charged on this method: the customer's default."""
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
