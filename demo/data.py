"""The demonstration's newsroom: two years of members, the same at Stripe's simulator and with us.

Both sides are written at once, as if the service had lived through it: settling any of these people
afterwards changes nothing.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from itertools import accumulate, chain
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, select, text, update
from sqlalchemy.orm import Session

from demo.campaigns import add_campaigns
from demo.elsewhere import bring_in, share_of
from demo.giving import Giving, checkout_row
from demo.lives import ROSE, ROSE_BEFORE, SEED, TIERS, Lives, Story
from demo.money import Money
from fundraiser.app import create_app
from fundraiser.config import Settings
from fundraiser.dashboard.models import ExchangeRate
from fundraiser.db import Base, Database
from fundraiser.members.eligibility import RULE
from fundraiser.members.gifts import Gift
from fundraiser.members.models import (
    Consent,
    ConsentKind,
    Interval,
    LedgerEntry,
    LedgerHead,
    Member,
    Membership,
    fold_address,
)
from fundraiser.newsroom.models import Role
from fundraiser.newsroom.staff import add_staff
from fundraiser.payments.balance import month_of, sum_up
from fundraiser.payments.checkout import CONTRIBUTION
from fundraiser.payments.models import (
    BalanceScan,
    BalanceTransaction,
    Checkout,
    Customer,
    MoneyStage,
    OldPrice,
    Payment,
    Payout,
    Price,
    Tier,
)
from fundraiser.payments.products import publish_catalogue
from fundraiser.payments.stripe.gateway import Gateway
from fundraiser.payments.sync import FACTS
from simulator.core.shapes import Object
from simulator.core.store import Store

RATES = {"EUR": 8550, "USD": 7650}  # ten-thousandths of a pound
AT_ONCE = 500  # people between two steps of the progress bar
NAMED = 7  # one in so many wishes to be named on the campaign's page
NAMES = {
    "reader": {"en": "Reader", "uk": "Читач"},
    "member": {"en": "Member", "uk": "Учасник"},
    "patron": {"en": "Patron", "uk": "Меценат"},
    CONTRIBUTION: {"en": "One-time contribution", "uk": "Одноразовий внесок"},
}
DESCRIPTIONS = {
    "reader": {
        "en": "Pays for about one hour of reporting a year.",
        "uk": "Оплачує близько години репортерської роботи на рік.",
    },
    "member": {
        "en": "What most members pay. It keeps a local reporter in court.",
        "uk": "Стільки платить більшість. Це утримує репортера в суді.",
    },
    "patron": {
        "en": "Also pays for a member who can’t.",
        "uk": "Оплачує ще й того, хто не може платити.",
    },
    CONTRIBUTION: {
        "en": "Once, without becoming a member.",
        "uk": "Один раз, без членства.",
    },
}


def fill(
    settings: Settings,
    store_path: Path,
    progress: Callable[[int, int], None],
    *,
    members: int,
    staff: tuple[str, str],
) -> None:
    """Make the newsroom: tiers (at the simulator too), people, ledger, staff and the campaign.

    ``members`` people count at the end, one in 40 of them by Patreon or bank transfer alone. The
    simulator must run.
    """
    database = Database(settings)
    at = datetime.now(UTC).replace(microsecond=0)
    with database.transaction() as session:
        _add_tiers(session)
        publish_catalogue(session, Gateway(settings, database))
        _add_staff(session, settings, staff, at)
        price_ids = {
            (price.tier_slug, price.interval, price.currency): price.stripe_id
            for price in session.scalars(select(Price))
        }
    store = Store(store_path)
    prices = {key: store.one(name) for key, name in price_ids.items() if name}
    elsewhere = share_of(members)
    app = create_app(settings)
    with app.app_context():
        giving = Giving(settings, at)
        stories = [*giving.contributions(members), *giving.presents(members)]
    here = members - elsewhere.people - sum(story.counts for story in stories)
    payers = []
    lives = Lives(settings, prices, at)
    for payer in lives.tell(here):
        payers.append(payer)
        if len(payers) % AT_ONCE == 0:
            progress(min(len(payers), members) // 2, members)
    giving.contribute_too(payers, members)
    stories += payers
    stories.sort(key=lambda story: (not story.changes, story.joined))
    money = Money(stories, at)
    objects = [*money.objects, *lives.old_prices.values()]
    rows: dict[type[Base], list[dict[str, Any]]] = {
        kind: [] for kind in (Member, Membership, Customer, Payment, Consent)
    }
    old_prices = [_old_price_row(price, at) for price in lives.old_prices.values()]
    rows |= {BalanceTransaction: money.movements, Payout: money.payouts, OldPrice: old_prices}
    for number, story in enumerate(stories, start=1):
        objects += story.objects
        _add_rows(rows, story, number, settings)
    store.load(objects)
    store.close()
    progress(members * 3 // 4, members)
    with database.transaction() as session:
        connection = session.connection()
        for kind, kind_rows in rows.items():
            _copy(connection, kind, kind_rows)
        _add_ledger(connection, stories)
        _add_gifts(connection, giving, stories)
        connection.execute(
            text("SELECT setval(pg_get_serial_sequence('member', 'id'), max(id)) FROM member")
        )
        _add_up(session, settings, money)
    bring_in(app, elsewhere, (payer.person for payer in payers if payer.counts), at)
    with database.transaction() as session:
        add_campaigns(session, settings, at)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    database.dispose()
    progress(members, members)


def _add_rows(
    rows: dict[type[Base], list[dict[str, Any]]], story: Story, number: int, settings: Settings
) -> None:
    """Our own rows of one person; ``number`` is the member's number and the row's id."""
    person = story.person
    named_since = story.joined + timedelta(minutes=9, microseconds=number)
    is_named = number % NAMED == 0 and bool(story.changes)
    if is_named:
        rows[Consent].append(
            {
                "member_id": number,
                "kind": ConsentKind.SUPPORTERS,
                "given": True,
                "text": "Show my name on the campaign’s supporters page.",
                "at": named_since,
            }
        )
    rows[Member].append(
        {
            "id": number,
            "email": person.email,
            "address": fold_address(person.email),
            "name": person.name,
            "country": person.country,
            "language": person.language,
            "number": number if story.changes else None,
            "counting": story.counts,
            "sequence": len(story.changes),
            "recount_at": story.recount_at,
            "first_counted_at": story.joined if story.changes else None,
            "supporter_since": named_since if is_named else None,
            "created_at": story.joined,
        }
    )
    came_from = _came_from(story, settings)
    nothing = dict.fromkeys(came_from)
    for place, row in enumerate(story.rows):
        rows[Membership].append({"member_id": number, **row, **(nothing if place else came_from)})
    if story.card is None:
        return
    rows[Customer].append(
        {
            "id": story.customer_id,
            "member_id": number,
            "email": person.email,
            "deleted": False,
            "settled_at": story.joined,
            "facts": FACTS,
        }
    )
    rows[Payment] += [{"member_id": number, **payment} for payment in story.payments]


def _came_from(story: Story, settings: Settings) -> dict[str, str | None]:
    """Where the person was when the first membership began."""
    site, arrival = (settings.newsroom_url or "").partition("//")[2], story.arrival
    return {
        "campaign": arrival.campaign,
        "ref": f"{site}/articles/{arrival.article}" if arrival.article else None,
        "utm": arrival.tags,
    }


def _add_ledger(connection: Connection, stories: list[Story]) -> None:
    """One row each time somebody started or stopped counting, in the order of time."""
    changes = sorted(
        (change.at, sequence, number, change)
        for number, story in enumerate(stories, start=1)
        for sequence, change in enumerate(story.changes, start=1)
    )
    balances = accumulate(change.by for *_, change in changes)
    entries = [
        {
            "version": version,
            "member_id": number,
            "sequence": sequence,
            "change": change.by,
            "balance": balance,
            "cause": change.cause,
            "cause_ref": change.reference,
            "reason": change.reason,
            "rule": RULE,
            "happened_at": at,
            "recorded_at": at,
        }
        for version, ((at, sequence, number, change), balance) in enumerate(
            zip(changes, balances, strict=True), start=1
        )
    ]
    _copy(connection, LedgerEntry, entries)
    connection.execute(
        update(LedgerHead).values(
            version=len(entries),
            balance=entries[-1]["balance"],
            numbers_given=sum(bool(story.changes) for story in stories),
            changed_at=entries[-1]["recorded_at"],
        )
    )


def _copy(connection: Connection, kind: type[Base], rows: list[dict[str, Any]]) -> None:
    """Write many rows at once, enums as their words; a column that a row lacks is null."""
    if not rows:
        return
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - the engine's own driver
    columns = list(dict.fromkeys(chain.from_iterable({tuple(row) for row in rows})))
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(kind.__tablename__), names)
    with driver.cursor() as cursor, cursor.copy(into) as copy:
        for row in rows:
            copy.write_row([_plain(row.get(name)) for name in columns])


def _plain(value: Any) -> Any:  # noqa: ANN401 - any column's
    return value.value if isinstance(value, Enum) else value


def _add_gifts(connection: Connection, giving: Giving, stories: list[Story]) -> None:
    ids = {story.number: number for number, story in enumerate(stories, start=1)}
    _copy(connection, Checkout, [checkout_row(present.row) for present in giving.gifts])
    _copy(
        connection,
        Gift,
        [
            present.row
            | {
                "giver_id": ids[present.giver.number],
                "recipient_id": ids[present.recipient.number] if present.recipient else None,
            }
            for present in giving.gifts
        ],
    )


def _old_price_row(price: Object, at: datetime) -> dict[str, Any]:
    tier, interval = ROSE
    return {
        "stripe_id": price["id"],
        "tier_slug": tier,
        "interval": interval,
        "currency": price["currency"].upper(),
        "amount": price["unit_amount"],
        "retired_at": at - ROSE_BEFORE,
        "archived_at": at - ROSE_BEFORE,
    }


def _add_staff(session: Session, settings: Settings, staff: tuple[str, str], at: datetime) -> None:
    """The editor, who has entered the exchange rates on the first of each month."""
    email, password = staff
    editor = add_staff(
        session, email=email, name="Iryna Bondar", role=Role.ADMIN, password=password
    )
    session.flush()
    random = Random(SEED)  # noqa: S311 - figures of a demonstration, not secrets
    today = at.astimezone(settings.newsroom_timezone).date()
    months = (divmod(today.year * 12 + today.month - 1 - ago, 12) for ago in range(24))
    for year, month in months:
        day = date(year, month + 1, 1)
        session.add_all(
            ExchangeRate(
                currency=currency,
                own=settings.newsroom_currency,
                day=day,
                rate=Decimal(rate + random.randrange(-150, 150)).scaleb(-4),
                entered_at=datetime(day.year, day.month, 1, tzinfo=UTC),
                staff_id=editor.id,
            )
            for currency, rate in RATES.items()
            if settings.newsroom_currency == "GBP"
        )


def _add_tiers(session: Session) -> None:
    for position, slug in enumerate((*TIERS, CONTRIBUTION)):
        prices = [
            Price(interval=interval, currency=currency, amount=amount)
            for interval, amount in zip(Interval, TIERS.get(slug, ()), strict=False)
            for currency in ("EUR", "USD", "GBP")
        ]
        session.add(
            Tier(
                slug=slug,
                position=position,
                names=NAMES[slug],
                descriptions=DESCRIPTIONS[slug],
                prices=prices,
            )
        )
    session.flush()


def _add_up(session: Session, settings: Settings, money: Money) -> None:
    """The sums of each month; the first look at the money compares them with the simulator's."""
    zone = settings.newsroom_timezone
    for month in {month_of(moved["created_at"], zone) for moved in money.movements}:
        sum_up(session, month, zone)
    session.add(
        BalanceScan(
            id=1,
            stage=MoneyStage.DONE,
            since=max(moved["created_at"] for moved in money.movements),
            months=[],
            zone=zone.key,
        )
    )
