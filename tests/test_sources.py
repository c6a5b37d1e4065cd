"""Members from elsewhere: who counts in each example file, row by row, and bringing them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import time_machine
from sqlalchemy import select

from fundraiser.members.ledger import read_balance
from fundraiser.sources.models import ImportRow, Outcome
from fundraiser.sources.readings import Why
from tests.sources import NOON, bring_in, expected_tables

if TYPE_CHECKING:
    from fundraiser.db import Database
    from tests.sources import Expected

TABLES = expected_tables()


@pytest.mark.parametrize("table", TABLES, ids=[table.file for table in TABLES])
def test_each_row_counts_as_expected(database: Database, table: Expected) -> None:
    with time_machine.travel(NOON, tick=False):
        batch_id = bring_in(database, table.file)
        with database.transaction() as session:
            rows = {
                row.number: row
                for row in session.scalars(select(ImportRow).where(ImportRow.batch_id == batch_id))
            }
            found = {number: said(rows[number]) for number in table.expected}
            assert found == table.expected
            assert read_balance(session).members == table.people


def said(row: ImportRow) -> str:
    if row.same_as:
        return "same"
    match row.outcome:
        case Outcome.HELD:
            return "staff"
        case Outcome.REFUSED:
            return "refused"
        case Outcome.SKIPPED if row.why == Why.DELETED:
            return "skipped"
        case _:
            return "yes" if row.counts else "no"
