"""What it costs to bring a list of members in: dry run, application and undo.

    python -m bench sources --rows 25000
    python -m bench sources --rows 1000000

The list is made up, in Patreon's columns. The yardstick is a COPY of as many people and memberships
into the same two tables, which judges nothing, counts nobody and can't be undone. Memory is what
the process needs beyond what it had before: it must not grow with the file.
"""

from __future__ import annotations

import csv
import io
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from bench.rule import measured
from bench.servers import environment, migrate
from demo.servers import free_port, throwaway
from fundraiser.app import create_app
from fundraiser.config import load_settings
from fundraiser.members.ledger import read_balance
from fundraiser.sources import batches
from fundraiser.sources.readings import Options

if TYPE_CHECKING:
    from typing import BinaryIO

    from fundraiser.db import Database

FEW = 25_000
GRACE = timedelta(days=14)
HEADINGS = (
    *("Name", "Email", "Patron Status", "Free Member", "Free Trial", "Lifetime Amount"),
    *("Pledge Amount", "Charge Frequency", "Patronage Since Date", "Last Charge Date"),
    *("Last Charge Status", "User ID", "Last Updated", "Currency", "Access Expiration"),
    "Next Charge Date",
)


def write_list(file: BinaryIO, rows: int) -> None:
    """A list of patrons who pay monthly, a new charge ahead of each."""
    at = datetime.now(UTC)
    due, paid = at + timedelta(days=12), at - timedelta(days=18)
    words = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(words)
    writer.writerow(HEADINGS)
    for number in range(rows):
        began = at - timedelta(days=30 + number % 900)
        writer.writerow(
            (
                *(f"Patron {number}", f"patron.{number}@example.org", "Active patron", "No", "No"),
                *("60.00", "5.00", "monthly", f"{began:%Y-%m-%d %H:%M:%S}"),
                *(f"{paid:%Y-%m-%d %H:%M:%S}", "Paid", 90_000_000 + number),
                *(f"{at:%Y-%m-%d %H:%M:%S}", "USD", "", f"{due:%Y-%m-%d %H:%M:%S}"),
            )
        )
    words.detach()


def copy_as_many(database: Database, rows: int) -> None:
    """The yardstick: people and memberships, by COPY, and taken back."""
    with database.transaction() as session:
        session.execute(text("SET LOCAL statement_timeout = 0"))
        connection = session.connection().connection.driver_connection
        assert connection is not None
        at = datetime.now(UTC)
        with connection.cursor() as cursor:
            columns = "id, email, address, name, language, counting, sequence, created_at"
            with cursor.copy(f"COPY member ({columns}) FROM STDIN") as copy:
                for n in range(1, rows + 1):
                    address = f"copied.{n}@example.org"
                    copy.write_row((n, address, address, f"Copied {n}", "en", False, 0, at))
            columns = (
                "member_id, source, reference, amount, currency, status, payment_status,"
                " collection_paused, started_at, counts_until"
            )
            with cursor.copy(f"COPY membership ({columns}) FROM STDIN") as copy:
                for n in range(1, rows + 1):
                    paid = ("import", f"copied:{n}", 500, "USD", "active", "paid", False, at, at)
                    copy.write_row((n, *paid))
        session.rollback()


def main() -> None:
    rows = FEW
    if "--rows" in sys.argv:
        rows = int(sys.argv[sys.argv.index("--rows") + 1])
    with ExitStack() as stack:
        env = environment(*stack.enter_context(throwaway()), free_port())
        migrate(env)
        app = create_app(load_settings(env))
        stack.callback(app.database.engine.dispose)
        stack.enter_context(app.app_context())
        file = stack.enter_context(tempfile.TemporaryFile())
        write_list(file, rows)
        bring_in(app.database, file, rows)


def bring_in(database: Database, file: BinaryIO, rows: int) -> None:
    print(f"\nSources: a list of {rows:,} members")
    print(f"{'':<34}{'time':>9}{'processor':>11}{'rows a second':>17}{'memory':>10}")
    with measured("COPY of as many rows (yardstick)", rows):
        copy_as_many(database, rows)
    with measured("dry run", rows), database.transaction() as session:
        batch = batches.begin(session, batches.Upload(file, "patrons.csv"), Options())
        batches.read_and_plan(session, batch, file, GRACE)
        batch_id = batch.id
    with measured("application, people counted", rows):
        with database.transaction() as session:
            batches.confirm(session, batches.find_batch(session, batch_id), GRACE)
        while batches.step(database, batch_id, GRACE):
            pass
    with database.transaction() as session:
        assert read_balance(session).members == rows
    with measured("undo", rows):
        with database.transaction() as session:
            batches.undo(session, batches.find_batch(session, batch_id))
        while batches.step(database, batch_id, GRACE):
            pass
    with database.transaction() as session:
        assert read_balance(session).members == 0


if __name__ == "__main__":
    main()
