"""Files from elsewhere in our books: applied once, gone on with, undone as a whole."""

from __future__ import annotations

import csv
import io
from contextlib import nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from click.testing import CliRunner
from sqlalchemy import func, select, text, update

from fundraiser.campaigns.milestones import look_for_milestones
from fundraiser.campaigns.models import Campaign, Milestone
from fundraiser.cli import main
from fundraiser.errors import UnprocessableError
from fundraiser.members.consistency import check_consistency
from fundraiser.members.counting import recount
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Cause, LedgerEntry, Member, Membership, Status
from fundraiser.outbox import Email
from fundraiser.sources import applying, batches
from fundraiser.sources.models import (
    BatchState,
    Decision,
    ExternalSource,
    ImportBatch,
    ImportRow,
    Outcome,
)
from fundraiser.sources.overview import refresh, running_out
from fundraiser.sources.readings import FileRefusedError, Options
from tests.factories import make_campaign, make_member, make_membership
from tests.sources import EXAMPLES, GRACE, NOON, apply, bring_in, plan, undo
from tests.staff import hire, names, read, sign_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session

    from fundraiser.db import Database

PATREON = (EXAMPLES / "patreon.csv").read_bytes()
LIST = "Name,E-mail,Amount,Every,Paid until\n"


@pytest.fixture(autouse=True)
def _at_noon() -> Iterator[None]:
    with time_machine.travel(NOON, tick=True):
        yield


def people_list(*rows: str) -> bytes:
    return (LIST + "\n".join(rows) + "\n").encode()


def tables(session: Session) -> dict[str, list[Any]]:
    """What an undo has to bring back: whose memberships there are, and who counts."""
    memberships = session.execute(
        select(
            Membership.reference,
            Membership.counts_until,
            Membership.cancel_at,
            Membership.amount,
            Membership.status,
            Membership.started_at,
        ).order_by(Membership.reference)
    ).all()
    counting = session.scalars(
        select(Member.address).where(Member.counting).order_by(Member.id)
    ).all()
    return {"memberships": [tuple(row) for row in memberships], "counting": list(counting)}


def number(database: Database) -> int:
    with database.transaction() as session:
        return read_balance(session).members


def assert_proved(database: Database) -> None:
    with database.transaction() as session:
        assert check_consistency(session, GRACE).findings == ()


def test_a_plan_changes_nobody_and_says_the_number_before_and_after(database: Database) -> None:
    batch_id = plan(database, PATREON, "patreon.csv")
    with database.transaction() as session:
        batch = session.get_one(ImportBatch, batch_id)
        assert (batch.members_before, batch.members_after) == (0, 8)
        assert batch.counts["held"] == batch.counts["refused"] == 1
        assert batch.sums["USD month"] == [7, 5 * 500 + 2 * 300]
        assert session.scalar(select(func.count()).select_from(Member)) == 0
        assert session.scalar(select(func.count()).select_from(Membership)) == 0
    assert number(database) == 0


def test_the_same_file_twice_changes_nothing(database: Database) -> None:
    bring_in(database, "patreon.csv")
    with database.transaction() as session:
        before = tables(session), session.scalar(select(func.count()).select_from(LedgerEntry))
    again = bring_in(database, "patreon.csv")
    with database.transaction() as session:
        after = tables(session), session.scalar(select(func.count()).select_from(LedgerEntry))
        assert session.get_one(ImportBatch, again).counts["unchanged"] == 9
    assert before == after


def die_before_the_commit(database: Database, batch_id: int) -> None:
    with database.transaction() as session:
        assert applying.apply_some(session, batch_id, GRACE)
        raise KeyboardInterrupt


@pytest.mark.parametrize("kills", [1, 3])
def test_whoever_is_killed_goes_on_and_doubles_nobody(
    database: Database, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    """Small steps; now and then one dies after its work and before its commit."""
    monkeypatch.setattr(applying, "AT_ONCE", 2)
    batch_id = plan(database, PATREON, "patreon.csv")
    with database.transaction() as session:
        batches.confirm(session, session.get_one(ImportBatch, batch_id), GRACE)
    for _ in range(kills):
        with pytest.raises(KeyboardInterrupt):
            die_before_the_commit(database, batch_id)
        assert batches.step(database, batch_id, GRACE)
    while batches.step(database, batch_id, GRACE):
        pass
    with database.transaction() as session:
        assert session.get_one(ImportBatch, batch_id).state is BatchState.APPLIED
    assert number(database) == 8
    assert_proved(database)


def test_an_undone_file_leaves_the_books_as_they_were_and_the_ledger_says_so(
    database: Database,
) -> None:
    """Of people who were there, who were changed, and who came."""
    first = people_list(
        "Olena,olena@example.org,5,month,2026-12-05", "Ivan,ivan@a.org,9,month,2026-12-01"
    )
    apply(database, plan(database, first, "a.csv"))
    with database.transaction() as session:
        before = tables(session)
    second = people_list(
        "Olena,OLENA@example.org,7,month,2027-01-05",
        "Nina,nina@example.org,5,month,2027-01-05",
        "Ivan,ivan@a.org,0,month,",
    )
    batch_id = plan(database, second, "b.csv")
    apply(database, batch_id)
    assert number(database) == 3
    undo(database, batch_id)
    with database.transaction() as session:
        assert tables(session) == before
        newest = session.scalars(select(LedgerEntry).order_by(LedgerEntry.version.desc())).first()
        assert newest
        assert newest.cause is Cause.IMPORT
        assert newest.cause_ref == f"table, batch {batch_id} undone, row 2"
        assert session.get_one(ImportBatch, batch_id).state is BatchState.UNDONE
    assert_proved(database)


def test_a_file_brought_in_again_after_an_undo_finds_the_same_people(database: Database) -> None:
    batch_id = bring_in(database, "patreon.csv")
    with database.transaction() as session:
        numbers = dict(session.execute(select(Member.address, Member.number)).all())
    undo(database, batch_id)
    assert number(database) == 0
    bring_in(database, "patreon.csv")
    assert number(database) == 8
    with database.transaction() as session:
        again = dict(
            session.execute(select(Member.address, Member.number).where(Member.counting)).all()
        )
        assert {name: again[name] for name in again if name} == {
            name: numbers[name] for name in numbers if name
        }
        began = session.scalars(
            select(LedgerEntry.happened_at)
            .join(Member, Member.id == LedgerEntry.member_id)
            .where(Member.address == "olena@example.org")
            .order_by(LedgerEntry.version)
        ).all()
    assert len(set(began)) == 1, "undone, it never was"
    assert_proved(database)


def test_a_later_file_of_the_source_is_undone_first(database: Database) -> None:
    first = bring_in(database, "patreon.csv")
    second = bring_in(database, "patreon.csv")
    with pytest.raises(UnprocessableError, match=f"Import {second}"):
        undo(database, first)
    undo(database, second)
    undo(database, first)
    assert number(database) == 0


def test_a_list_older_than_the_newest_is_refused(database: Database) -> None:
    bring_in(database, "patreon.csv")
    older = PATREON.replace(b"2026-11-29 09:15:02", b"2026-11-28 09:15:02")
    with pytest.raises(FileRefusedError, match="2026-11-28"):
        plan(database, older, "patreon.csv")


def test_somebody_of_two_sources_is_one_person_and_leaves_with_the_last(
    database: Database,
) -> None:
    bring_in(database, "patreon.csv")
    ghost = bring_in(database, "ghost_admin_api_members.json")
    assert number(database) == 8 + 4 - 1
    with database.transaction() as session:
        origins = session.scalars(
            select(Membership.origin)
            .join(Member, Member.id == Membership.member_id)
            .where(Member.address == "olena@example.org")
            .order_by(Membership.origin)
        ).all()
    assert origins == ["ghost", "patreon", "patreon"]
    undo(database, ghost)
    assert number(database) == 8


def test_a_member_of_ours_is_joined_by_the_address_in_any_case(
    database: Database, session: Session
) -> None:
    member = make_member(session, email="Olena@Example.org")
    session.add(make_membership(member))
    recount(session, member, GRACE, cause=Cause.STRIPE)
    session.commit()
    bring_in(database, "patreon.csv")
    session.expire_all()
    assert session.scalar(select(func.count()).where(Membership.member_id == member.id)) == 3
    assert number(database) == 8


def test_whoever_is_missing_stays_unless_staff_call_the_list_whole(database: Database) -> None:
    rows = [f"P{n},p{n}@example.org,5,month,2026-12-20" for n in range(4)]
    apply(database, plan(database, people_list(*rows), "a.csv"))
    apply(database, plan(database, people_list(*rows[:2]), "a.csv"))
    assert number(database) == 4
    batch_id = plan(database, people_list(*rows[:1]), "a.csv", Options(whole_list=True))
    with database.transaction() as session:
        batch = session.get_one(ImportBatch, batch_id)
        assert (batch.counts["absent"], batch.members_after) == (3, 1)
    apply(database, batch_id)
    assert number(database) == 1
    undo(database, batch_id)
    assert number(database) == 4
    assert_proved(database)


def test_a_held_row_counts_once_staff_say_so_and_the_next_file_remembers(
    database: Database,
) -> None:
    batch_id = bring_in(database, "patreon.csv")
    with database.transaction() as session:
        row = session.scalars(select(ImportRow).where(ImportRow.outcome == Outcome.HELD)).one()
        assert applying.decide(session, row.id, Decision.COUNT, GRACE, staff_id=None)
        assert not applying.decide(session, row.id, Decision.IGNORE, GRACE, staff_id=None)
    assert number(database) == 9
    again = bring_in(database, "patreon.csv")
    with database.transaction() as session:
        assert "held" not in session.get_one(ImportBatch, again).counts
    undo(database, again)
    undo(database, batch_id)
    assert number(database) == 0


def test_a_refund_and_a_cancellation_of_the_next_list_end_a_membership(
    database: Database,
) -> None:
    bring_in(database, "patreon.csv")
    lines = PATREON.decode().replace("2026-11-29 09", "2026-11-30 09").splitlines(keepends=True)
    refunded = lines[1].replace(",Paid,", ",Refunded,").replace("Active", "Active")
    renewed = refunded + lines[2].replace("No,No,No,50.00", "No,Yes,No,50.00")
    apply(database, plan(database, (lines[0] + renewed).encode(), "patreon.csv"))
    with database.transaction() as session:
        by_key = {
            one.reference: one
            for one in session.scalars(select(Membership).where(Membership.origin == "patreon"))
        }
    assert by_key["patreon:90000001"].refunded_at
    # She pays no more, and what she has paid for holds.
    assert by_key["patreon:90000002"].cancel_at == by_key["patreon:90000002"].counts_until
    assert number(database) == 8, "olena has another membership in the file before"


def test_nobody_is_e_mailed_and_no_milestone_is_told(database: Database, session: Session) -> None:
    rows = [f"P{n},p{n}@example.org,5,month,2026-12-20" for n in range(1200)]
    make_campaign(session, starts_at=NOON - timedelta(days=10), deadline=NOON + timedelta(days=10))
    session.commit()
    look_for_milestones(session)
    session.commit()
    batch_id = plan(database, people_list(*rows), "a.csv")
    apply(database, batch_id)
    look_for_milestones(session)
    assert session.scalar(select(func.count()).select_from(Milestone)) == 0
    assert session.scalar(select(func.count()).select_from(Email)) == 0
    assert session.scalar(select(Campaign.most_members)) == 1200
    session.commit()
    undo(database, batch_id)
    session.expire_all()
    assert session.scalar(select(Campaign.most_members)) == 0


def test_the_ledger_says_since_when_they_are_members(database: Database) -> None:
    bring_in(database, "patreon.csv")
    with database.transaction() as session:
        entry = session.scalars(
            select(LedgerEntry)
            .join(Member, Member.id == LedgerEntry.member_id)
            .where(Member.address == "olena@example.org")
        ).one()
    assert f"{entry.happened_at:%Y-%m-%d}" == "2025-11-12"
    assert entry.cause_ref
    assert entry.cause_ref.endswith("row 1")


def test_only_one_file_of_a_source_is_applied_at_a_time(database: Database) -> None:
    first, second = (plan(database, PATREON, "patreon.csv") for _ in range(2))
    with database.transaction() as session:
        batches.confirm(session, session.get_one(ImportBatch, first), GRACE)
    with pytest.raises(UnprocessableError), database.transaction() as session:
        batches.confirm(session, session.get_one(ImportBatch, second), GRACE)
    while batches.step(database, first, GRACE):
        pass
    with pytest.raises(batches.StalePlanError), database.transaction() as session:
        batches.confirm(session, session.get_one(ImportBatch, second), GRACE)


def test_staff_are_told_a_week_before_a_lists_people_run_out(
    client: FlaskClient, database: Database
) -> None:
    rows = ["A,a@example.org,5,month,2026-11-20", "B,b@example.org,5,month,2026-12-20"]
    apply(database, plan(database, people_list(*rows), "a.csv"))
    with database.transaction() as session:
        found = running_out(session, GRACE)
        assert [(one.source, one.people) for one in found] == [("table", 1)]
        refresh(session, GRACE)
        assert session.get_one(ExternalSource, "table").members == 2
        make_campaign(session)
    sign_in(client, hire(database))
    for path in ("/staff", "/staff/sources"):
        assert "running-out" in names(read(client, path)), path


def run(env: dict[str, str], url: str, *words: str) -> Any:
    return CliRunner(env=env | {"DATABASE_URL": url}).invoke(main, ["sources", *words])


def test_the_command_line_dry_runs_applies_undoes_and_lists(
    environment: dict[str, str], database_url: str, database: Database, tmp_path: Any
) -> None:
    file = str(EXAMPLES / "patreon.csv")
    refused = tmp_path / "refused.csv"
    dry = run(environment, database_url, "import", file, "--format", "patreon", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "Members before: 0" in dry.output
    assert "Members after: 8" in dry.output
    with database.transaction() as session:
        for table in ("external_source", "import_batch", "import_row", "member", "membership"):
            assert session.scalar(text(f"SELECT count(*) FROM {table}")) == 0  # noqa: S608
    words = ("import", file, "--format", "patreon", "--yes", "--refused", str(refused))
    done = run(environment, database_url, *words)
    assert done.exit_code == 3, done.output
    assert number(database) == 8
    with database.transaction() as session:
        batch_id = session.scalars(select(ImportBatch.id)).one()
    assert f"Batch {batch_id}" in done.output
    rows = list(csv.reader(io.StringIO(refused.read_text("utf-8-sig"))))
    assert rows[1][:2] == ["Bad Address", "bad.address@@example"]
    assert rows[1][-1]
    listed = run(environment, database_url, "list")
    assert "patreon: 8 people" in listed.output
    undone = run(environment, database_url, "undo", str(batch_id), "--yes")
    assert undone.exit_code == 0, undone.output
    assert number(database) == 0
    for name, status in (("list_ua_sep_line.csv", 0), ("list_ua_bom_then_1251.csv", 1)):
        found = run(environment, database_url, "import", str(EXAMPLES / name), "--yes")
        assert found.exit_code == status, found.output


def test_the_refused_rows_can_be_mended_and_sent_again(database: Database, tmp_path: Any) -> None:
    from fundraiser.sources.refusals import stream_refused

    batch_id = bring_in(database, "list_ua_windows1251.csv")
    with database.transaction() as session:
        batch = session.get_one(ImportBatch, batch_id)
        file = "".join(stream_refused(nullcontext(session), batch))
    mended = file.replace("31.11.2026", "30.11.2026").encode()
    assert tmp_path
    apply(database, plan(database, mended, "refused.csv"))
    assert number(database) == 5


def test_a_person_who_had_the_account_deleted_is_asked_about(
    database: Database, session: Session
) -> None:
    from fundraiser.sources.people import forget_address

    forget_address(session, "olena@example.org")
    session.commit()
    batch_id = bring_in(database, "patreon.csv")
    with database.transaction() as session_:
        row = session_.scalars(
            select(ImportRow).where(ImportRow.batch_id == batch_id, ImportRow.number == 1)
        ).one()
        assert (row.outcome, row.why) == (Outcome.HELD, "erased")
    assert number(database) == 7


def test_the_plan_foretells_the_number_whatever_was_there_before(database: Database) -> None:
    """With people who are renewed, end, join, are missing, and have other memberships."""
    rows = [f"P{n},p{n}@example.org,5,month,2026-12-{n + 1:02}" for n in range(8)]
    apply(database, plan(database, people_list(*rows), "a.csv"))
    with database.transaction() as session:
        member = session.scalars(select(Member).where(Member.address == "p6@example.org")).one()
        session.add(make_membership(member))
        session.execute(
            update(Membership)
            .where(Membership.reference == "table:p5@example.org")
            .values(status=Status.CANCELED)
        )
        five = session.scalars(select(Member).where(Member.address == "p5@example.org")).one()
        session.flush()
        recount(session, five, GRACE, cause=Cause.STAFF)
    second = people_list(
        "P0,p0@example.org,5,month,2026-10-01",
        "P1,p1@example.org,0,month,2026-10-01",
        "P2,p2@example.org,5,month,2027-10-01",
        "P5,p5@example.org,5,month,2027-10-01",
        "P9,P9@example.org,5,month,2027-10-01",
        "P9,p9@example.org,5,month,2027-11-01",
        "Q,q@example.org,5,month,2026-10-01",
    )
    batch_id = plan(database, second, "a.csv", Options(whole_list=True))
    with database.transaction() as session:
        foretold = session.get_one(ImportBatch, batch_id).members_after
    apply(database, batch_id)
    assert number(database) == foretold
    assert_proved(database)


def test_what_staff_ignored_without_a_day_is_not_asked_again(database: Database) -> None:
    """A live source brings the same row each night."""
    member = (
        b'{"data": [{"id": "m1", "type": "member", "attributes": {"patron_status":'
        b' "declined_patron", "last_charge_status": "Declined", "next_charge_date": null,'
        b' "last_charge_date": "2026-11-20T10:00:00+00:00", "pledge_cadence": 1,'
        b' "campaign_lifetime_support_cents": 900, "currently_entitled_amount_cents": 300,'
        b' "email": "late@example.org", "full_name": "Late"}}]}'
    )
    first = plan(database, member, "one.json")
    apply(database, first)
    with database.transaction() as session:
        row = session.scalars(select(ImportRow).where(ImportRow.batch_id == first)).one()
        assert row.outcome is Outcome.HELD
        assert applying.decide(session, row.id, Decision.IGNORE, GRACE, staff_id=None)
    second = plan(database, member, "two.json")
    with database.transaction() as session:
        assert session.get_one(ImportBatch, second).counts.get("held") is None
