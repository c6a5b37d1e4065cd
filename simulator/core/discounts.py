"""Discounts from coupons and promotion codes: amounts and duration."""

from simulator.core.errors import StripeError, refused
from simulator.core.events import emit, update
from simulator.core.objects import new_id
from simulator.core.periods import next_end
from simulator.core.shapes import Object, public
from simulator.core.world import World


def redeem(
    world: World,
    given: list[Object],
    *,
    customer: str,
    at: int,
    param: str = "discounts",
    subscription: str | None = None,
    session: str | None = None,
) -> list[str]:
    """The IDs of the discounts from these coupons, codes and discounts."""
    return [
        _redeem(
            world,
            one,
            at=at,
            param=f"{param}[{place}]",
            names={"customer": customer, "subscription": subscription, "checkout_session": session},
        )
        for place, one in enumerate(given)
    ]


def _redeem(world: World, given: Object, *, at: int, param: str, names: Object) -> str:
    if len(given) != 1:
        raise refused("Pass one of coupon, discount and promotion_code.", param)
    if "discount" in given:
        return str(world.must("discount", given["discount"], f"{param}[discount]")["id"])
    code, coupon = chosen(world, given, at, param)
    counted = coupon["times_redeemed"] + 1
    used_up = coupon["max_redemptions"] is not None and counted >= coupon["max_redemptions"]
    world.store.put({**coupon, "times_redeemed": counted, "valid": not used_up})
    if code:
        world.store.put({**code, "times_redeemed": code["times_redeemed"] + 1})
    months = coupon["duration_in_months"]
    made = world.store.put(
        {
            "id": new_id("discount"),
            "object": "discount",
            **names,
            "promotion_code": code["id"] if code else None,
            "source": {"coupon": coupon["id"], "type": "coupon"},
            "start": at,
            "end": next_end(at, at, "month", months) if months else None,
        }
    )
    emit(world, "customer.discount.created", made, at)
    return str(made["id"])


def chosen(world: World, given: Object, at: int, param: str) -> tuple[Object | None, Object]:
    """The promotion code, if any, and the coupon; refuses what can't be redeemed now."""
    code = None
    if "promotion_code" in given:
        code = world.must("promotion_code", given["promotion_code"], f"{param}[promotion_code]")
        coupon = world.store.one(code["promotion"]["coupon"])
        most, until = code["max_redemptions"], code["expires_at"]
        over = (most is not None and code["times_redeemed"] >= most) or (until or at + 1) <= at
        if not code["active"] or over:
            raise refused(
                "This promotion code cannot be redeemed.", param, "promotion_code_expired"
            )
    else:
        coupon = world.must("coupon", given["coupon"], f"{param}[coupon]")
    _must_be_valid(coupon, at)
    return code, coupon


def code_named(world: World, code: str) -> Object | None:
    """The active promotion code with this text, ignoring case."""
    found = world.store.find("promotion_code", where={"key": code.lower()})
    return next((one for one in found if one["active"]), None)


def give(world: World, customer: Object, coupon: str, at: int) -> Object:
    """Give a customer a discount, as Stripe's dashboard can and its API no longer does."""
    (made,) = redeem(world, [{"coupon": coupon}], customer=customer["id"], at=at)
    discount = public(world.store.one(made))
    return update(world, "customer.updated", customer, at, discount=discount)


def _must_be_valid(coupon: Object, at: int) -> None:
    most, until = coupon["max_redemptions"], coupon["redeem_by"]
    if until is not None and until <= at:
        why = "expired"
    elif most is not None and coupon["times_redeemed"] >= most:
        why = "used up"
    else:
        return
    raise StripeError(
        f"Coupon {coupon['id']} is {why} and cannot be applied.", code="coupon_expired"
    )


def in_force(world: World, subscription: Object, at: int) -> list[tuple[Object, Object]]:
    """The discounts of the next invoice with their coupons: its own, or the customer's."""
    if not world.on("discounts"):
        return []
    found = [world.store.get(one) for one in subscription["discounts"]]
    customer = world.store.get(subscription["customer"])
    if not subscription["discounts"] and customer and customer["discount"]:
        found = [world.store.get(customer["discount"]["id"])]
    currency = subscription["currency"]
    pairs = [(one, _coupon(world, one, currency)) for one in found if one and _lasts(one, at)]
    return [(one, coupon) for one, coupon in pairs if coupon]


def _lasts(discount: Object, at: int) -> bool:
    return discount["end"] is None or int(discount["end"]) > at


def _coupon(world: World, discount: Object, currency: str) -> Object | None:
    """The discount's coupon in a currency; a fixed amount in another currency gives nothing."""
    coupon = world.store.get(discount["source"]["coupon"]) or discount.get("_coupon")
    return in_currency(coupon, currency) if coupon else None


def in_currency(coupon: Object, currency: str) -> Object | None:
    if coupon["amount_off"] is None or coupon["currency"] == currency:
        return coupon
    other = coupon.get("_currency_options", {}).get(currency)
    return {**coupon, **other, "currency": currency} if other else None


def fields(world: World, discounts: list[str]) -> Object:
    """A subscription's discount fields, and when the next discount ends."""
    found = [world.store.get(one) for one in discounts]
    moments = [int(one["end"]) for one in found if one and one["end"] is not None]
    return {"discounts": discounts, "_discount_ends": min(moments, default=None)}


def belong(world: World, discounts: list[str], subscription: str) -> None:
    """Set the subscription of newly redeemed discounts."""
    for identity in discounts:
        world.store.put({**world.store.one(identity), "subscription": subscription})


def drop_ended(world: World, subscription: Object, at: int) -> Object:
    """The subscription without expired discounts."""
    kept = []
    for identity in subscription["discounts"]:
        found = world.store.get(identity)
        if found and not _lasts(found, at):
            emit(world, "customer.discount.deleted", found, at)
        else:
            kept.append(identity)
    return update(world, "customer.subscription.updated", subscription, at, **fields(world, kept))


def use_once(world: World, subscription: Object, invoice: Object, at: int) -> Object:
    """The subscription without one-time discounts that this paid invoice used."""
    used = {
        identity
        for identity in invoice["discounts"]
        if (found := world.store.get(identity)) and _is_once(world, found)
    }
    customer = world.store.get(invoice["customer"])
    if customer and customer["discount"] and customer["discount"]["id"] in used:
        update(world, "customer.updated", customer, at, discount=None)
    kept = [one for one in subscription["discounts"] if one not in used]
    if kept == subscription["discounts"]:
        return subscription
    return update(world, "customer.subscription.updated", subscription, at, **fields(world, kept))


def _is_once(world: World, discount: Object) -> bool:
    coupon = world.store.get(discount["source"]["coupon"])
    return coupon is not None and coupon["duration"] == "once"
