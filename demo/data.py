"""The demonstration's newsroom: two years of members, the same at Stripe's simulator and with us.

Both sides are written at once, as if the service had lived through it: settling any of these people
afterwards changes nothing.
"""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.orm import Session

from demo.elsewhere import bring_in, share_of
from demo.lives import TIERS, Lives, Story
from demo.money import Money
from demo.settings import CAMPAIGN
from fundraiser.campaigns.models import Campaign, Counts, Goal
from fundraiser.config import Settings
from fundraiser.db import Base, Database
from fundraiser.members.eligibility import RULE, Reason
from fundraiser.members.models import (
    Cause,
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
    Customer,
    MoneyStage,
    Payment,
    Payout,
    Price,
    Tier,
)
from fundraiser.payments.products import publish_catalogue
from fundraiser.payments.stripe.gateway import Gateway
from fundraiser.payments.sync import FACTS
from simulator.core.store import Store

AT_ONCE = 500  # people between two steps of the progress bar
NAMED = 7  # one in so many wishes to be named on the campaign's page
# Of twenty who have joined since the campaign began: the article, or the tags of the link.
ARTICLES = {
    **dict.fromkeys(range(6), "harbour-tide-gauges"),
    **dict.fromkeys(range(6, 9), "last-net-loft"),
    **dict.fromkeys(range(9, 11), "contracts-in-the-open"),
    11: "club-without-a-sponsor",
}
TAGS = {
    **dict.fromkeys((5, 12, 13, 14), "newsletter / email / friday"),
    **dict.fromkeys((15, 16), "mastodon / social"),
}
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
HEADLINE = {
    "en": "Quality journalism takes work — and a community that cares",
    "uk": "Якісна журналістика потребує праці — і спільноти, якій не байдуже",
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

    ``members`` people count at the end, one in 40 of them by Patreon or bank transfer alone, and 3
    for each 8 of them once did. The simulator must run.
    """
    database = Database(settings)
    at = datetime.now(UTC).replace(microsecond=0)
    with database.transaction() as session:
        _add_tiers(session)
        publish_catalogue(session, Gateway(settings, database))
        email, password = staff
        add_staff(session, email=email, name="Iryna Bondar", role=Role.ADMIN, password=password)
        price_ids = {
            (price.tier_slug, price.interval, price.currency): price.stripe_id
            for price in session.scalars(select(Price))
        }
    store = Store(store_path)
    prices = {key: store.one(name) for key, name in price_ids.items() if name}
    lives = Lives(prices, at, settings.grace)
    total = members + members * 3 // 8
    elsewhere = share_of(members)
    here = members - elsewhere.people
    stories = [
        lives.make(number, counts=number <= here)
        for number in range(1, total - elsewhere.people + 1)
    ]
    lives.random.shuffle(stories)
    stories.sort(key=lambda story: story.joined)
    money = Money(stories, at)
    objects = money.objects
    rows: dict[type[Base], list[dict[str, Any]]] = {
        kind: [] for kind in (Member, Membership, Customer, Payment, Consent)
    }
    rows |= {BalanceTransaction: money.movements, Payout: money.payouts}
    for number, story in enumerate(stories, start=1):
        objects += story.objects
        _add_rows(rows, story, number)
        rows[Membership][-1] |= _came_from(number, story, at, settings)
        if number % AT_ONCE == 0:
            progress(number // 2, total)
    store.load(objects)
    store.close()
    progress(total * 3 // 4, total)
    with database.transaction() as session:
        connection = session.connection()
        for kind, kind_rows in rows.items():
            _copy(connection, kind, kind_rows)
        _add_ledger(connection, stories)
        connection.execute(
            text("SELECT setval(pg_get_serial_sequence('member', 'id'), max(id)) FROM member")
        )
        _add_up(session, settings, money)
    bring_in(settings, elsewhere, (story.person for story in stories if not story.left), at)
    with database.transaction() as session:
        _add_campaign(session, settings, at)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    database.dispose()
    progress(total, total)


def _add_rows(rows: dict[type[Base], list[dict[str, Any]]], story: Story, number: int) -> None:
    """Our own rows of one person; ``number`` is the member's number and the row's id."""
    person = story.person
    named_since = story.joined + timedelta(minutes=9, microseconds=number)
    is_named = number % NAMED == 0
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
            "number": number,
            "counting": story.left is None,
            "sequence": 1 if story.left is None else 2,
            "recount_at": story.recount_at,
            "first_counted_at": story.joined,
            "supporter_since": named_since if is_named else None,
            "created_at": story.joined,
        }
    )
    rows[Membership].append({"member_id": number, **story.row})
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


def _came_from(number: int, story: Story, at: datetime, settings: Settings) -> dict[str, Any]:
    """Where the person was when the membership began; nobody was asked before the campaign."""
    if story.joined.year != at.year:
        return {"campaign": None, "ref": None, "utm": None}
    article, tags = ARTICLES.get(number % 20), TAGS.get(number % 20)
    site = (settings.newsroom_url or "").partition("//")[2]
    return {
        "campaign": CAMPAIGN,
        "ref": f"{site}/articles/{article}" if article else None,
        "utm": tags,
    }


def _add_ledger(connection: Connection, stories: list[Story]) -> None:
    """One row each time somebody started or stopped counting, in the order of time."""
    starts = [(s.joined, 1, n, Reason.PAID, s) for n, s in enumerate(stories, start=1)]
    stops = sorted(
        ((s.left, 2, n, s.left_because, s) for n, s in enumerate(stories, start=1) if s.left),
        key=lambda stop: stop[:3],
    )
    entries: list[dict[str, Any]] = []
    balance = 0
    for version, (at, sequence, number, reason, story) in enumerate(
        heapq.merge(starts, stops, key=lambda entry: entry[:3]), start=1
    ):
        balance += 1 if sequence == 1 else -1
        entries.append(
            {
                "version": version,
                "member_id": number,
                "sequence": sequence,
                "change": 1 if sequence == 1 else -1,
                "balance": balance,
                "cause": Cause.STRIPE if reason is not Reason.GRACE_OVER else Cause.CLOCK,
                "cause_ref": story.row["reference"],
                "reason": reason,
                "rule": RULE,
                "happened_at": at,
                "recorded_at": at,
            }
        )
    _copy(connection, LedgerEntry, entries)
    connection.execute(
        update(LedgerHead).values(
            version=len(entries),
            balance=balance,
            numbers_given=len(stories),
            changed_at=entries[-1]["recorded_at"],
        )
    )


def _copy(connection: Connection, kind: type[Base], rows: list[dict[str, Any]]) -> None:
    """Write many rows at once; each has the same columns, enums as their words."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - the engine's own driver
    names = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(kind.__tablename__), names)
    with driver.cursor() as cursor, cursor.copy(into) as copy:
        for row in rows:
            copy.write_row([getattr(value, "value", value) for value in row.values()])


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


def _add_campaign(session: Session, settings: Settings, at: datetime) -> None:
    """25,000 members by the end of the current year, in the newsroom's zone."""
    zone = settings.newsroom_timezone
    year = at.astimezone(zone).year
    first = session.scalar(select(func.min(LedgerEntry.recorded_at))) or at
    newspaper = urlsplit(settings.newsroom_url or settings.public_url)
    session.add(
        Campaign(
            slug=CAMPAIGN,
            headlines=HEADLINE,
            messages={
                "en": f"Help us reach 25,000 members by the end of {year}",
                "uk": f"Допоможіть нам зібрати 25 000 учасників до кінця {year} року",
            },
            counts=Counts.ALL,
            starts_at=max(first, datetime(year, 1, 1, tzinfo=zone)),
            deadline=datetime(year, 12, 31, 23, 59, 59, tzinfo=zone),
            timezone=zone.key,
            tiers=list(TIERS),
            default_tier="member",
            default_currency="GBP",
            sites=[f"{newspaper.scheme}://{newspaper.netloc}"],
            created_at=at,
            goals=[Goal(members=25_000, set_at=at)],
        )
    )
