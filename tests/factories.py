"""Makers of what tests are about: people, memberships, campaigns, and payments at the simulator."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import requests
from sqlalchemy import select

from fundraiser.campaigns.models import Campaign, Counts, Goal
from fundraiser.db import now
from fundraiser.members.models import (
    Dues,
    Interval,
    Member,
    Membership,
    Source,
    Status,
)
from fundraiser.payments import settlement
from fundraiser.payments.checkout import CONTRIBUTION, Choice, begin_checkout
from fundraiser.payments.models import Price, SyncRequest, Tier
from fundraiser.payments.products import publish_catalogue
from fundraiser.payments.stripe.gateway import current_gateway

if TYPE_CHECKING:
    import subprocess

    from sqlalchemy.orm import Session

    from fundraiser.app import FundraiserApp

GRACE = timedelta(days=14)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
_numbers = itertools.count(1)
# The IDs of products and prices, by a simulator's address: they are the same for each test.
_made_at: dict[str, dict[str, str]] = {}

PRICES = {"reader": (500, 5000), "member": (1000, 10000), "patron": (2500, 25000)}


def make_member(session: Session, **values: Any) -> Member:
    """A person who does not count yet."""
    defaults = {
        "email": f"reader-{next(_numbers)}@example.org",
        "language": "en",
        "counting": False,
        "sequence": 0,
        "created_at": NOON,
    }
    member = Member(**defaults | values)
    session.add(member)
    session.flush()
    return member


def make_membership(member: Member | None = None, **values: Any) -> Membership:
    """A monthly membership, paid; not added to any session."""
    defaults = {
        "member_id": member.id if member else None,
        "source": Source.STRIPE,
        "reference": f"sub_{next(_numbers)}",
        "amount": 1000,
        "currency": "GBP",
        "interval": Interval.MONTH,
        "status": Status.ACTIVE,
        "payment_status": Dues.PAID,
        "collection_paused": False,
        "started_at": NOON - timedelta(days=40),
        "paid_at": NOON - timedelta(days=10),
        "period_end": NOON + timedelta(days=20),
    }
    return Membership(**defaults | values)


def make_tiers(session: Session) -> None:
    """The three tiers, and the product of one-time contributions; nothing of it at Stripe yet."""
    for position, slug in enumerate((*PRICES, CONTRIBUTION)):
        prices = [
            Price(interval=interval, currency=currency, amount=amount)
            for interval, amount in zip(Interval, PRICES.get(slug, ()), strict=False)
            for currency in ("EUR", "USD", "GBP")
        ]
        names = {"en": slug.capitalize(), "uk": slug.capitalize()}
        session.add(
            Tier(slug=slug, position=position, names=names, descriptions=names, prices=prices)
        )
    session.flush()


def _lookup(price: Price) -> str:
    return f"{price.tier_slug} {price.interval} {price.currency}"


def make_campaign(session: Session, **values: Any) -> Campaign:
    """A running campaign with a goal of 25,000, at home on the newspaper's site."""
    at = datetime.now(UTC)
    defaults = {
        "slug": "25000",
        "headlines": {
            "en": "Quality journalism takes work — and a community that cares",
            "uk": "Якісна журналістика потребує праці — і спільноти, якій не байдуже",
        },
        "messages": {
            "en": "Help us reach 25,000 members by the end of the year",
            "uk": "Допоможіть нам зібрати 25 000 учасників до кінця року",
        },
        "counts": Counts.ALL,
        "starts_at": at - timedelta(days=300),
        "deadline": at + timedelta(days=3650),
        "timezone": "Europe/London",
        "tiers": list(PRICES),
        "default_tier": "member",
        "default_currency": "GBP",
        "sites": ["http://127.0.0.1:8001"],
        "created_at": at,
        "goals": [Goal(members=25_000, set_at=at)],
    }
    campaign = Campaign(**defaults | values)
    session.add(campaign)
    session.flush()
    return campaign


def sync_request(**target: str) -> SyncRequest:
    """A request to sync ``customer_id``, or the customer of ``charge_id``, that is due now."""
    return SyncRequest(due_at=now(), created_at=now(), attempts=0, **target)


@dataclass
class Stripe:
    """Stripe from the other side, over HTTP: readers who pay, the clock, and what we then fetch."""

    url: str
    app: FundraiserApp

    @staticmethod
    def wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            try:
                requests.get(url, timeout=1)
            except (requests.ConnectionError, requests.Timeout):
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("The simulator does not answer.")

    def open_shop(self) -> None:
        """Tiers made at Stripe, and a campaign; nobody has saved the portal's settings."""
        with self.app.database.transaction() as session:
            make_tiers(session)
            tiers = session.scalars(select(Tier)).all()
            if self._still_has(made := _made_at.get(self.url, {})):
                for tier in tiers:
                    tier.product_id = made[tier.slug]
                    for price in tier.prices:
                        price.stripe_id = made[_lookup(price)]
            else:
                publish_catalogue(session, current_gateway())
                products = {tier.slug: tier.product_id or "" for tier in tiers}
                prices = (price for tier in tiers for price in tier.prices)
                _made_at[self.url] = products | {
                    _lookup(price): price.stripe_id or "" for price in prices
                }
            make_campaign(session)

    def _still_has(self, made: dict[str, str]) -> bool:
        """Whether an earlier test's tiers are at this Stripe; some tests empty theirs."""
        return bool(made) and current_gateway().product_name(made["member"]) != made["member"]

    def checkout(self, **values: Any) -> str:
        """A reader presses the join page's button; returns the hosted page's address."""
        choice = {
            "campaign": "25000",
            "tier": "member",
            "interval": Interval.MONTH,
            "currency": "GBP",
            "amount": None,
            "cover_fee": False,
            "language": "en",
            "ref": None,
            "return_url": None,
        }
        nonce = values.pop("nonce", None) or f"nonce-{next(_numbers)}"
        with self.app.database.transaction() as session:
            return begin_checkout(
                session,
                current_gateway(),
                Choice(**choice | values),
                nonce,
                "http://127.0.0.1:8000",
            )

    def pay(
        self, page: str, email: str, card: str = "4242424242424242", **values: str
    ) -> requests.Response:
        """The reader fills in the hosted page; the answer is not followed."""
        form = {
            "email": email,
            "billingName": "Olena Hrytsenko",
            "billingCountry": "GB",
            "method": "card",
            "cardNumber": card,
            "cardExpiry": "12/60",
            "cardCvc": "123",
        }
        return requests.post(page, data=form | values, allow_redirects=False, timeout=10)

    def join(self, email: str, **values: Any) -> str:
        """A reader joins and pays; returns the new customer's id. Nothing is settled yet."""
        page = self.checkout(**values)
        answer = self.pay(page, email)
        assert answer.status_code == 303, answer.text
        return self.customer_of(page)

    def customer_of(self, page: str) -> str:
        """The customer that a paid session made."""
        session_id = page.rsplit("/", 1)[1]
        customer = current_gateway().fetch_session(session_id).customer_id
        assert customer
        return customer

    def settle(self, customer_id: str) -> Member | None:
        """Settle a customer as the worker does."""
        return settlement.settle(self.app.database, current_gateway(), GRACE, customer_id)

    def settle_all(self) -> None:
        """Settle whatever is due to be looked at."""
        while settlement.settle_next(self.app.database, current_gateway(), GRACE):
            pass

    def call(self, method: str, path: str, **data: Any) -> Any:
        """Stripe's API by hand, as staff in Stripe's dashboard."""
        answer = requests.request(
            method, f"{self.url}/v1/{path}", data=data, auth=("sk_test_simulator", ""), timeout=10
        )
        assert answer.ok, answer.text
        return answer.json()

    def control(self, what: str, **data: Any) -> Any:
        """What only the simulator can do: open a dispute, settle a debit."""
        answer = requests.post(f"{self.url}/_simulator/{what}", json=data, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def change_card(self, customer_id: str, card: str) -> None:
        """Replace the card that is charged, as staff do in Stripe's dashboard.

        It becomes the customer's default, and no subscription has one of its own any more.
        """
        typed = {"card[number]": card, "card[exp_month]": 12, "card[exp_year]": 2060}
        method = self.call("POST", "payment_methods", type="card", **typed)["id"]
        self.call("POST", f"payment_methods/{method}/attach", customer=customer_id)
        default = {"invoice_settings[default_payment_method]": method}
        self.call("POST", f"customers/{customer_id}", **default)
        for found in self.call("GET", f"subscriptions?customer={customer_id}")["data"]:
            if found["status"] == "incomplete_expired":
                continue
            self.call("POST", f"subscriptions/{found['id']}", default_payment_method="")

    def set_balance(self, customer_id: str, balance: int) -> None:
        """What the customer owes at Stripe, smallest unit; less than nothing is credit."""
        self.call("POST", f"customers/{customer_id}", balance=balance)

    def change_default_card(self, customer_id: str, card: str) -> None:
        """The member changes the card in Stripe's portal: the customer's default, and no more."""
        configuration = self.call(
            "POST",
            "billing_portal/configurations",
            **{"features[payment_method_update][enabled]": "true"},
        )["id"]
        portal = self.call(
            "POST",
            "billing_portal/sessions",
            customer=customer_id,
            return_url=self.url,
            configuration=configuration,
        )["url"]
        form = {
            "billingName": "Olena Hrytsenko",
            "billingCountry": "GB",
            "method": "card",
            "cardNumber": card,
            "cardExpiry": "12/60",
            "cardCvc": "123",
        }
        answer = requests.post(
            f"{portal}/payment-method", data=form, allow_redirects=False, timeout=10
        )
        assert answer.status_code == 303, answer.text

    def advance(self, **span: float) -> None:
        """Let time pass at Stripe and for us."""
        seconds = int(timedelta(**span).total_seconds())
        answer = requests.post(
            f"{self.url}/_simulator/clock", json={"advance_seconds": seconds}, timeout=60
        )
        assert answer.ok, answer.text
