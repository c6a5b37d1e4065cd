"""How long it takes to count everybody by the rule, and to prove the number, with many members.

    python -m bench rule --members 1000000

The members are made up in SQL, and nobody of them is counted yet: the first recount writes a row of
the ledger for nearly everybody, which is the most that a changed rule can cause. Then the number is
proved, a recount looks at people of whom nothing has changed, and one by a shorter grace period
stops some of them. Each figure is set beside what the processor spent, here and in PostgreSQL, and
beside the memory that the process needed beyond what it had before.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import psutil
from sqlalchemy import text

from bench.dashboard import memory, processor
from bench.servers import environment, migrate
from demo.servers import free_port, throwaway
from fundraiser.config import load_settings
from fundraiser.db import Database
from fundraiser.members.consistency import check_consistency
from fundraiser.members.counting import apply_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

FEW = 25_000
GRACE, SHORTER = timedelta(days=14), timedelta(days=7)
_MOST_MEMORY = 60  # MB that counting may add to the process, however many people there are

FILL = (
    """
    INSERT INTO member (id, email, address, language, counting, sequence, created_at)
    OVERRIDING SYSTEM VALUE
    SELECT n, 'reader.' || n || '@example.org', 'reader.' || n || '@example.org', 'en', false, 0,
           now() - interval '8 years' * n / :members
    FROM generate_series(1, :members) AS n
    """,
    """
    INSERT INTO membership (member_id, source, reference, amount, price, currency, "interval",
                            status, payment_status, collection_paused, started_at, paid_at,
                            paid_until,
                            has_paid, free_until, grace_from, cancel_at, canceled_at, counts_until,
                            refunded_at, ended_at)
    SELECT id, CASE WHEN is_gift THEN 'gift' ELSE 'stripe' END, 'sub_' || id, 1000, 1000, 'GBP',
           CASE WHEN id % 4 = 0 THEN 'year' ELSE 'month' END,
           CASE WHEN id % 11 = 0 THEN 'canceled' WHEN is_overdue THEN 'past_due'
                WHEN is_free THEN 'trialing' ELSE 'active' END,
           CASE WHEN is_overdue THEN 'overdue' WHEN is_free THEN 'free' ELSE 'paid' END,
           id % 101 = 0, created_at, now() - interval '9 days', now() + interval '21 days', true,
           CASE WHEN is_free THEN now() + interval '20 days' END,
           CASE WHEN is_overdue THEN now() - interval '1 hour' * (id % 600) END,
           CASE WHEN id % 37 = 0 THEN now() + interval '1 hour' * (1 + id % 700) END, NULL,
           CASE WHEN is_gift THEN now() + interval '1 day' * (1 + id % 365) END,
           CASE WHEN id % 997 = 0 THEN now() END,
           CASE WHEN id % 11 = 0 THEN created_at + (now() - created_at) / 2 END
    FROM member, LATERAL (SELECT id % 61 = 0 AS is_overdue, id % 59 = 0 AS is_free,
                                 id % 53 = 0 AND id % 61 > 0 AND id % 59 > 0 AS is_gift
                          WHERE id > 0) AS kinds
    """,
    """
    INSERT INTO membership (member_id, source, reference, amount, currency, "interval", status,
                            payment_status, collection_paused, started_at, has_paid, ended_at)
    SELECT id, 'stripe', 'sub_before_' || id, 500, 'GBP', 'month', 'canceled', 'paid', false,
           created_at - interval '400 days', true, created_at - interval '90 days'
    FROM member WHERE id % 5 = 0
    """,
)


def main() -> None:
    """What the command line asks for; 25,000 members unless it says otherwise."""
    arguments = sys.argv[1:]
    measure(int(arguments[arguments.index("--members") + 1]) if "--members" in arguments else FEW)


def measure(members: int) -> None:
    with ExitStack() as stack:
        env = environment(*stack.enter_context(throwaway()), free_port())
        migrate(env)
        database = Database(load_settings(env))
        stack.callback(database.engine.dispose)
        took = fill(database, members)
        print(f"{members:,} members, made in {took:.0f} s")
        print(f"{'':<34}{'seconds':>9}{'processor':>11}{'people a second':>17}{'memory':>10}")
        with measured("recount, all begin to count", members):
            recount_all(database, GRACE)
        tidy(database)
        with measured("the proof", members):
            counting = prove_it(database)
        with measured("recount, nothing has changed", members):
            recount_all(database, GRACE)
        with measured("recount, a shorter grace period", members):
            recount_all(database, SHORTER)
        print(f"counted: {counting:,}, and {counting - prove_it(database, SHORTER):,} fewer then")


def fill(database: Database, members: int) -> float:
    """Make up the members; returns the seconds it took."""
    begun = time.perf_counter()
    with database.transaction() as session:
        session.execute(text("SET LOCAL statement_timeout = 0"))
        for statement in FILL:
            session.execute(
                text(statement), {"members": members} if ":members" in statement else {}
            )
    tidy(database)
    return time.perf_counter() - begun


def tidy(database: Database) -> None:
    """What autovacuum has long done on a machine that was not filled a minute ago."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("RESET statement_timeout"))


def recount_all(database: Database, grace: timedelta) -> None:
    """As ``fundraiser recount`` does, without the look at what it will do."""
    after: int | None = 0
    while after is not None:
        with database.transaction() as session:
            after = apply_rule(session, grace, after)


def prove_it(database: Database, grace: timedelta = GRACE) -> int:
    with database.transaction() as session:
        proof = check_consistency(session, grace)
    assert proof.holds, proof.findings[:3]
    return proof.counting


@contextmanager
def measured(name: str, members: int) -> Iterator[None]:
    """Print what happens meanwhile costs."""
    everybody = [psutil.Process(), *psutil.Process().children()]
    before, worked, begun = memory([everybody[0]]), processor(everybody), time.perf_counter()
    peak, done = [before], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak.append(max(peak.pop(), memory([everybody[0]])))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    seconds, spent = time.perf_counter() - begun, processor(everybody) - worked
    print(
        f"{name:<34}{seconds:>7.1f} s{spent:>9.1f} s{members / seconds:>17,.0f}"
        f"{peak[0] - before:>7.0f} MB"
    )
    assert peak[0] - before < _MOST_MEMORY, "Counting does not keep to constant memory."
