"""The demonstration's money: what every payment, refund, dispute and payout did to the balance.

Of a member's older payments the simulator keeps the balance's side alone, which is what a
bookkeeper reads; a charge of its own has what was paid last, refunded or disputed.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from random import Random
from typing import Any

from demo.lives import SEED, Story
from fundraiser.payments.models import CheckoutKind, Part, PaymentStatus
from simulator.core.balance import (
    DISPUTE_FEES,
    build_balance_transaction,
    build_payout,
    fail_objects,
)
from simulator.core.due import DAY, due
from simulator.core.payment_objects import build_charge
from simulator.core.shapes import Object

REFUNDED, DISPUTED = 0.006, 0.0003  # of the older payments
ANSWER_WITHIN, DECIDED_AFTER = 9 * DAY, 60 * DAY
BILLING_FEE = 7  # thousandths of a month's payments, taken on the next one's first day
FAILED_PAYOUTS = 3


class Money:
    """``objects`` are for the simulator's store; ``movements`` and ``payouts`` are our own rows."""

    def __init__(self, stories: Iterable[Story], at: datetime) -> None:
        self.random = Random(SEED)  # noqa: S311 - figures of a demonstration, not secrets
        self.at = int(at.timestamp())
        self.objects: list[Object] = []
        self.entries: list[tuple[Object, str | None]] = []  # with the charge
        self.paid_for: dict[str, tuple[CheckoutKind, str | None]] = {}  # by charge, with the tier
        for story in stories:
            self._live(story)
        self._bill()
        self._pay_out()
        self.movements = [
            _row(moved, charge, *self.paid_for.get(charge or "", (None, None)))
            for moved, charge in self.entries
        ]
        self.payouts = [_payout_row(one, at) for one in self.objects if one["object"] == "payout"]

    def _live(self, story: Story) -> None:
        newest = {
            found["source"]: found
            for found in story.objects
            if found["object"] == "balance_transaction"
        }
        card = story.card
        for payment in story.payments:
            if payment["status"] is not PaymentStatus.SUCCEEDED:
                continue
            charge, kind = payment["charge_id"], payment["kind"]
            is_membership = kind is CheckoutKind.MEMBERSHIP
            self.paid_for[charge] = (kind, story.rows[-1]["tier"] if is_membership else None)
            if charge in newest:
                self.entries.append((newest[charge], charge))
                continue
            created = int(payment["paid_at"].timestamp())
            self._enter(story, charge, "charge", charge, payment["amount"], created)
            if kind is CheckoutKind.GIFT:
                continue
            assert card  # noqa: S101 - it was charged
            chance = self.random.random()
            if chance < REFUNDED:
                self._refund(story, payment, card, created)
            elif chance < REFUNDED + DISPUTED:
                self._dispute(story, payment, card, created)

    def _enter(  # noqa: PLR0917 - one line of the books
        self,
        story: Story | None,
        charge: str | None,
        kind: str,
        source: str | None,
        amount: int,
        created: int,
        **more: Any,  # noqa: ANN401 - any of the builder's
    ) -> Object:
        name = f"txn_{(source or kind).partition('_')[2]}"
        made = build_balance_transaction(
            id=more.pop("id", name),
            source=source,
            amount=amount,
            currency=more.pop("currency", None) or (story.person.currency.lower() if story else ""),
            created=created,
            kind=kind,
            **more,
        )
        self.objects.append(made)
        self.entries.append((made, charge))
        return made

    def _refund(self, story: Story, payment: dict[str, Any], card: Object, created: int) -> None:
        """Some days later, whole or in part."""
        at = created + self.random.randrange(DAY, 12 * DAY)
        if at > self.at:
            return
        amount = payment["amount"]
        back = amount if self.random.random() < 0.7 else amount // 2  # noqa: PLR2004 - most are whole
        payment["refunded"] = back
        charge = self._charge(story, payment, card, created)
        charge |= {"amount_refunded": back, "refunded": back == amount}
        name = charge["id"].replace("ch_", "re_")
        moved = self._enter(story, charge["id"], "refund", name, -back, at, id=f"txn_r{name[3:]}")
        refund = {"id": name, "object": "refund", "created": at, "amount": back}
        refund |= {"charge": charge["id"], "currency": charge["currency"]}
        self.objects.append(refund | {"balance_transaction": moved["id"]})

    def _dispute(self, story: Story, payment: dict[str, Any], card: Object, created: int) -> None:
        """Decided two months after it was opened, for the bank more often than not."""
        at = created + self.random.randrange(5 * DAY, 40 * DAY)
        decided, answer_by = at + DECIDED_AFTER, at + ANSWER_WITHIN
        won = self.random.random() < 0.4  # noqa: PLR2004 - the share that is won
        if at > self.at:
            return
        if decided <= self.at:
            payment["dispute"] = "won" if won else "lost"
        else:
            payment["dispute"] = "under_review" if answer_by <= self.at else "needs_response"
            won = False
        charge = self._charge(story, payment, card, created) | {"disputed": True}
        self.objects[-1] = charge
        name, amount = charge["id"].replace("ch_", "du_"), payment["amount"]
        fee = DISPUTE_FEES[charge["currency"]]
        words = f"Chargeback withdrawal for {charge['id']}"
        self._enter(
            story,
            charge["id"],
            "dispute",
            name,
            -amount,
            at,
            id=f"txn_d{name[3:]}",
            fee=fee,
            description=words,
        )
        if won:
            words = f"Chargeback reversal for {charge['id']}"
            self._enter(
                story,
                charge["id"],
                "dispute_reversal",
                name,
                amount,
                decided,
                id=f"txn_w{name[3:]}",
                description=words,
            )
        dispute = {"id": name, "object": "dispute", "created": at, "amount": amount}
        dispute |= {"charge": charge["id"], "currency": charge["currency"]}
        answered = int(payment["dispute"] == "under_review")
        evidence = {"due_by": answer_by, "enhanced_eligibility": {}, "has_evidence": bool(answered)}
        evidence |= {"past_due": answer_by <= self.at, "submission_count": answered}
        dispute |= {"evidence_details": evidence}
        self.objects.append(dispute | {"status": payment["dispute"]})

    def _charge(self, story: Story, payment: dict[str, Any], card: Object, created: int) -> Object:
        name = payment["charge_id"]
        intent = {"id": None, "amount": payment["amount"], "customer": story.customer_id}
        intent["currency"] = story.person.currency.lower()
        moved = name.replace("ch_", "txn_")
        charge = build_charge(
            id=name, intent=intent, method=card, created=created, balance_transaction=moved
        )
        self.objects.append(charge)
        return charge

    def _bill(self) -> None:
        """Stripe's fee for its billing, each month and currency."""
        taken: dict[tuple[int, str], int] = defaultdict(int)
        for moved, _charge in self.entries:
            if moved["type"] == "charge":
                day = datetime.fromtimestamp(moved["created"], UTC)
                following = datetime(
                    day.year + day.month // 12, day.month % 12 + 1, 1, 6, tzinfo=UTC
                )
                taken[int(following.timestamp()), moved["currency"]] += moved["amount"]
        for (at, currency), amount in sorted(taken.items()):
            if at <= self.at and (fee := amount * BILLING_FEE // 1000):
                self._enter(
                    None,
                    None,
                    "stripe_fee",
                    None,
                    -fee,
                    at,
                    id=f"txn_fee{at}{currency}",
                    currency=currency,
                    description="Billing usage fee",
                )

    def _pay_out(self) -> None:
        """Each morning what is available, a payout for each currency; a few come back."""
        mornings: dict[tuple[int, str], list[Object]] = defaultdict(list)
        for moved, _charge in self.entries:
            morning = due(moved)
            if morning is not None and morning <= self.at:
                mornings[morning, moved["currency"]].append(moved)
        waiting: dict[str, list[Object]] = defaultdict(list)
        keys = sorted(mornings)
        failing = set(self.random.sample(keys[: len(keys) * 9 // 10], FAILED_PAYOUTS))
        for key in keys:
            at, currency = key
            inside = [*waiting.pop(currency, []), *mornings[key]]
            amount = sum(moved["net"] for moved in inside)
            if amount <= 0:
                waiting[currency] = inside
                continue
            name = f"{at}{currency}"
            arrived = at + 2 * DAY <= self.at
            taken, payout = build_payout(
                id=f"po_{name}",
                transaction=f"txn_po{name}",
                amount=amount,
                currency=currency,
                created=at,
                status="paid" if arrived else "in_transit",
            )
            for moved in inside:
                moved["_payout"] = payout["id"]
            self.objects += [taken, payout]
            self.entries.append((taken, None))
            if key in failing:
                back = fail_objects(payout, f"txn_back{name}", at + 2 * DAY)
                self.objects.append(back)
                self.entries.append((back, None))
                mornings.get((at + 2 * DAY, currency), waiting[currency]).append(back)
        for currency, left in waiting.items():
            for moved in left:
                moved["_held_until"] = (self.at // DAY + 1) * DAY
            del currency


PARTS = {
    "charge": Part.GROSS,
    "refund": Part.REFUNDS,
    "dispute": Part.DISPUTES,
    "dispute_reversal": Part.DISPUTES,
    "fee": Part.FEES,
    "payout": Part.PAYOUTS,
    "payout_reversal": Part.PAYOUTS,
}


def _row(
    moved: Object, charge: str | None, kind: CheckoutKind | None, tier: str | None
) -> dict[str, Any]:
    return {
        "id": moved["id"],
        "part": PARTS[moved["reporting_category"]],
        "category": moved["reporting_category"],
        "amount": moved["amount"],
        "fee": moved["fee"],
        "net": moved["net"],
        "currency": moved["currency"].upper(),
        "created_at": datetime.fromtimestamp(moved["created"], UTC),
        "available_at": datetime.fromtimestamp(moved["available_on"], UTC),
        "source_id": moved["source"],
        "charge_id": charge,
        "payout_id": moved.get("_payout"),
        "description": moved.get("description"),
        "kind": kind,
        "tier": tier,
    }


def _payout_row(payout: Object, at: datetime) -> dict[str, Any]:
    return {
        "id": payout["id"],
        "amount": payout["amount"],
        "currency": payout["currency"].upper(),
        "status": payout["status"],
        "listed": True,
        "created_at": datetime.fromtimestamp(payout["created"], UTC),
        "arrives_at": datetime.fromtimestamp(payout["arrival_date"], UTC),
        "failure": payout.get("failure_message"),
        "contents_at": at,
    }
