"""An invoice's lines and totals with discounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from simulator.core import amounts
from simulator.core.shapes import PREFIXES, Object

ZERO_DECIMAL_TEXT = "0"


@dataclass(frozen=True, kw_only=True)
class Line:
    """An invoice line; `item` is the subscription item's ID, `pending` the invoice item's."""

    description: str
    amount: int
    start: int
    end: int
    price: Object | None = None
    quantity: int = 1
    unit: str | None = None
    item: str | None = None
    pending: str | None = None
    prorated: bool = False


def of_items(subscription: Object) -> list[Line]:
    """A line for each item's current period."""
    return [_of_item(subscription, item) for item in subscription["items"]["data"]]


def _of_item(subscription: Object, item: Object) -> Line:
    price, quantity = item["price"], item["quantity"]
    return Line(
        description=f"{quantity} x {price.get('nickname') or 'Membership'}",
        amount=amounts.times(subscription, price, quantity),
        start=item["current_period_start"],
        end=item["current_period_end"],
        price=price,
        quantity=quantity,
        unit=str(amounts.unit(subscription, price)),
        item=item["id"],
    )


def free(subscription: Object) -> list[Line]:
    """The zero lines of a trial."""
    return [
        Line(
            description=f"Free trial for {line.quantity} x Membership",
            amount=0,
            start=line.start,
            end=line.end,
            price=line.price,
            quantity=line.quantity,
            unit=ZERO_DECIMAL_TEXT,
            item=line.item,
        )
        for line in of_items(subscription)
    ]


def shown(line: Line, place: int, invoice: str, subscription: Object, currency: str) -> Object:
    """The line as the API shows it; the first one's ID ends like the invoice's."""
    ending = invoice.removeprefix(PREFIXES["invoice"]) if place == 0 else f"{invoice[-14:]}{place}"
    pricing = None
    if line.price:
        pricing = {
            "price_details": {"price": line.price["id"], "product": line.price["product"]},
            "type": "price_details",
            "unit_amount_decimal": line.unit,
        }
    return {
        "id": f"{PREFIXES['line_item']}{ending}",
        "object": "line_item",
        "amount": line.amount,
        "currency": currency,
        "description": line.description,
        "discount_amounts": [],
        "discountable": not line.prorated,
        "discounts": [],
        "invoice": invoice,
        "livemode": False,
        "metadata": subscription.get("metadata", {}),
        "parent": _parent(line, subscription["id"]),
        "period": {"start": line.start, "end": line.end},
        "pretax_credit_amounts": [],
        "pricing": pricing,
        "quantity": line.quantity,
        "subtotal": line.amount,
        "taxes": [],
    }


def _parent(line: Line, subscription: str) -> Object:
    details = {
        "invoice_item": line.pending,
        "proration": line.prorated,
        "proration_details": {"credited_items": None},
        "subscription": subscription,
    }
    if line.item is None:
        return {
            "invoice_item_details": details,
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
    return {
        "invoice_item_details": None,
        "subscription_item_details": {**details, "subscription_item": line.item},
        "type": "subscription_item_details",
    }


def summed(lines: list[Object], discounts: Sequence[tuple[Object, Object]]) -> Object:
    """The invoice's lines and totals; `discounts` are pairs of discount and coupon."""
    subtotal = sum(line["amount"] for line in lines)
    left = [line["amount"] if line["discountable"] else 0 for line in lines]
    taken: list[Object] = []
    for discount, coupon in discounts:
        shares = _shares(coupon, left, lines)
        left = [amount - share for amount, share in zip(left, shares, strict=True)]
        taken.append({"amount": sum(shares), "discount": discount["id"]})
        lines = [_marked(line, one, discount) for line, one in zip(lines, shares, strict=True)]
    total = subtotal - sum(one["amount"] for one in taken)
    return {
        "lines": lines,
        "discounts": [discount["id"] for discount, _ in discounts],
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": total,
        "total_excluding_tax": total,
        "total_discount_amounts": taken,
        "total_pretax_credit_amounts": [{**one, "type": "discount"} for one in taken],
    }


def _shares(coupon: Object, left: list[int], lines: list[Object]) -> list[int]:
    """A coupon's discount on each line."""
    only = (coupon.get("applies_to") or {}).get("products")
    open_to = [
        amount if amount > 0 and (only is None or _product(line) in only) else 0
        for amount, line in zip(left, lines, strict=True)
    ]
    if coupon["percent_off"] is not None:
        percent = Decimal(str(coupon["percent_off"])) / 100
        return [amounts.rounded(amount * percent) for amount in open_to]
    rest, whole = coupon["amount_off"], sum(open_to)
    rest = min(rest, whole)
    shares = []
    for amount in open_to:
        share = min(amount, amounts.rounded(Decimal(rest) * amount / whole)) if whole else 0
        shares.append(share)
        rest, whole = rest - share, whole - amount
    return shares


def _product(line: Object) -> str | None:
    return line["pricing"]["price_details"]["product"] if line["pricing"] else None


def _marked(line: Object, share: int, discount: Object) -> Object:
    if not line["discountable"]:
        return line
    amount = {"amount": share, "discount": discount["id"]}
    return {
        **line,
        "discount_amounts": [*line["discount_amounts"], amount],
        "pretax_credit_amounts": [*line["pretax_credit_amounts"], {**amount, "type": "discount"}],
    }
