"""Compute a Checkout session's amounts: items, trial, coupons, promotion code."""

from simulator.core import amounts, discounts, items
from simulator.core.errors import refused
from simulator.core.lines import Line, shown, summed
from simulator.core.shapes import Object
from simulator.core.world import World

# A stand-in for the subscription that a session has not made yet.
TO_COME: Object = {"id": "sub_to_come", "metadata": {}}


def priced(world: World, session: Object, at: int) -> Object:
    """The session with its amounts."""
    found = session["_items"]
    if not found:
        return session
    pairs = [coupon_of(world, one, session["currency"], at) for one in session["_codes"]]
    lines = [
        shown(
            Line(
                description=one["description"],
                amount=one["amount_subtotal"],
                start=at,
                end=at,
                price=one["price"],
                quantity=one["quantity"],
            ),
            place,
            session["id"],
            TO_COME,
            session["currency"],
        )
        for place, one in enumerate(found)
    ]
    sums = summed(lines, pairs)
    free = trial_end(session, at) is not None
    priced_items = [
        {
            **one,
            "amount_discount": (taken := sum(part["amount"] for part in line["discount_amounts"])),
            "amount_total": 0 if free else one["amount_subtotal"] - taken,
        }
        for one, line in zip(found, sums["lines"], strict=True)
    ]
    total = sum(one["amount_total"] for one in priced_items)
    off = 0 if free else sums["subtotal"] - total
    blank = {"coupon": None, "promotion_code": None}
    return {
        **session,
        "_items": priced_items,
        "amount_subtotal": 0 if free else sums["subtotal"],
        "amount_total": total,
        "discounts": [{**blank, **one} for one in session["_codes"]],
        "total_details": {"amount_discount": off, "amount_shipping": 0, "amount_tax": 0},
    }


def coupon_of(world: World, given: Object, currency: str, at: int) -> tuple[Object, Object]:
    """A discount's coupon, or Stripe's refusal."""
    _, coupon = discounts.chosen(world, given, at, "discounts[0]")
    found = discounts.in_currency(coupon, currency)
    if found is None:
        raise refused(
            f"The coupon {coupon['id']} cannot be applied to a session in {currency}.", "discounts"
        )
    return {"id": "di_to_come"}, found


def given_codes(params: Object, mode: str) -> list[Object]:
    """The coupon or promotion code given when the session was made."""
    codes: list[Object] = params.get("discounts", [])
    if codes and "allow_promotion_codes" in params:
        raise refused(
            "You may only specify one of these parameters: allow_promotion_codes, discounts.",
            "discounts",
        )
    if len(codes) > 1:
        raise refused("A session takes one discount.", "discounts")
    if mode != "subscription" and (codes or params.get("allow_promotion_codes")):
        raise refused("The simulator's discounts go with subscriptions.", "discounts")
    return codes


def apply_code(world: World, session: Object, typed: str, at: int) -> Object | None:
    """The session with the typed promotion code; None if it doesn't exist."""
    allowed = session["allow_promotion_codes"] and world.on("promotion_codes")
    code = discounts.code_named(world, typed.strip()) if allowed else None
    if code is None:
        return None
    return priced(world, {**session, "_codes": [{"promotion_code": code["id"]}]}, at)


def trial_end(session: Object, at: int) -> int | None:
    told = session.get("_subscription_data", {})
    days = told.get("trial_period_days")
    return at + int(days) * 86400 if days else told.get("trial_end")


def amount_of(price: Object, quantity: int, currency: str, where: str) -> int:
    """A line item's amount in the session's currency."""
    known = amounts.in_currency(price, currency, f"{where}[price]")
    amount = amounts.times({}, known, quantity)
    amounts.must_fit(amount, currency, where)
    return amount


def start_fields(world: World, session: Object, customer: str, at: int) -> Object:
    """Further fields for the session's new subscription."""
    first, *more = session["_items"]
    currency = session["currency"]
    names = {"customer": customer, "session": session["id"]}
    redeemed = discounts.redeem(world, session["_codes"], at=at, **names)
    return {
        "price": first["price"],
        "quantity": first["quantity"],
        "more_items": [(one["price"], one["quantity"]) for one in more],
        "trial_end": trial_end(session, at),
        "metadata": session["_subscription_data"].get("metadata"),
        "description": session["_subscription_data"].get("description"),
        "currency": currency,
        "_units": items.units([one["price"] for one in session["_items"]], currency),
        **discounts.fields(world, redeemed),
    }
