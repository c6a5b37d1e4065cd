"""What the service sells in the run, and what the run notes inside its database."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import insert, text

from chaos.load import checkout_of
from fundraiser.campaigns.models import Campaign, Counts, Goal
from fundraiser.config import load_settings
from fundraiser.db import Database, now
from fundraiser.members.models import SOLD
from fundraiser.payments.models import Checkout, CheckoutKind, Price, Tier
from fundraiser.payments.products import publish_catalogue
from fundraiser.payments.stripe.gateway import Gateway

if TYPE_CHECKING:
    from chaos.service import Service

CAMPAIGN = "25000"
_PRICES = {"reader": (500, 5000), "member": (1000, 10000), "patron": (2500, 25000)}
_CURRENCIES = ("EUR", "USD", "GBP")
# Each settlement of a customer touches its row: when it did tells what it can have seen.
_NOTE_SETTLEMENTS = """
    CREATE TABLE chaos_settlement (customer_id text NOT NULL, at timestamptz NOT NULL);
    CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO chaos_settlement VALUES (NEW.id, clock_timestamp());
        RETURN NULL;
    END $$;
    CREATE TRIGGER chaos_note AFTER INSERT OR UPDATE ON customer
        FOR EACH ROW EXECUTE FUNCTION chaos_note();
"""


def open_shop(service: Service, *, people: int, seed: int) -> None:
    """Tiers made at the simulator, a campaign, and the Checkouts through which people will join."""
    settings = load_settings(service.environment)
    database = Database(settings)
    at = now()
    with database.transaction() as session:
        for position, (slug, amounts) in enumerate(_PRICES.items()):
            names = {"en": slug, "uk": slug}
            prices = [
                Price(interval=interval, currency=currency, amount=amount)
                for interval, amount in zip(SOLD, amounts, strict=True)
                for currency in _CURRENCIES
            ]
            session.add(
                Tier(slug=slug, position=position, names=names, descriptions=names, prices=prices)
            )
        session.flush()
        publish_catalogue(session, Gateway(settings, database))
        session.add(
            Campaign(
                slug=CAMPAIGN,
                headlines={"en": "A fault run"},
                messages={"en": "The number has to be right."},
                counts=Counts.ALL,
                starts_at=at,
                deadline=at + timedelta(days=365),
                timezone="UTC",
                tiers=list(_PRICES),
                default_tier="member",
                default_currency="GBP",
                sites=[],
                created_at=at,
                goals=[Goal(members=people, set_at=at)],
            )
        )
        checkouts = [checkout_of(seed, number) for number in range(people)]
        session.execute(
            insert(Checkout),
            [
                {
                    "id": checkout,
                    "key": checkout.hex,
                    "kind": CheckoutKind.MEMBERSHIP,
                    "campaign": CAMPAIGN,
                    "currency": "GBP",
                    "amount": 1000,
                    "language": "en",
                    "created_at": at,
                }
                for checkout in checkouts
            ],
        )
        session.execute(text(_NOTE_SETTLEMENTS))
    database.dispose()
