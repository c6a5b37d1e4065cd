"""Made-up lives of members: each joined, paid, and perhaps left, as Stripe would tell of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any, NamedTuple

from demo.joining import Arrival, Arrivals
from demo.people import Person, make_person
from demo.staying import OVER, Kind, Stay, Staying
from fundraiser.config import Settings
from fundraiser.members.eligibility import Reason
from fundraiser.members.models import Cause, Dues, Interval, Source, Status
from fundraiser.payments.models import CheckoutKind, PaymentStatus
from simulator.core.billing import with_item
from simulator.core.due import DAY, RETRY_DAYS
from simulator.core.objects import build_card, build_customer, build_invoice, build_subscription
from simulator.core.payment_objects import (
    build_charge,
    build_invoice_payment,
    build_payment,
    build_payment_intent,
)
from simulator.core.shapes import Object

SEED = 25_000
FAILS_ALWAYS, WORKS = "4000000000000341", "4242424242424242"
TIERS = {
    "reader": (500, 5000),
    "member": (1000, 10000),
    "patron": (2500, 25000),
}
ROSE = ("reader", Interval.MONTH)  # who joined before the new price keeps the old one
OLD_AMOUNT, ROSE_BEFORE = 400, timedelta(days=286)
CHANGING = 0.08  # of those who have paid five times have paid for another tier before
_MANY = 5
Prices = dict[tuple[str, Interval, str], Object]


class Change(NamedTuple):
    """A person started (+1) or stopped (-1) counting."""

    at: datetime
    by: int
    cause: Cause
    reason: Reason
    reference: str


@dataclass(slots=True)
class Story:
    """What one person did; ``rows`` are the memberships', one after the other.

    Without ``changes`` it is somebody who never was a member; without ``card``, who never paid.
    """

    number: int
    person: Person
    arrival: Arrival
    card: Object | None
    recount_at: datetime | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    payments: list[dict[str, Any]] = field(default_factory=list)
    objects: list[Object] = field(default_factory=list)

    @property
    def customer_id(self) -> str:
        return customer_id(self.number)

    @property
    def joined(self) -> datetime:
        return self.arrival.at

    @property
    def counts(self) -> bool:
        return bool(self.changes) and self.changes[-1].by > 0


def customer_id(number: int) -> str:
    """The customer's ID at Stripe."""
    return f"cus_{number:06d}demo"


class Lives:
    """Makes stories from the seed."""

    def __init__(self, settings: Settings, prices: Prices, at: datetime) -> None:
        """``prices`` are those on offer."""
        self.random = Random(SEED)  # noqa: S311 - figures of a demonstration, not secrets
        self.grace = settings.grace
        self.stripe_url = settings.stripe_api_base
        self.prices = prices
        self.old_prices = {
            key: _old_price(price) for key, price in prices.items() if key[:2] == ROSE
        }
        self.at = at
        self.arrivals = Arrivals(self.random, at, settings.newsroom_timezone)
        self.staying = Staying(self.random, at, settings.grace)

    def tell(self, members: int) -> Iterator[Story]:
        """Stories until so many people count; the first show each way a membership can stand."""
        kinds = iter(Kind)
        counting = 0
        for number in count(1):
            if counting == members:
                return
            story = self._make(number, next(kinds, None) if members > len(Kind) else None)
            counting += story.counts
            yield story

    def _make(self, number: int, kind: Kind | None) -> Story:
        person = make_person(self.random, number)
        tier = self.random.choices(list(TIERS), (34, 52, 14))[0]
        interval = self.random.choices((Interval.MONTH, Interval.YEAR), (72, 28))[0]
        while True:
            arrival = self.arrivals.draw()
            stay = self.staying.draw(arrival, tier, interval)
            if kind in {None, stay.kind}:
                break
        again = self.staying.returns(stay) if kind is None else None
        stays = [stay, *([self.staying.draw(again, tier, interval)] if again else ())]
        card = build_card_of(number, person, arrival, fails=_fails(stays[-1]))
        story = Story(number, person, arrival, card)
        story.objects += [build_customer_of(story), card]
        for place, one in enumerate(stays):
            price = self._price(tier, one, person)
            membership = _Membership(story, card, one, place, tier=tier, price=price)
            membership.write(self._earlier(tier, one, person), self._open_invoice(one))
        story.recount_at = _recount_at(stays[-1], self.grace)
        return story

    def _open_invoice(self, stay: Stay) -> Object:
        """Of an overdue payment: the page to pay it, and Stripe's next attempt."""
        if stay.kind is not Kind.OVERDUE:
            return {"auto_advance": False}
        since = _seconds(stay.term.begun)
        tries = (since + day * DAY for day in RETRY_DAYS)
        following = next((at for at in tries if at > _seconds(self.at)), None)
        return {"next_payment_attempt": following, "base_url": self.stripe_url}

    def _price(self, tier: str, stay: Stay, person: Person) -> Object:
        key = (tier, stay.term.interval, person.currency)
        is_old = stay.term.joined < self.at - ROSE_BEFORE
        return (self.old_prices.get(key) if is_old else None) or self.prices[key]

    def _earlier(self, tier: str, stay: Stay, person: Person) -> tuple[int, int]:
        """The amount of the first payments, and of how many: some have changed their tier."""
        place, payments = list(TIERS).index(tier), stay.term.count
        if payments < _MANY or self.random.random() >= CHANGING:
            return 0, 0
        # Three of four chose a higher tier.
        other = place - 1 if place == 2 or (place and self.random.random() < 0.75) else place + 1  # noqa: PLR2004 - as said
        price = self._price(list(TIERS)[other], stay, person)
        return price["unit_amount"], self.random.randrange(1, payments - 2)


class _Membership:
    """Writes one stay: our rows and what Stripe knows, which is the newest invoices."""

    def __init__(
        self, story: Story, card: Object, stay: Stay, place: int, *, tier: str, price: Object
    ) -> None:
        self.story = story
        self.card = card
        self.stay = stay
        self.term = stay.term
        self.tier = tier
        self.price = price
        self.failing = stay.kind in {Kind.OVERDUE, Kind.LAPSED}
        self.reference = f"sub_{story.number:06d}{'again' if place else 'demo'}"

    def write(self, earlier: tuple[int, int], of_open: Object) -> None:
        """Add to the story.

        ``earlier`` is another amount, and how many payments had it; ``of_open`` is what an unpaid
        invoice says.
        """
        story, stay = self.story, self.stay
        story.changes.append(Change(self.term.joined, 1, Cause.STRIPE, Reason.PAID, self.reference))
        if stay.kind in OVER:
            assert stay.ended_at  # noqa: S101 - it is over
            why = (Cause.STRIPE, Reason.ENDED)
            if self.failing:
                why = (Cause.CLOCK, Reason.GRACE_OVER)
            story.changes.append(Change(stay.ended_at, -1, *why, self.reference))
        row = self._row()
        subscription = self._subscription(row)
        story.objects.append(subscription)
        amount, payments = earlier
        for period in range(self._paid - 1):
            charge = {"id": self._named("ch", period), "amount": row["amount"]}
            if period < payments:
                charge["amount"] = amount
            self._note_failure(period, charge)
            self._pay(charge, PaymentStatus.SUCCEEDED, self._paid_at(period))
        self._write_paid(row, subscription)
        if self.failing:
            self._write_failed(row, subscription, of_open)
        story.rows.append(row)

    @property
    def _paid(self) -> int:
        """How many periods are paid."""
        return self.term.count - self.failing

    def _paid_at(self, period: int) -> datetime:
        failure = self.stay.failures.get(period)
        return (failure and failure.paid_at) or self.term.start(period)

    def _named(self, kind: str, period: int) -> str:
        return f"{kind}_{self.reference.removeprefix('sub_')}{period + 1:02d}"

    def _row(self) -> dict[str, Any]:
        stay, term = self.stay, self.term
        is_over, newest = stay.kind in OVER, self._paid - 1
        row = {
            "source": Source.STRIPE,
            "reference": self.reference,
            "customer_id": self.story.customer_id,
            "tier": self.tier,
            "amount": self.price["unit_amount"],
            "price": self.price["unit_amount"],
            "currency": self.story.person.currency,
            "interval": term.interval,
            "status": Status.ACTIVE,
            "payment_status": Dues.OVERDUE if self.failing else Dues.PAID,
            "collection_paused": False,
            "started_at": term.joined,
            "paid_at": self._paid_at(newest),
            "paid_until": term.start(newest + 1),
            "has_paid": True,
            "method": "card",
            "card_last4": self.card["card"]["last4"],
            "card_expires_at": _expires(self.card),
            "collection_method": "charge_automatically",
            "period_end": term.end,
            "cancel_at": term.end if stay.kind in {Kind.LEAVING, Kind.CANCELED} else None,
            "canceled_at": stay.canceled_at,
            "ended_at": stay.ended_at,
            "cancel_reason": _why(stay),
            "cancel_feedback": stay.feedback,
            "cancel_comment": stay.comment,
            "grace_from": term.begun if self.failing else None,
            "next_attempt_at": None,
            "pay_url": None,
            "due": None,
        }
        if is_over:
            row["status"] = Status.CANCELED
        elif stay.kind is Kind.OVERDUE:
            row["status"] = Status.PAST_DUE
        return row

    def _subscription(self, row: dict[str, Any]) -> Object:
        stay, term = self.stay, self.term
        subscription = build_subscription(
            id=self.reference,
            customer=self.story.customer_id,
            price=self.price,
            created=_seconds(term.joined),
            period_start=_seconds(term.begun),
            period_end=_seconds(term.end),
            status=row["status"],
            payment_method=self.card["id"],
            latest_invoice=self._named("in", term.count - 1),
            cancel_at_period_end=bool(row["cancel_at"]),
            canceled_at=_seconds(stay.canceled_at) if stay.canceled_at else None,
            ended_at=_seconds(stay.ended_at) if stay.ended_at else None,
        )
        subscription["cancellation_details"] = {
            "reason": row["cancel_reason"],
            "feedback": stay.feedback,
            "comment": stay.comment,
        }
        # Two years of e-mails about the next payment were sent in their time.
        subscription["_announced"] = _seconds(term.end)
        return subscription

    def _write_paid(self, row: dict[str, Any], subscription: Object) -> None:
        period = self._paid - 1
        begun, paid_at = self.term.start(period), _seconds(row["paid_at"])
        items = with_item(
            subscription,
            current_period_start=_seconds(begun),
            current_period_end=_seconds(row["paid_until"]),
        )
        invoice = build_invoice(
            id=self._named("in", period),
            customer=self.story.objects[0],
            subscription={**subscription, "items": items},
            created=_seconds(begun),
            billing_reason="subscription_cycle" if period else "subscription_create",
            status="paid",
            paid_at=paid_at,
        )
        made = build_payment(invoice=invoice, method=self.card, created=paid_at)
        charge = next(found for found in made if found["object"] == "charge")
        self.story.objects += [invoice, *made]
        self._note_failure(period, charge)
        self._pay(charge, PaymentStatus.SUCCEEDED, row["paid_at"])

    def _write_failed(self, row: dict[str, Any], subscription: Object, of_open: Object) -> None:
        period, at = self.term.count - 1, _seconds(self.term.begun)
        failure = self.stay.failures[period]
        invoice = build_invoice(
            id=self._named("in", period),
            customer=self.story.objects[0],
            subscription=subscription,
            created=at,
            status="open",
            attempted=True,
            attempt_count=1,
            _failing_since=at,
            **of_open,
        )
        row["due"] = invoice["amount_remaining"]
        if following := invoice.get("next_payment_attempt"):
            row["next_attempt_at"] = datetime.fromtimestamp(following, UTC)
            row["pay_url"] = invoice["hosted_invoice_url"]
        intent = build_payment_intent(
            id=self._named("pi", period),
            customer=self.story.customer_id,
            amount=invoice["amount_due"],
            currency=invoice["currency"],
            created=at,
            latest_charge=self._named("ch", period),
        )
        charge = build_charge(
            id=self._named("ch", period),
            intent=intent,
            method=self.card,
            created=at,
            status="failed",
        )
        charge |= {"failure_code": failure.cause, "failure_message": "Your card was declined."}
        link = build_invoice_payment(
            id=self._named("inpay", period),
            invoice=invoice,
            payment_intent=intent["id"],
            created=at,
        )
        self.story.objects += [invoice, intent, charge, link]
        self._pay(charge, PaymentStatus.FAILED, self.term.begun, failure.cause)

    def _note_failure(self, period: int, charge: Object) -> None:
        """What failed before it was paid; the simulator no longer knows such charges."""
        if failure := self.stay.failures.get(period):
            failed = {"id": f"{charge['id']}f", "amount": charge["amount"]}
            self._pay(failed, PaymentStatus.FAILED, self.term.start(period), failure.cause)

    def _pay(
        self, charge: Object, status: PaymentStatus, at: datetime, failure: str | None = None
    ) -> None:
        self.story.payments.append(
            {
                "charge_id": charge["id"],
                "customer_id": self.story.customer_id,
                "kind": CheckoutKind.MEMBERSHIP,
                "subscription_id": self.reference,
                "campaign": None,
                "status": status,
                "amount": charge["amount"],
                "refunded": 0,
                "dispute": None,
                "currency": self.story.person.currency,
                "failure": failure,
                "paid_at": at,
            }
        )


def build_card_of(number: int, person: Person, arrival: Arrival, *, fails: bool = False) -> Object:
    """The only card that this customer has."""
    return build_card(
        id=f"pm_{number:06d}demo",
        customer=customer_id(number),
        created=_seconds(arrival.at),
        number=FAILS_ALWAYS if fails else WORKS,
        email=person.email,
        name=person.name,
        country=person.country,
    )


def build_customer_of(story: Story) -> Object:
    """The person at Stripe."""
    assert story.card  # noqa: S101 - who never paid is no customer
    return build_customer(
        id=story.customer_id,
        email=story.person.email,
        name=story.person.name,
        country=story.person.country,
        created=_seconds(story.joined),
        payment_method=story.card["id"],
    )


def _expires(card: Object) -> datetime:
    years, month = divmod(card["card"]["exp_month"], 12)
    return datetime(card["card"]["exp_year"] + years, month + 1, 1, tzinfo=UTC)


def _old_price(price: Object) -> Object:
    return price | {
        "id": f"{price['id']}old",
        "unit_amount": OLD_AMOUNT,
        "unit_amount_decimal": str(OLD_AMOUNT),
        "active": False,
        "lookup_key": None,
    }


def _fails(stay: Stay) -> bool:
    newest = stay.failures.get(stay.term.count - 1)
    is_open = stay.kind in {Kind.OVERDUE, Kind.LAPSED}
    return is_open and newest is not None and newest.paid_at is None


def _recount_at(stay: Stay, grace: timedelta) -> datetime | None:
    if stay.kind is Kind.OVERDUE:
        return stay.term.begun + grace
    return stay.term.end if stay.kind is Kind.LEAVING else None


def _why(stay: Stay) -> str | None:
    """Stripe's reason for the end."""
    if stay.kind is Kind.LAPSED:
        return "payment_failed"
    return "cancellation_requested" if stay.canceled_at else None


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
