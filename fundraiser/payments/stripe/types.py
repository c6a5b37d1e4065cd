"""What Stripe says, as plain facts: what the gateway hands on, and nothing of Stripe's SDK."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Collection

Fact = TypeVar("Fact")
# In a subscription's metadata: the charge that paid for its first period before it was made.
PAID_BY_KEY = "fundraiser_paid_by"


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """A way to pay: ``type`` is Stripe's word (card, sepa_debit, us_bank_account, paypal, link, …).

    Only a card has ``month`` and ``year``; it is good until the end of that month.
    """

    id: str
    type: str
    created_at: datetime
    last4: str | None = None
    month: int | None = None
    year: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a subscription; ``price`` is for the whole quantity, in the smallest unit.

    ``price`` is None where Stripe does not list it: a price in tiers, or one in several currencies.
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
    """A coupon in force: ``percent`` or ``amount`` (smallest unit) off, until ``end`` if it ends.

    ``is_known`` is False where Stripe names only the discount's ID.
    """

    percent: float | None = None
    amount: int | None = None
    end: datetime | None = None
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class Subscription:
    """``cancel_at`` is set wherever it will end, be it by date or at the period's end.

    ``method`` is its own payment method, where it has one; it goes before the customer's.
    ``waiting_invoice_id`` is the invoice whose payment a change waits for, for 23 hours.
    ``schedule_id`` is set while a subscription schedule manages it. ``other_price`` is the price of
    the items that are not ours, once ``only`` has left them out. ``cancel_reason`` and
    ``cancel_feedback`` are Stripe's words for why it ends.
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
    other_price: int = 0

    def only(self, products: Collection[str]) -> Subscription | None:
        """The subscription with the items of these products alone; None if it has none of them."""
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
        """The list price each interval, before discounts; None where Stripe does not list it."""
        prices = [item.price for item in self.items]
        return None if None in prices else sum(price or 0 for price in prices)

    def charged(self, price: int) -> int | None:
        """What the next invoice asks for ``price`` after discounts; None if it can't be told."""
        for discount in self.discounts:
            if not discount.is_known:
                return None
            if discount.end and discount.end <= self.period_end:
                continue
            if discount.percent is not None:
                price -= round(price * discount.percent / 100)
            elif discount.amount:
                # A sum off the whole subscription is shared out over its items.
                whole = price + self.other_price
                price -= round(discount.amount * price / whole) if whole else 0
        return max(0, price)

    @property
    def discount_until(self) -> datetime | None:
        """When a discount that applies to the next invoice ends; None if none does, or it stays."""
        ends = [d.end for d in self.discounts if d.end and d.end > self.period_end]
        return min(ends, default=None)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an invoice: what it asks for a time; ``is_proration``: for a change in between.

    What staff add once, as an invoice item, is for no time: it starts and ends at one moment.
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
    """``intents`` are the payment intents that try to pay it, ``pay_url`` the page to pay it on.

    ``charges`` are those of payments without an intent, as old ones are. ``due_at`` is set where
    the invoice is sent by e-mail to be paid by then. ``amount`` is its total after discounts,
    ``remaining`` what is still to be paid of it. ``to_confirm``: the bank waits for the payer.
    ``next_attempt_at`` is when Stripe tries to collect it again, if it does.
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
        """Whether it asks only for a difference, or for what staff added, and for no period."""
        return bool(self.lines) and not any(line.is_of_period for line in self.lines)

    @property
    def is_free(self) -> bool:
        """Whether it gives a period away: a trial's, or one with all of it taken off."""
        return self.amount == 0 and not any(line.is_proration for line in self.lines)

    @property
    def until(self) -> datetime | None:
        """The end of the period that it asks for."""
        return max((line.ends_at for line in self.lines if line.is_of_period), default=None)


@dataclass(frozen=True, slots=True)
class Charge:
    """``refunded_at`` is when it was refunded whole; ``dispute`` the newest dispute's status.

    ``refund_failed``: the payer's bank sent its latest refund back to us.

    ``is_debit``: of a bank account, so that whoever paid was told that it may take days.
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
    """All that a settlement looks at, newest first; fetched after the customer's lease was taken.

    ``method`` is what pays for subscriptions without a method of their own. ``credit`` (smallest
    unit of ``currency``) is what is left over from earlier payments: it pays next invoices first.
    ``account_to_confirm``: a payment waits for its payer to confirm a bank account at Stripe.
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
    """A payment from a bank account that the payer confirms by a small deposit that arrives there.

    ``address`` is Stripe's page for that, while it is waited for; ``has_failed`` once it is over.
    """

    address: str | None = None
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class SessionState:
    """What became of a Checkout session; ``status`` is open, complete or expired."""

    id: str
    status: str
    customer_id: str | None


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """An event that said who to look at: a customer, or a charge whose customer is to be found."""

    id: str
    type: str
    livemode: bool
    created_at: datetime
    customer_id: str | None
    charge_id: str | None


@dataclass(frozen=True, slots=True)
class ChargeNews:
    """What a list of refunds or disputes says of a charge; None where that list does not say it."""

    charge_id: str
    customer_id: str | None
    refunded: int | None
    dispute: str | None


@dataclass(frozen=True, slots=True)
class Movement:
    """What moved the balance at Stripe; ``net`` is ``amount`` less ``fee``.

    ``category`` is Stripe's reporting category; ``charge_id`` the charge that it is, if it is one.
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
    """A payout to the newsroom's bank; ``listed`` once Stripe says what is in it."""

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
    """A page of one of Stripe's lists, newest first; ``next`` is where the next page begins."""

    facts: tuple[Fact, ...]
    next: str | None


def read_event(event: dict[str, Any]) -> StripeEvent:
    """Who an event of Stripe's, as its JSON has it, speaks of."""
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
    """The id of a thing at Stripe."""
    if value is None or isinstance(value, str):
        return value
    return cast("str", value["id"])


def time_of(seconds: int) -> datetime:
    """A time as Stripe writes it."""
    return datetime.fromtimestamp(seconds, UTC)
