"""Made-up lives of members: each joined, paid, and perhaps left, as Stripe would tell of it."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Self

from demo.people import Person, make_person
from fundraiser.members.eligibility import Reason
from fundraiser.members.models import Dues, Interval, Source, Status
from fundraiser.payments.models import CheckoutKind, PaymentStatus
from simulator.core.billing import with_item
from simulator.core.objects import build_card, build_customer, build_invoice, build_subscription
from simulator.core.payment_objects import (
    build_charge,
    build_invoice_payment,
    build_payment,
    build_payment_intent,
)
from simulator.core.periods import MONTHS, next_end
from simulator.core.shapes import Object

SEED = 25_000
YEARS = timedelta(days=730)
_NEXT_TRY = 43_200  # seconds until Stripe tries a failed payment again
FAILS_ALWAYS = "4000000000000341"
TIERS = {
    "reader": (500, 5000),
    "member": (1000, 10000),
    "patron": (2500, 25000),
}


@dataclass(frozen=True, slots=True)
class Term:
    """How long a subscription has run: ``count`` periods since ``joined``."""

    joined: datetime
    interval: Interval
    count: int

    @classmethod
    def until(cls, joined: datetime, interval: Interval, end: datetime) -> Self:
        """As many periods as have begun before ``end``."""
        months = (end.year - joined.year) * 12 + end.month - joined.month
        count = max(1, months // MONTHS[interval])
        term = cls(joined, interval, count)
        while term.end < end:
            term = replace(term, count=term.count + 1)
        while term.count > 1 and term.begun >= end:
            term = replace(term, count=term.count - 1)
        return term

    def start(self, number: int) -> datetime:
        """When a period began; the first is 0, a negative one before joining."""
        anchor = int(self.joined.timestamp())
        return datetime.fromtimestamp(next_end(anchor, anchor, self.interval.value, number), UTC)

    @property
    def begun(self) -> datetime:
        """When the newest period began."""
        return self.start(self.count - 1)

    @property
    def end(self) -> datetime:
        return self.start(self.count)


@dataclass(slots=True)
class Story:
    """What one person did: joined, and perhaps left. ``row`` is the membership's."""

    person: Person
    customer_id: str
    joined: datetime
    left: datetime | None
    left_because: Reason
    recount_at: datetime | None
    row: dict[str, Any]
    payments: list[dict[str, Any]]
    objects: list[Object]


class Lives:
    """Makes stories from the seed."""

    def __init__(
        self, prices: dict[tuple[str, Interval, str], Object], at: datetime, grace: timedelta
    ) -> None:
        self.random = Random(SEED)  # noqa: S311 - figures of a demonstration, not secrets
        self.prices = prices
        self.at = at
        self.grace = grace
        self.rushes = sorted(self.random.uniform(0.1, 0.95) for _ in range(5))

    def make(self, number: int, *, counts: bool) -> Story:
        """One person's story; ``counts`` says how it ends."""
        person = make_person(self.random, number)
        tier = self.random.choices(list(TIERS), (34, 52, 14))[0]
        interval = self.random.choices((Interval.MONTH, Interval.YEAR), (72, 28))[0]
        price = self.prices[tier, interval, person.currency]
        if counts:
            kind = self.random.choices(("paying", "leaving", "past_due"), (955, 28, 17))[0]
            return self._running(number, person, price, self._joined(), kind)
        return self._ended(number, person, price)

    def _joined(self) -> datetime:
        """More in the second year than in the first, and rushes when a story broke."""
        if self.random.random() < 0.12:  # noqa: PLR2004 - the share that came in a rush
            share = self.random.choice(self.rushes) + self.random.expovariate(250)
        else:
            share = self.random.random() ** 0.72
        moment = self.at - YEARS + YEARS * min(share, 0.9999)
        return moment.replace(microsecond=0)

    def _running(
        self, number: int, person: Person, price: Object, joined: datetime, kind: str
    ) -> Story:
        term = Term.until(joined, Interval(price["recurring"]["interval"]), self.at)
        if kind == "past_due":
            # The period that could not be paid has just begun; the first one whole periods before.
            failed_at = self.at - timedelta(days=self.random.uniform(0.2, 10))
            failed_at = failed_at.replace(day=min(failed_at.day, 28), microsecond=0)
            count = max(term.count, 2)
            term = replace(term, joined=replace(term, joined=failed_at).start(1 - count))
            term = replace(term, count=count)
        story = self._story(number, person, price, term, failing=kind == "past_due")
        row = story.row
        if kind == "leaving":
            row |= {"cancel_at": term.end, "canceled_at": term.begun}
            story.recount_at = term.end
        elif kind == "past_due":
            row |= {"status": Status.PAST_DUE, "payment_status": Dues.OVERDUE}
            row["grace_from"] = term.begun
            row["next_attempt_at"] = self.at + timedelta(seconds=_NEXT_TRY)
            story.recount_at = term.begun + self.grace
        self._write_objects(story, price, term, failing=kind == "past_due")
        return story

    def _ended(self, number: int, person: Person, price: Object) -> Story:
        """Most who leave stop by themselves; for some the card failed until the grace was over."""
        interval = Interval(price["recurring"]["interval"])
        failing = self.random.random() < 0.3  # noqa: PLR2004 - involuntary churn
        count = 1 if interval is Interval.YEAR else 1 + min(int(self.random.expovariate(1 / 6)), 20)
        left = self.at - YEARS + YEARS * min(self.random.random() ** 0.8, 0.9999)
        left = left.replace(day=min(left.day, 28), microsecond=0)
        if failing:
            begun = left - self.grace
            begun = begun.replace(day=min(begun.day, 28))
            term = Term(Term(begun, interval, 0).start(-count), interval, count + 1)
            ended = begun + self.grace
        else:
            term = Term(Term(left, interval, 0).start(-count), interval, count)
            ended = left
        story = self._story(number, person, price, term, failing=failing)
        stopped = ended if failing else term.begun + (ended - term.begun) / 2
        story.left = ended
        story.left_because = Reason.GRACE_OVER if failing else Reason.ENDED
        story.row |= {
            "status": Status.CANCELED,
            "ended_at": ended,
            "canceled_at": stopped.replace(microsecond=0),
        }
        if failing:
            story.row |= {
                "payment_status": Dues.OVERDUE,
                "grace_from": term.begun,
            }
        else:
            story.row["cancel_at"] = ended
        self._write_objects(story, price, term, failing=failing)
        return story

    def _story(
        self, number: int, person: Person, price: Object, term: Term, *, failing: bool
    ) -> Story:
        ending = f"{number:06d}demo"
        return Story(
            person=person,
            customer_id=f"cus_{ending}",
            joined=term.joined,
            left=None,
            left_because=Reason.ENDED,
            recount_at=None,
            row={
                "source": Source.STRIPE,
                "reference": f"sub_{ending}",
                "customer_id": f"cus_{ending}",
                "tier": price["lookup_key"].split("_")[1],
                "amount": price["unit_amount"],
                "price": price["unit_amount"],
                "currency": person.currency,
                "interval": term.interval,
                "status": Status.ACTIVE,
                "payment_status": Dues.PAID,
                "collection_paused": False,
                "started_at": term.joined,
                "paid_at": term.start(term.count - 2) if failing else term.begun,
                "paid_until": term.begun if failing else term.end,
                "has_paid": True,
                "method": "card",
                "collection_method": "charge_automatically",
                "period_end": term.end,
                "cancel_at": None,
                "canceled_at": None,
                "ended_at": None,
                "grace_from": None,
                "next_attempt_at": None,
                "pay_url": None,
                "due": None,
            },
            payments=[],
            objects=[],
        )

    def _write_objects(self, story: Story, price: Object, term: Term, *, failing: bool) -> None:
        """What Stripe knows of this person: the newest paid invoice, and one that failed."""
        row, person = story.row, story.person
        joined = int(story.joined.timestamp())
        card = build_card(
            id=row["reference"].replace("sub_", "pm_"),
            customer=story.customer_id,
            created=joined,
            number=FAILS_ALWAYS if failing else "4242424242424242",
            email=person.email,
            name=person.name,
            country=person.country,
        )
        customer = build_customer(
            id=story.customer_id,
            email=person.email,
            name=person.name,
            country=person.country,
            created=joined,
            payment_method=card["id"],
        )
        subscription = build_subscription(
            id=row["reference"],
            customer=story.customer_id,
            price=price,
            created=joined,
            period_start=int(term.begun.timestamp()),
            period_end=int(term.end.timestamp()),
            status=row["status"],
            payment_method=card["id"],
            latest_invoice=_invoice_id(row, term.count),
            cancel_at_period_end=bool(row["cancel_at"]),
            canceled_at=_seconds(row["canceled_at"]),
            ended_at=_seconds(row["ended_at"]),
        )
        # Two years of e-mails about the next payment were sent in their time.
        subscription["_announced"] = int(term.end.timestamp())
        story.objects += [customer, card, subscription]
        parties = {"customer": customer, "subscription": subscription}
        paid = term.count - 1 if failing else term.count
        story.payments += [
            self._older(story, number, term.start(number - 1)) for number in range(1, paid)
        ]
        of_paid = with_item(
            subscription,
            current_period_start=int(row["paid_at"].timestamp()),
            current_period_end=int(row["paid_until"].timestamp()),
        )
        paid_for = {**parties, "subscription": {**subscription, "items": of_paid}}
        self._write_paid(story, row["paid_at"], paid, card, **paid_for)
        if failing:
            self._write_failed(story, term.begun, term.count, card, **parties)

    def _older(self, story: Story, number: int, begun: datetime) -> dict[str, Any]:
        """An older payment: the simulator's invoices begin with the newest (see `demo.money`)."""
        row = story.row
        charge = {
            "id": _invoice_id(row, number).replace("in_", "ch_"),
            "amount": row["amount"],
        }
        return _payment(story, charge, PaymentStatus.SUCCEEDED, begun)

    def _write_paid(
        self,
        story: Story,
        begun: datetime,
        number: int,
        card: Object,
        *,
        customer: Object,
        subscription: Object,
    ) -> None:
        at = int(begun.timestamp())
        invoice = build_invoice(
            id=_invoice_id(story.row, number),
            customer=customer,
            subscription=subscription,
            created=at,
            billing_reason="subscription_create" if number == 1 else "subscription_cycle",
            status="paid",
            paid_at=at,
        )
        made = build_payment(invoice=invoice, method=card, created=at)
        charge = next(found for found in made if found["object"] == "charge")
        story.objects += [invoice, *made]
        story.payments.append(_payment(story, charge, PaymentStatus.SUCCEEDED, begun))

    def _write_failed(
        self,
        story: Story,
        begun: datetime,
        number: int,
        card: Object,
        *,
        customer: Object,
        subscription: Object,
    ) -> None:
        at = int(begun.timestamp())
        running = story.left is None
        invoice = build_invoice(
            id=_invoice_id(story.row, number),
            customer=customer,
            subscription=subscription,
            created=at,
            status="open",
            attempted=True,
            attempt_count=1,
            next_payment_attempt=int(self.at.timestamp()) + _NEXT_TRY if running else None,
            auto_advance=running,
            _failing_since=at,
        )
        if running:
            story.row["pay_url"] = invoice["hosted_invoice_url"]
            story.row["due"] = invoice["amount_remaining"]
        ending = invoice["id"].removeprefix("in_")
        intent = build_payment_intent(
            id=f"pi_{ending}",
            customer=story.customer_id,
            amount=invoice["amount_due"],
            currency=invoice["currency"],
            created=at,
            latest_charge=f"ch_{ending}",
        )
        charge = build_charge(
            id=f"ch_{ending}", intent=intent, method=card, created=at, status="failed"
        )
        charge |= {"failure_code": "card_declined", "failure_message": "Your card was declined."}
        link = build_invoice_payment(
            id=f"inpay_{ending}", invoice=invoice, payment_intent=intent["id"], created=at
        )
        story.objects += [invoice, intent, charge, link]
        story.payments.append(_payment(story, charge, PaymentStatus.FAILED, begun))


def _invoice_id(row: dict[str, Any], number: int) -> str:
    return f"{row['reference'].replace('sub_', 'in_')}{number:02d}"


def _seconds(at: datetime | None) -> int | None:
    return int(at.timestamp()) if at else None


def _payment(
    story: Story, charge: Object, status: PaymentStatus, paid_at: datetime
) -> dict[str, Any]:
    return {
        "charge_id": charge["id"],
        "customer_id": story.customer_id,
        "kind": CheckoutKind.MEMBERSHIP,
        "subscription_id": story.row["reference"],
        "status": status,
        "amount": charge["amount"],
        "refunded": 0,
        "dispute": None,
        "currency": story.person.currency,
        "failure": charge.get("failure_code"),
        "paid_at": paid_at,
    }
