"""Our types for Stripe's objects; independent of Stripe's SDK."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Collection

Fact = TypeVar("Fact")
# In a subscription's metadata: the charge that paid for its first period in advance.
PAID_BY_KEY = "fundraiser_paid_by"


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """A payment method; ``type`` is Stripe's (card, sepa_debit, us_bank_account, paypal, link, …).

    Only a card has ``month`` and ``year``; it works until the end of that month.
    """

    id: str
    type: str
    created_at: datetime
    last4: str | None = None
    month: int | None = None
    year: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a subscription; ``price`` is for the whole quantity, in the smallest unit.

    ``price`` is None if Stripe doesn't list it: tiered prices, and some in several currencies.
    """

    id: str
    product_id: str
    price_id: str
    price: int | None
    interval: str
    interval_count: int
    period_start: datetime
    period_end: datetime


@dataclass(frozen=True, slots=True)
class Discount:
    """An active coupon: ``percent`` or ``amount`` (smallest unit) off, until ``end`` if set.

    ``is_known`` is False if Stripe gives only the discount's ID.
    """

    percent: float | None = None
    amount: int | None = None
    end: datetime | None = None
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription; ``cancel_at`` is set whenever it will end, by date or at the period's end.

    ``method`` is its own payment method, if any; it takes precedence over the customer's.
    ``waiting_invoice_id`` is the invoice of a change that waits for its payment, for 23 hours.
    ``schedule_id`` is set while a schedule manages it. ``other_price`` is the price of items that
    aren't ours, once ``only`` has removed them. ``resumes_at`` is when a pause ends.
    ``cancel_reason`` and ``cancel_feedback`` are Stripe's values for why it ends, and
    ``cancel_comment`` the member's own words.
    """

    id: str
    customer_id: str
    customer_deleted: bool
    status: str
    items: tuple[Item, ...]
    currency: str
    collection_paused: bool
    started_at: datetime
    cancel_at: datetime | None
    cancels_at_period_end: bool
    canceled_at: datetime | None
    ended_at: datetime | None
    metadata: dict[str, str]
    method: PaymentMethod | None = None
    discounts: tuple[Discount, ...] = ()
    trial_end: datetime | None = None
    schedule_id: str | None = None
    waiting_invoice_id: str | None = None
    collection_method: str = "charge_automatically"
    days_until_due: int | None = None
    cancel_reason: str | None = None
    cancel_feedback: str | None = None
    cancel_comment: str | None = None
    other_price: int = 0
    resumes_at: datetime | None = None

    def only(self, products: Collection[str]) -> Subscription | None:
        """The subscription with only the items of these products; None if it has none."""
        ours = tuple(item for item in self.items if item.product_id in products)
        if not ours:
            return None
        others = sum(item.price or 0 for item in self.items if item not in ours)
        return replace(self, items=ours, other_price=others)

    @property
    def is_on_trial(self) -> bool:
        return self.status == "trialing"

    @property
    def product_id(self) -> str:
        return self.items[0].product_id

    @property
    def interval(self) -> str:
        return self.items[0].interval

    @property
    def interval_count(self) -> int:
        return self.items[0].interval_count

    @property
    def period_start(self) -> datetime:
        return self.items[0].period_start

    @property
    def period_end(self) -> datetime:
        return self.items[0].period_end

    @property
    def price(self) -> int | None:
        """The list price each interval, before discounts; None if Stripe doesn't list it."""
        prices = [item.price for item in self.items]
        return None if None in prices else sum(price or 0 for price in prices)

    def charged(self, price: int) -> int | None:
        """The next invoice's amount for ``price`` after discounts; None if unknown."""
        for discount in self.discounts:
            if not discount.is_known:
                return None
            if discount.end and discount.end <= self.period_end:
                continue
            if discount.percent is not None:
                price -= round(price * discount.percent / 100)
            elif discount.amount:
                # A fixed discount on the subscription is divided among its items.
                whole = price + self.other_price
                price -= round(discount.amount * price / whole) if whole else 0
        return max(0, price)

    @property
    def discount_until(self) -> datetime | None:
        """When a discount on the next invoice ends; None if there is none, or it has no end."""
        ends = [d.end for d in self.discounts if d.end and d.end > self.period_end]
        return min(ends, default=None)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an invoice, for a period; ``is_proration``: for a change within the period.

    An invoice item that staff add has no period: it starts and ends at one moment.
    """

    item_id: str | None
    amount: int
    starts_at: datetime
    ends_at: datetime
    is_proration: bool

    @property
    def is_of_period(self) -> bool:
        """Whether it pays for a period."""
        return not self.is_proration and self.ends_at > self.starts_at


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice; ``intents`` are payment intents that try to pay it, ``pay_url`` its payment page.

    ``charges`` are payments without an intent, as old ones are. ``due_at`` is set if the invoice is
    e-mailed to be paid by then. ``amount`` is the total after discounts, ``remaining`` the unpaid
    part. ``to_confirm``: the bank waits for the payer. ``next_attempt_at`` is when Stripe retries,
    if it does.
    """

    id: str
    subscription_id: str | None
    status: str
    amount: int
    remaining: int
    attempted: bool
    created_at: datetime
    paid_at: datetime | None
    intents: frozenset[str]
    pay_url: str | None = None
    due_at: datetime | None = None
    to_confirm: bool = False
    charges: frozenset[str] = frozenset()
    lines: tuple[Line, ...] = ()
    next_attempt_at: datetime | None = None

    @property
    def is_difference(self) -> bool:
        """Whether it asks only for a price difference or an added item, and for no period."""
        return bool(self.lines) and not any(line.is_of_period for line in self.lines)

    @property
    def is_free(self) -> bool:
        """Whether it is for a free period: a trial, or one fully discounted."""
        return self.amount == 0 and not any(line.is_proration for line in self.lines)

    @property
    def until(self) -> datetime | None:
        """The end of the invoiced period."""
        return max((line.ends_at for line in self.lines if line.is_of_period), default=None)


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge; ``refunded_at`` is the time of a full refund, ``dispute`` the latest one's status.

    ``refund_failed``: the payer's bank returned its latest refund.

    ``is_debit``: a bank debit, so we told the payer that it may take days.
    """

    id: str
    intent_id: str | None
    status: str
    amount: int
    refunded: int
    currency: str
    created_at: datetime
    refunded_at: datetime | None
    dispute: str | None
    disputed_at: datetime | None
    failure: str | None
    metadata: dict[str, str]
    is_debit: bool = False
    refund_failed: bool = False


@dataclass(frozen=True, slots=True)
class CustomerState:
    """All that a sync reads about a customer, latest first; fetched under the customer's lease.

    ``method`` pays for subscriptions without their own. ``credit`` (smallest unit of ``currency``)
    is left from earlier payments and pays the next invoices first. ``account_to_confirm``: a
    payment waits for its payer to confirm a bank account at Stripe.
    """

    id: str
    deleted: bool
    email: str | None
    name: str | None
    country: str | None
    subscriptions: tuple[Subscription, ...]
    invoices: tuple[Invoice, ...]
    charges: tuple[Charge, ...]
    method: PaymentMethod | None = None
    credit: int = 0
    currency: str = ""
    account_to_confirm: bool = False


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A bank payment that the payer confirms with a small deposit.

    ``address`` is Stripe's page for it while it waits; ``has_failed`` once it has failed.
    """

    address: str | None = None
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class SessionState:
    """The result of a Checkout session; ``status`` is open, complete or expired."""

    id: str
    status: str
    customer_id: str | None


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """A parsed event: which customer it is about, or which charge if the customer is unknown."""

    id: str
    type: str
    livemode: bool
    created_at: datetime
    customer_id: str | None
    charge_id: str | None


@dataclass(frozen=True, slots=True)
class ChargeNews:
    """What a list of refunds or disputes says about a charge; None for what it doesn't say."""

    charge_id: str
    customer_id: str | None
    refunded: int | None
    dispute: str | None


@dataclass(frozen=True, slots=True)
class Movement:
    """A balance transaction at Stripe; ``net`` is ``amount`` less ``fee``.

    ``category`` is Stripe's reporting category; ``charge_id`` is set if it is a charge.
    """

    id: str
    category: str
    amount: int
    fee: int
    net: int
    currency: str
    created_at: datetime
    available_at: datetime
    source_id: str | None
    charge_id: str | None
    description: str | None


@dataclass(frozen=True, slots=True)
class PayoutState:
    """A payout to the newsroom's bank; ``listed`` once Stripe lists its contents."""

    id: str
    amount: int
    currency: str
    status: str
    listed: bool
    created_at: datetime
    arrives_at: datetime
    failure: str | None


@dataclass(frozen=True, slots=True)
class Page(Generic[Fact]):
    """A page of one of Stripe's lists, latest first; ``next`` is the next page's cursor."""

    facts: tuple[Fact, ...]
    next: str | None


def read_event(event: dict[str, Any]) -> StripeEvent:
    """Parse an event's JSON: the customer or charge that it is about."""
    subject = event["data"]["object"]
    kind = subject["object"]
    customer = subject["id"] if kind == "customer" else name_of(subject.get("customer"))
    charge = name_of(subject.get("charge")) if kind in {"dispute", "refund"} else None
    return StripeEvent(
        id=event["id"],
        type=event["type"],
        livemode=event["livemode"],
        created_at=time_of(event["created"]),
        customer_id=customer,
        charge_id=None if customer else charge,
    )


def name_of(value: Any) -> str | None:  # noqa: ANN401 - Stripe gives an id, an object or nothing
    """The ID of an object, whether expanded or not."""
    if value is None or isinstance(value, str):
        return value
    return cast("str", value["id"])


def time_of(seconds: int) -> datetime:
    """Parse a Stripe timestamp."""
    return datetime.fromtimestamp(seconds, UTC)
