"""What tests of settlements share: members who join, time that passes, and what came of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from demo.servers import free_port
from fundraiser.members.consistency import check_consistency
from fundraiser.members.counting import recount_due
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import (
    LedgerEntry,
    Member,
    Membership,
)
from fundraiser.outbox import Email
from simulator.core.store import Store
from tests.factories import GRACE, Stripe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fundraiser.db import Database


ROOT = Path(__file__).parent.parent
DAY = 86400
Change = dict[str, Any]


@pytest.fixture
def stripe_url(
    request: pytest.FixtureRequest,
    empty_stripe_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """A simulator that has nothing yet, with the account's setting for the end of dunning."""
    end = request.node.get_closest_marker("dunning_end")
    if end is None:
        yield empty_stripe_url
        return
    port = free_port()
    command = [sys.executable, "-m", "simulator", "--port", str(port)]
    command += ["--dunning-end", end.args[0], "--store", str(tmp_path / "store.sqlite")]
    command += ["--clock-file", str(tmp_path / "clock")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SIMULATOR_CLOCK", str(tmp_path / "clock"))
    url = f"http://127.0.0.1:{port}"
    Stripe.wait_until_it_answers(url, process)
    yield url
    process.terminate()
    process.wait(10)


def rewrite(identity: str, change: Change | Callable[[Any], Any]) -> None:
    """Write an object at Stripe that the API gives no way to make, in Stripe's own shape."""
    with store_at_stripe() as store:
        whole = store.one(identity)
        store.put(change(whole) if callable(change) else {**whole, **change})


class store_at_stripe:  # noqa: N801 - used like a function
    def __enter__(self) -> Store:
        self.store = Store(Path(os.environ["SIMULATOR_CLOCK"]).with_name("store.sqlite"))
        return self.store

    def __exit__(self, *_: object) -> None:
        self.store.close()


def join(stripe: Stripe, email: str = "olena@example.org", **values: Any) -> tuple[str, str]:
    """A member who is settled; returns customer and subscription."""
    customer = stripe.join(email, **values)
    stripe.settle(customer)
    found = stripe.call("GET", "subscriptions", customer=customer)["data"][0]
    return customer, str(found["id"])


def time_passes(stripe: Stripe, database: Database, customer: str, **span: float) -> None:
    stripe.advance(**span)
    stripe.settle(customer)
    with database.transaction() as session:
        recount_due(session, GRACE)


def number(database: Database) -> int:
    with database.transaction() as session:
        assert check_consistency(session, GRACE).holds
    with database.transaction() as session:
        return read_balance(session).members


def changes(database: Database) -> list[tuple[int, str]]:
    with database.transaction() as session:
        found = session.scalars(select(LedgerEntry).order_by(LedgerEntry.version))
        return [(entry.change, entry.reason) for entry in found]


def welcomes(database: Database) -> int:
    with database.transaction() as session:
        return list(session.scalars(select(Email.kind))).count("welcome")


def memberships(database: Database) -> Sequence[Membership]:
    with database.transaction() as session:
        return session.scalars(select(Membership).order_by(Membership.id)).all()


def people(database: Database) -> list[tuple[str | None, int | None, bool]]:
    with database.transaction() as session:
        found = session.scalars(select(Member).order_by(Member.id))
        return [(one.email, one.number, one.counting) for one in found]


def price_elsewhere(stripe: Stripe) -> str:
    """A price of a product that this service has not made."""
    product = stripe.call("POST", "products", name="Print edition")["id"]
    return str(
        stripe.call(
            "POST",
            "prices",
            product=product,
            currency="gbp",
            unit_amount=3000,
            **{"recurring[interval]": "month"},
        )["id"]
    )


def live_through(stripe: Stripe, database: Database, customer: str, days: int) -> list[int]:
    """The number, every third day."""
    seen = []
    for _ in range(days // 3):
        time_passes(stripe, database, customer, days=3)
        seen.append(number(database))
    return seen


def coupon(stripe: Stripe, **terms: Any) -> dict[str, str]:
    """What gives a subscription a new coupon with these terms."""
    return {"discounts[0][coupon]": stripe.call("POST", "coupons", **terms)["id"]}


def number_of_members(database: Database) -> int:
    with database.transaction() as session:
        return read_balance(session).members


def emails(database: Database) -> list[str]:
    with database.transaction() as session:
        return list(session.scalars(select(Email.kind).order_by(Email.id)))
