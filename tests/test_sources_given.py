"""Complimentary memberships in bulk, by a file: for people known and unknown, ending or not."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import time_machine
from sqlalchemy import func, select

from fundraiser.members.consistency import check_consistency
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Member, Membership, Source
from fundraiser.outbox import Email
from fundraiser.sources.formats import File, recognise
from fundraiser.sources.models import ImportBatch
from fundraiser.sources.people import forget_address
from fundraiser.sources.readings import FileRefusedError, Options
from tests.factories import make_member
from tests.sources import GRACE, NOON, apply, plan, undo, upload
from tests.staff import LONDON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.db import Database

DAY = timedelta(days=1)
LIST = b"""Name,E-mail,Paid until
Known,known@example.org,2027-03-31
Unknown,unknown@example.org,
Twice,UNKNOWN@example.org,
Over,over@example.org,2026-11-01
Bad,nobody,
"""


@pytest.fixture(autouse=True)
def _at_noon() -> Iterator[None]:
    with time_machine.travel(NOON, tick=True):
        yield


def give(database: Database, content: bytes = LIST) -> int:
    batch_id = plan(database, content, "guests.csv", format="complimentary")
    apply(database, batch_id)
    return batch_id


def given(database: Database) -> dict[str | None, str | None]:
    """Whom a complimentary membership was given to, and until when."""
    with database.transaction() as session:
        rows = session.execute(
            select(Member.address, Membership.cancel_at)
            .join(Membership, Membership.member_id == Member.id)
            .where(Membership.source == Source.COMPLIMENTARY)
        ).all()
    return {
        address: f"{until.astimezone(LONDON) - DAY:%Y-%m-%d}" if until else None
        for address, until in rows
    }


def counts(database: Database, batch_id: int) -> dict[str, int]:
    with database.transaction() as session:
        found = session.get_one(ImportBatch, batch_id).counts
    return {name: count for name, count in found.items() if count}


def test_people_known_and_unknown_are_given_one_and_nobody_is_counted(database: Database) -> None:
    with database.transaction() as session:
        make_member(session, email="known@example.org")
    batch_id = give(database)
    assert counts(database, batch_id) == {"given": 2, "same_row": 1, "refused": 2}
    assert given(database) == {"known@example.org": "2027-03-31", "unknown@example.org": None}
    with database.transaction() as session:
        assert read_balance(session).members == 0
        assert session.scalar(select(func.count()).select_from(Email)) == 0
    with database.transaction() as session:
        assert check_consistency(session, GRACE).findings == ()


def test_the_same_file_twice_gives_once_and_another_end_changes_it(database: Database) -> None:
    give(database)
    again = give(database)
    assert counts(database, again).get("given") is None
    assert counts(database, again)["unchanged"] == 2
    later = give(database, LIST.replace(b"2027-03-31", b"2027-06-30"))
    assert counts(database, later)["renewed"] == 1
    assert given(database)["known@example.org"] == "2027-06-30"
    undo(database, later)
    assert given(database)["known@example.org"] == "2027-03-31"


def test_what_was_given_is_taken_back_as_a_whole(database: Database) -> None:
    undo(database, give(database))
    assert given(database) == {}


def test_who_had_their_account_deleted_is_given_nothing(database: Database) -> None:
    with database.transaction() as session:
        forget_address(session, "unknown@example.org")
    give(database)
    assert set(given(database)) == {"known@example.org"}


def test_a_list_of_payers_is_never_taken_for_one_of_guests() -> None:
    handed = upload(b"Name,E-mail\nA,a@example.org\n", "list.csv")
    found = recognise(File(handed.content, handed.name, Options()))
    assert found
    assert found.name == "table"


def test_a_list_without_addresses_is_refused(database: Database) -> None:
    with pytest.raises(FileRefusedError):
        plan(database, b"Name,Paid until\nA,2027-01-01\n", "a.csv", format="complimentary")
