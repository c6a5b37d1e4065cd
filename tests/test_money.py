"""Money: the books of each month and payout are Stripe's own table, to the cent."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from collections import defaultdict
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, update

from fundraiser.dashboard import labels
from fundraiser.dashboard.columns import Cells
from fundraiser.db import now
from fundraiser.newsroom.models import Role
from fundraiser.payments import balance
from fundraiser.payments.models import BalanceTransaction, HeldAtStripe, MonthlySum, Part, Payout
from fundraiser.payments.stripe.gateway import StripeUnavailableError
from fundraiser.payments.stripe.money_gateway import MoneyGateway, money_gateway
from fundraiser.payments.stripe.types import Page
from tests.staff import PAGE, csrf_token, hire, names, read, shown, sign_in, words

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient

    from fundraiser.db import Database
    from fundraiser.payments.stripe.types import Movement
    from tests.factories import Stripe

ZONE = ZoneInfo("Europe/London")
AMOUNT = re.compile(r"\N{MINUS SIGN}?[£$€][\d,]+\.\d\d")


@pytest.fixture
def stripe_url(empty_stripe_url: str) -> str:
    return empty_stripe_url


@pytest.fixture
def store(second_simulator: tuple[str, Path]) -> Path:
    """The simulator's own table, to be read directly."""
    return second_simulator[1] / "store.sqlite"


def look(database: Database, every: timedelta = timedelta()) -> int:
    """Look through all of it, as the worker does; returns how many steps that took."""
    steps = 1
    while True:
        with database.transaction() as session:
            if not balance.scan_on(session, money_gateway(), ZONE, every=every):
                return steps
        steps += 1


def stripes_own(store: Path) -> dict[tuple[str, str], dict[str, int]]:
    """Gross, refunds, disputes, fees and payouts by month and currency: an independent sum."""
    names = {"charge": "gross", "refund": "refunds", "refund_failure": "refunds"}
    names |= {"dispute": "disputes", "dispute_reversal": "disputes", "fee": "fees"}
    names |= {"payout": "payouts", "payout_reversal": "payouts"}
    sums: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    with closing(sqlite3.connect(store)) as connection:
        rows = connection.execute("SELECT data FROM objects WHERE object = 'balance_transaction'")
        for (data,) in rows:
            found = json.loads(data)
            at = datetime.fromtimestamp(found["created"], UTC).astimezone(ZONE)
            month = sums[f"{at:%Y-%m}", found["currency"].upper()]
            month[names[found["reporting_category"]]] += found["amount"]
            month["fees"] -= found["fee"]
    return {key: dict(found) for key, found in sums.items()}


def ours(database: Database) -> dict[tuple[str, str], dict[str, int]]:
    """The same of our monthly sums."""
    sums: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    with database.transaction() as session:
        for row in session.scalars(select(MonthlySum)):
            month = sums[f"{row.month:%Y-%m}", row.currency]
            month[row.part] += row.amount
            month["fees"] -= row.fee
    return {key: dict(found) for key, found in sums.items()}


def differences(database: Database) -> dict[str, int | None]:
    with database.transaction() as session:
        return dict(session.execute(select(HeldAtStripe.currency, HeldAtStripe.difference)).all())


def live(stripe: Stripe) -> None:
    """Members of several tiers and currencies, refunds and disputes."""
    stripe.open_shop()
    people = {
        name: stripe.join(f"{name}@example.org", **choice)
        for name, choice in (
            ("whole", {"tier": "reader", "currency": "USD"}),
            ("part", {}),
            ("lost", {}),
            ("won", {"tier": "patron", "currency": "EUR"}),
        )
    }
    charges = {name: charge_of(stripe, customer) for name, customer in people.items()}
    stripe.call("POST", "refunds", charge=charges["whole"])
    stripe.call("POST", "refunds", charge=charges["part"], amount=350)
    for name in ("lost", "won"):
        opened = stripe.control("disputes", charge=charges[name])["id"]
        stripe.control("disputes", dispute=opened, outcome=name)
    stripe.control("fees", amount=275, currency="gbp")
    for customer in people.values():
        stripe.settle(customer)


def charge_of(stripe: Stripe, customer: str) -> str:
    return str(stripe.call("GET", "charges", customer=customer)["data"][0]["id"])


def test_months_and_payouts_are_stripes_own_to_the_cent(
    stripe: Stripe, database: Database, store: Path
) -> None:
    live(stripe)
    look(database)
    assert ours(database) == stripes_own(store)
    assert set(differences(database).values()) == {0}

    # Half an hour before midnight in UTC it is April in London already.
    year = now().year + 1
    stripe.control("clock", advance_to=f"{year}-03-31T23:30Z")
    late = stripe.join("april@example.org", tier="patron")
    look(database)
    april = stripes_own(store)[f"{year}-04", "GBP"]
    assert april == {"gross": 2500, "fees": -58}
    assert ours(database) == stripes_own(store)
    with database.transaction() as session:
        row = session.scalars(select(MonthlySum).where(MonthlySum.month == date(year, 4, 1))).one()
        assert (row.kind, row.tier) == ("", "")  # not settled yet
    stripe.settle(late)
    look(database)
    with database.transaction() as session:
        row = session.scalars(select(MonthlySum).where(MonthlySum.month == date(year, 4, 1))).one()
        assert (row.kind, row.tier) == ("membership", "patron")

    with database.transaction() as session:
        newest = session.scalars(select(Payout).order_by(Payout.created_at.desc())).first()
    assert newest
    stripe.control("payouts", payout=newest.id)
    stripe.advance(days=5)
    look(database)
    assert ours(database) == stripes_own(store)
    assert differences(database) == {"EUR": 0, "GBP": 0, "USD": 0}
    with database.transaction() as session:
        states = set(session.scalars(select(Payout.status)))
        assert {"paid", "failed"} <= states
        for payout in session.scalars(select(Payout)):
            inside = select(func.sum(BalanceTransaction.net)).where(
                BalanceTransaction.payout_id == payout.id, BalanceTransaction.part != Part.PAYOUTS
            )
            back = select(func.sum(BalanceTransaction.net)).where(
                BalanceTransaction.payout_id == payout.id,
                BalanceTransaction.category == "payout_reversal",
            )
            parts = (session.scalar(inside), session.scalar(back))
            assert sum(part or 0 for part in parts) == payout.amount


def test_a_look_that_is_interrupted_goes_on_and_one_that_is_repeated_changes_nothing(
    stripe: Stripe, database: Database, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(stripe)
    monkeypatch.setattr("fundraiser.payments.stripe.calls._PAGE", 3)
    for _ in range(3):
        with database.transaction() as session:
            assert balance.scan_on(session, money_gateway(), ZONE, every=timedelta())
    with monkeypatch.context() as away:
        away.setattr(MoneyGateway, "list_movements", refuse)
        with pytest.raises(StripeUnavailableError), database.transaction() as session:
            balance.scan_on(session, money_gateway(), ZONE, every=timedelta())
    look(database)
    assert ours(database) == stripes_own(store)
    before = ours(database)
    look(database)
    assert ours(database) == before
    with database.transaction() as session:
        assert not balance.scan_on(session, money_gateway(), ZONE, every=timedelta(hours=1))


@pytest.mark.wording
def test_finance_reads_months_and_payouts_that_add_up_and_takes_them_as_files(
    stripe: Stripe, database: Database, client: FlaskClient, store: Path
) -> None:
    sign_in(client, hire(database, Role.FINANCE))
    assert "no-money-yet" in names(read(client, "/staff/money"))
    live(stripe)
    stripe.advance(days=4)
    with database.transaction() as session:
        balance.scan_on(session, money_gateway(), ZONE, every=timedelta())
    assert "books-incomplete" in names(read(client, "/staff/money"))
    look(database)
    (month, currency), found = max(stripes_own(store).items(), key=lambda one: one[0][1] == "GBP")
    assert currency == "GBP"
    net = sum(amount for part, amount in found.items() if part != "payouts")

    page = read(client, f"/staff/money?currency={currency}")
    assert pounds(held(store, currency)) in shown(page, "books-match")
    line = next(line for line in page.select("tbody tr") if f"#{currency}" in str(line))
    cells = [cell.get_text() for cell in line.select("td")]
    parts = ("gross", "refunds", "disputes", "fees")
    assert cells[1:6] == [*(pounds(found.get(part, 0)) for part in parts), pounds(net)]
    assert sum(cents(cell) for cell in cells[1:5]) == cents(cells[5])

    page = read(client, f"/staff/money/{month}")
    for table in page.select(f"#{currency} .adds-up"):
        *lines, result = [cents(cell.get_text()) for cell in table.select("td")]
        assert sum(lines) == result
    with client.application.test_request_context():
        fees = labels.purpose(Part.FEES, None, {})
    assert {"Member", fees} <= {
        cell.get_text() for cell in page.select(f"#{currency} th[scope=row]")
    }
    payout = read(client, "/staff/payouts").select_one("tbody a")
    assert payout
    address = str(payout["href"])
    page = read(client, address)
    *lines, result = [cents(cell.get_text()) for cell in page.select(".adds-up td")]
    assert sum(lines) == result == cents(words(page, "h1"))
    assert "payout-matches" in names(page)
    with database.transaction() as session:
        session.execute(update(Payout).values(amount=Payout.amount + 1))
        session.execute(update(HeldAtStripe).values(compared_at=now() - timedelta(hours=4)))
    said = shown(read(client, address), "payout-differs")
    assert [cents(amount) for amount in AMOUNT.findall(said)] == [result, result + 1]
    assert "books-matched-before" in names(read(client, "/staff/money"))

    token = csrf_token(client, f"/staff/money/{month}")
    answer = client.post(f"/staff/money/{month}/export", data={"csrf_token": token})
    rows = list(csv.DictReader(StringIO(answer.get_data(as_text=True).removeprefix("\ufeff"))))
    assert sum(Decimal(row["Net"]) for row in rows if row["Currency"] == currency) == Decimal(
        sum(found.values())
    ).scaleb(-2)
    gross = [row for row in rows if row["Payer"]]
    assert gross, "who paid"
    assert any(row["Member number"] for row in gross)
    assert any(row["At the bank"] for row in rows), "when it reached the bank"
    assert {row["VAT included"] for row in rows} == {""}, "without a rate"
    assert client.get("/staff/payouts/po_none", headers=PAGE).status_code == 404
    for nonsense in ("2026-13", "march", "0001-01"):
        assert "error-404" in names(read(client, f"/staff/money/{nonsense}", status=404))


@pytest.mark.parametrize(
    ("gross", "currency", "part", "kind", "vat"),
    [
        (1070, "EUR", Part.GROSS, "membership", "0.70"),
        (1070, "EUR", Part.GROSS, None, "0.70"),
        (1070, "EUR", Part.GROSS, "contribution", ""),
        (-1070, "EUR", Part.REFUNDS, "membership", "-0.70"),
        (1070, "EUR", Part.FEES, "membership", ""),
        (1070, "EUR", Part.PAYOUTS, None, ""),
        (1070, "JPY", Part.GROSS, "gift", "70"),
    ],
)
def test_the_file_says_how_much_vat_a_payment_includes(
    gross: int, currency: str, part: Part, kind: str | None, vat: str
) -> None:
    assert Cells(ZoneInfo("UTC"), Decimal(7)).vat(gross, currency, part, kind) == vat
    assert Cells(ZoneInfo("UTC")).vat(gross, currency, part, kind) == ""


def pounds(amount: int) -> str:
    written = f"£{abs(amount) / 100:,.2f}"
    return f"\N{MINUS SIGN}{written}" if amount < 0 else written


def cents(written: str) -> int:
    digits = re.sub(r"[^\d\N{MINUS SIGN}]", "", written).replace("\N{MINUS SIGN}", "-")
    return int(digits)


def refuse(*_: object, **__: object) -> None:
    raise StripeUnavailableError("Stripe does not answer.")


def test_a_movement_that_is_withheld_is_noticed_and_named_until_it_comes(
    stripe: Stripe,
    database: Database,
    client: FlaskClient,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live(stripe)
    withheld = moved_last(store)
    true_list = MoneyGateway.list_movements

    def without(self: MoneyGateway, **given: Any) -> Page[Movement]:
        page = true_list(self, **given)
        return Page(tuple(one for one in page.facts if one.id != withheld["id"]), page.next)

    with monkeypatch.context() as patch:
        patch.setattr(MoneyGateway, "list_movements", without)
        look(database)
    assert differences(database)[withheld["currency"].upper()] == withheld["net"]
    sign_in(client, hire(database, Role.FINANCE))
    currency = withheld["currency"].upper()
    said = shown(read(client, "/staff/money"), "books-differ")
    theirs = held(store, currency)
    ours_then = theirs - withheld["net"]
    amounts = [cents(amount) for amount in AMOUNT.findall(said)]
    assert amounts == [theirs, ours_then, withheld["net"]]
    assert "money-differs" in names(read(client, "/staff"))
    look(database)
    assert set(differences(database).values()) == {0}


def held(store: Path, currency: str) -> int:
    """What Stripe's own table says that it holds."""
    months = stripes_own(store).items()
    return sum(sum(parts.values()) for (_month, of), parts in months if of == currency)


def moved_last(store: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(store)) as connection:
        newest = "SELECT data FROM objects WHERE object = 'balance_transaction' ORDER BY seq DESC"
        found: dict[str, Any] = json.loads(connection.execute(newest).fetchone()[0])
        return found


def test_payouts_are_listed_by_what_became_of_them_and_by_currency(
    client: FlaskClient, database: Database
) -> None:
    rows = {"po_1": "paid", "po_2": "failed", "po_3": "canceled", "po_4": "in_transit"}
    with database.transaction() as session:
        for name, status in rows.items():
            session.add(
                Payout(
                    id=name,
                    amount=100,
                    currency="EUR" if name == "po_3" else "GBP",
                    status=status,
                    listed=True,
                    created_at=now(),
                    arrives_at=now(),
                    failure="account_closed" if status == "failed" else None,
                )
            )
    sign_in(client, hire(database, Role.FINANCE))
    for query, found in {
        "": {"po_1", "po_2", "po_3", "po_4"},
        "state=arrived": {"po_1"},
        "state=returned": {"po_2", "po_3"},
        "state=returned&currency=GBP": {"po_2"},
        "state=under-way": {"po_4"},
        "state=nothing&currency=EUR": {"po_3"},
    }.items():
        page = read(client, f"/staff/payouts?{query}")
        links = {str(link["href"]).rpartition("/")[2] for link in page.select("tbody th a")}
        assert links == found, query
    assert "account_closed" not in read(client, "/staff/payouts/po_2").get_text()
