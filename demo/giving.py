"""One-time contributions and gifts: from members, and from people who aren't members."""

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from demo.joining import Arrival, Arrivals
from demo.lives import SEED, TIERS, Change, Story, build_card_of, build_customer_of
from demo.people import Person, make_person
from fundraiser.config import Settings
from fundraiser.members.eligibility import Reason
from fundraiser.members.gifts import ends_at, hash_code, make_code
from fundraiser.members.models import Cause, Dues, Interval, Source, Status
from fundraiser.payments.models import CheckoutKind, PaymentStatus

ONE_IN = {"contribution": 25, "extra": 50, "gift": 150}  # of the members
AMOUNTS = {500: 10, 1000: 25, 2000: 25, 5000: 20, 10_000: 8, 25_000: 2}
GIVERS, RECIPIENTS = 300_000, 310_000  # the first numbers
REDEEMED = 0.7  # of the gifts
MESSAGES = (
    "Happy birthday! Now you can stop borrowing my password.",
    "For the long winter evenings.",
    "You always say that somebody should keep an eye on the harbour. They do.",
    "",
)


class Present(NamedTuple):
    """A gift's row, without the two people's IDs."""

    giver: Story
    recipient: Story | None
    row: dict[str, Any]


def checkout_row(gift: dict[str, Any]) -> dict[str, Any]:
    """The checkout that paid for a gift."""
    return {
        "id": gift["checkout_id"],
        "key": gift["checkout_id"].hex,
        "kind": CheckoutKind.GIFT,
        "campaign": gift["campaign"],
        "tier": gift["tier"],
        "interval": Interval.YEAR,
        "currency": gift["currency"],
        "amount": gift["amount"],
        "fee": 0,
        "language": gift["language"],
        "created_at": gift["paid_at"],
        "reference": gift["charge_id"],
    }


class Giving:
    """Draws contributions and gifts; needs an application's context for the gift codes."""

    def __init__(self, settings: Settings, at: datetime) -> None:
        self.random = Random(SEED)  # noqa: S311 - figures of a demonstration, not secrets
        self.at = at
        self.arrivals = Arrivals(self.random, at, settings.newsroom_timezone)
        self.gifts: list[Present] = []

    def contributions(self, members: int) -> Iterator[Story]:
        """People who gave once and didn't join."""
        for number in range(members // ONE_IN["contribution"]):
            giver = self._giver(GIVERS + number, self.at)
            self._pay(giver, CheckoutKind.CONTRIBUTION, giver.arrival, self._amount())
            yield giver

    def contribute_too(self, stories: list[Story], members: int) -> None:
        """Add contributions to these members' stories."""
        for story in self.random.sample(stories, members // ONE_IN["extra"]):
            arrival = self._arrival(self.at)
            if arrival.at > story.joined:
                self._pay(story, CheckoutKind.CONTRIBUTION, arrival, self._amount())

    def presents(self, members: int) -> Iterator[Story]:
        """Those who gave a gift, and who accepted it."""
        for number in range(members // ONE_IN["gift"]):
            # The first one long ago, so that the smallest newsroom shows one that was accepted.
            before = self.at if number else self.at - timedelta(days=45)
            giver = self._giver(GIVERS + 5_000 + number, before)
            person = make_person(self.random, RECIPIENTS + number)
            gift = self._gift(giver, person)
            yield giver
            after = timedelta(hours=2 + min(int(self.random.expovariate(1 / 100)), 1000))
            accepted_at = giver.arrival.at + after
            recipient = None
            if accepted_at < self.at and (number == 0 or self.random.random() < REDEEMED):
                arrival = Arrival(accepted_at, None, None, None)
                recipient = Story(RECIPIENTS + number, person, arrival, None)
                self._accept(recipient, gift)
                yield recipient
            self.gifts.append(Present(giver, recipient, gift))

    def _gift(self, giver: Story, recipient: Person) -> dict[str, Any]:
        tier = self.random.choices(list(TIERS), (30, 60, 10))[0]
        amount, at = TIERS[tier][1], giver.arrival.at
        checkout = uuid.UUID(int=self.random.getrandbits(128), version=4)
        return {
            "checkout_id": checkout,
            "charge_id": self._pay(giver, CheckoutKind.GIFT, giver.arrival, amount),
            "code_hash": hash_code(make_code(checkout)),
            "giver_name": giver.person.name,
            "recipient_name": recipient.name.split()[0],
            "recipient_email": recipient.email,
            "message": self.random.choice(MESSAGES),
            "language": recipient.language,
            "tier": tier,
            "years": 1,
            "amount": amount,
            "currency": giver.person.currency,
            "campaign": giver.arrival.campaign,
            "tell_at": at,
            "paid_at": at,
            "redeemed_at": None,
        }

    def _giver(self, number: int, before: datetime) -> Story:
        person, arrival = make_person(self.random, number), self._arrival(before)
        card = build_card_of(number, person, arrival)
        giver = Story(number, person, arrival, card)
        giver.objects += [build_customer_of(giver), card]
        return giver

    def _arrival(self, before: datetime) -> Arrival:
        """Somebody who came through a campaign."""
        while True:
            arrival = self.arrivals.draw()
            if arrival.campaign and arrival.at < before:
                return arrival

    def _amount(self) -> int:
        return self.random.choices(list(AMOUNTS), list(AMOUNTS.values()))[0]

    def _pay(self, story: Story, kind: CheckoutKind, arrival: Arrival, amount: int) -> str:
        charge = f"ch_{story.number:06d}{kind.value}"
        story.payments.append(
            {
                "charge_id": charge,
                "customer_id": story.customer_id,
                "kind": kind,
                "subscription_id": None,
                "campaign": arrival.campaign,
                "status": PaymentStatus.SUCCEEDED,
                "amount": amount,
                "refunded": 0,
                "dispute": None,
                "currency": story.person.currency,
                "failure": None,
                "paid_at": arrival.at,
            }
        )
        return charge

    def _accept(self, story: Story, gift: dict[str, Any]) -> None:
        """A year's membership from now on."""
        begins, reference = story.arrival.at, gift["charge_id"]
        gift["redeemed_at"] = begins
        ends = ends_at(begins, gift["years"])
        story.rows.append(
            {
                "source": Source.GIFT,
                "reference": reference,
                "tier": gift["tier"],
                "amount": gift["amount"],
                "currency": gift["currency"],
                "status": Status.ACTIVE,
                "payment_status": Dues.PAID,
                "collection_paused": False,
                "has_paid": False,
                "started_at": begins,
                "cancel_at": ends,
                "counts_until": ends,
            }
        )
        story.changes.append(Change(begins, 1, Cause.GIFT, Reason.GIFT, reference))
        if ends <= self.at:
            story.changes.append(Change(ends, -1, Cause.CLOCK, Reason.ENDED, reference))
        else:
            story.recount_at = ends
