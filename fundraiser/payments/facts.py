"""What Stripe says, as plain facts: what the gateway hands on, and nothing of Stripe's SDK."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, cast

Fact = TypeVar("Fact")


@dataclass(frozen=True, slots=True)
class Card:
    """A card that is charged; it is good until the end of its month."""

    last4: str
    month: int
    year: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """``cancel_at`` is set wherever it will end, be it by date or at the period's end.

    ``card`` is its own, where it has one. ``cancel_reason`` and ``cancel_feedback`` are Stripe's
    words for why it ends.
    """

    id: str
    customer_id: str
    customer_deleted: bool
    status: str
    product_id: str
    amount: int
    currency: str
    interval: str
    collection_paused: bool
    started_at: datetime
    period_end: datetime
    cancel_at: datetime | None
    canceled_at: datetime | None
    ended_at: datetime | None
    metadata: dict[str, str]
    card: Card | None = None
    cancel_reason: str | None = None
    cancel_feedback: str | None = None


@dataclass(frozen=True, slots=True)
class Invoice:
    """``intents`` are the payment intents that try to pay it, ``pay_url`` the page to pay it on."""

    id: str
    subscription_id: str | None
    status: str
    amount: int
    attempted: bool
    created_at: datetime
    paid_at: datetime | None
    intents: frozenset[str]
    pay_url: str | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """``refunded_at`` is when it was refunded whole; ``dispute`` the newest dispute's status.

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


@dataclass(frozen=True, slots=True)
class CustomerState:
    """All that a settlement looks at, newest first; fetched after the customer's lock was taken.

    ``card`` is what pays for subscriptions without a card of their own.
    """

    id: str
    deleted: bool
    email: str | None
    name: str | None
    country: str | None
    subscriptions: tuple[Subscription, ...]
    invoices: tuple[Invoice, ...]
    charges: tuple[Charge, ...]
    card: Card | None = None


@dataclass(frozen=True, slots=True)
class SessionState:
    """What became of a Checkout session; ``status`` is open, complete or expired."""

    id: str
    status: str
    customer_id: str | None


@dataclass(frozen=True, slots=True)
class Knock:
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


def read_event(event: dict[str, Any]) -> Knock:
    """Who an event of Stripe's, as its JSON has it, speaks of."""
    subject = event["data"]["object"]
    kind = subject["object"]
    customer = subject["id"] if kind == "customer" else name_of(subject.get("customer"))
    charge = name_of(subject.get("charge")) if kind in {"dispute", "refund"} else None
    return Knock(
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
