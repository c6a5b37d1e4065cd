"""Changes of many members at once: frozen, previewed, made by a worker, undone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select, update

from fundraiser.dashboard.bulk import running
from fundraiser.dashboard.bulk.models import BulkChange, BulkMember, Result
from fundraiser.dashboard.bulk.running import count_results, step_any
from fundraiser.db import now
from fundraiser.members.ledger import read_balance
from fundraiser.members.member_labels import (
    add_label,
    delete_label,
    find_or_add_label,
    labels_of,
    remove_label,
)
from fundraiser.members.merging import merge
from fundraiser.members.models import LedgerEntry, Member, Membership, Note, Source
from fundraiser.newsroom.models import AuditEntry
from fundraiser.outbox import Email
from tests.factories import make_member, make_tiers
from tests.staff import join, names, post as post_from, read, shown

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session
    from werkzeug.test import TestResponse

    from fundraiser.app import FundraiserApp
    from fundraiser.config import Settings
    from fundraiser.db import Database

GRACE = timedelta(days=14)


def post(client: FlaskClient, path: str, **form: object) -> TestResponse:
    return post_from(client, path, "/staff", **form)  # type: ignore[arg-type] # also lists


def people(database: Database, count: int = 3) -> list[int]:
    with database.transaction() as session:
        return [join(session, name=f"Person {number}").id for number in range(count)]


def freeze(staff: FlaskClient, **form: object) -> str:
    """Freeze people; returns the change's address."""
    answer = post(staff, "/staff/changes", **form)
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def change_of(session: Session) -> BulkChange:
    return (
        session.scalars(select(BulkChange).order_by(BulkChange.id.desc())).first() or BulkChange()
    )


def work(app: FundraiserApp) -> None:
    with app.app_context():
        while step_any(app.database, app.extensions["settings"]):
            pass


def results(database: Database) -> dict[Result, int]:
    with database.transaction() as session:
        return count_results(session, change_of(session))


def test_ticked_people_are_labelled_and_the_label_is_undone(
    staff: FlaskClient, app: FundraiserApp, database: Database
) -> None:
    one, two, three = people(database)
    with database.transaction() as session:
        add_label(session, find_or_add_label(session, "Board"), [two])
    page = read(staff, "/staff/members")
    assert len(page.select("input[type=checkbox][name=member][form=many]")) == 3
    at = freeze(staff, who="ticked", member=[str(one), str(two)], state="counting")
    assert post(staff, f"{at}/plan", kind="add_label", label="board").status_code == 303
    page = read(staff, at)
    assert (shown(page, "changing"), shown(page, "unchanging")) == ("1", "1")
    with database.transaction() as session:
        assert labels_of(session, [one]) == {}, "a preview changes nobody"
    for _twice in range(2):
        assert post(staff, f"{at}/application").status_code == 303
    work(app)
    assert results(database) == {Result.CHANGED: 1, Result.UNCHANGED: 1}
    page = read(staff, at)
    assert page.select_one("[data-state=applied]")
    assert {"result-changed", "result-unchanged"} <= names(page)
    assert "bulk-changed" in names(read(staff, f"/staff/members/{one}"))
    with database.transaction() as session:
        assert {*labels_of(session, [one, two, three])} == {one, two}
        acts = session.scalars(select(AuditEntry).where(AuditEntry.action == "changed_many"))
        assert len(acts.all()) == 1, "the same button twice is one change"
    for _twice in range(2):
        assert post(staff, f"{at}/undoing").status_code == 303
    work(app)
    assert results(database) == {Result.UNCHANGED: 1, Result.UNDONE: 1}
    with database.transaction() as session:
        assert {*labels_of(session, [one, two])} == {two}, "who had it before keeps it"
    assert "bulk-undone" in names(read(staff, f"/staff/members/{one}"))


def test_all_who_match_are_frozen_when_staff_ask(
    staff: FlaskClient, app: FundraiserApp, database: Database
) -> None:
    people(database)
    with database.transaction() as session:
        make_member(session, name="Never counted")
    at = freeze(staff, who="all", state="counting", sort="name", columns="email labels")
    with database.transaction() as session:
        join(session, name="Too late")
    post(staff, f"{at}/plan", kind="note", note="Invited to the reading.\r\nSigned: Iryna")
    assert shown(read(staff, at), "changing") == "3"
    post(staff, f"{at}/application")
    work(app)
    assert results(database) == {Result.CHANGED: 3}
    with database.transaction() as session:
        notes = session.scalars(select(Note)).all()
        assert {note.text for note in notes} == {"Invited to the reading.\nSigned: Iryna"}
        assert change_of(session).note is None, "the text stands in the notes alone"
        member_id = notes[0].member_id
    page = read(staff, f"/staff/members/{member_id}")
    assert "Invited to the reading." in shown(page, "bulk-changed")
    post(staff, f"{at}/undoing")
    work(app)
    with database.transaction() as session:
        assert session.scalar(select(func.count(Note.id))) == 0


def test_complimentary_memberships_change_no_number_and_send_nothing(
    staff: FlaskClient, app: FundraiserApp, database: Database
) -> None:
    ids = people(database)
    with database.transaction() as session:
        make_tiers(session)
        before = (read_balance(session).members, session.scalar(select(func.count(Email.id))))
        rows = session.scalar(select(func.count()).select_from(LedgerEntry))
    until = f"{now() + timedelta(days=40):%Y-%m-%d}"
    at = freeze(staff, who="ticked", member=[str(one) for one in ids])
    for odd in ({"until": "soon"}, {"tier": "odd"}, {"until": "2020-01-01"}):
        form = {"kind": "complimentary", "tier": "member", "until": until} | odd
        answer = post(staff, f"{at}/plan", **form)
        assert answer.status_code == 422, odd
        assert form["until"] in answer.text, "what was typed is kept"
    post(staff, f"{at}/plan", kind="complimentary", tier="member", until=until)
    post(staff, f"{at}/application")
    work(app)
    with database.transaction() as session:
        given = session.scalars(
            select(Membership).where(Membership.source == Source.COMPLIMENTARY)
        ).all()
        assert sorted(one.member_id for one in given) == ids
        assert (
            read_balance(session).members,
            session.scalar(select(func.count(Email.id))),
        ) == before
        assert session.scalar(select(func.count()).select_from(LedgerEntry)) == rows
        given[0].ended_at = now()  # somebody ended it by hand
    again = freeze(staff, who="ticked", member=[str(one) for one in ids])
    post(staff, f"{again}/plan", kind="complimentary", tier="member", until=until)
    assert shown(read(staff, again), "changing") == "1", "nobody gets two"
    post(staff, f"{at}/undoing")
    work(app)
    with database.transaction() as session:
        first = session.scalars(select(BulkChange).order_by(BulkChange.id)).first()
        assert first
        assert count_results(session, first) == {Result.UNDONE: 2, Result.KEPT: 1}
        running = select(func.count(Membership.id)).where(
            Membership.source == Source.COMPLIMENTARY, Membership.ended_at.is_(None)
        )
        assert session.scalar(running) == 0


def test_who_was_deleted_or_merged_meanwhile_gets_nothing_of_it(
    staff: FlaskClient, app: FundraiserApp, database: Database
) -> None:
    with database.transaction() as session:
        kept, other, gone = (make_member(session, name=name).id for name in "ABC")
    at = freeze(staff, who="ticked", member=[str(one) for one in (kept, other, gone)])
    post(staff, f"{at}/plan", kind="note", note="Hello")
    post(staff, f"{at}/application")
    with database.transaction() as session:
        merge(session, kept, other, GRACE, staff_id=None)
        session.execute(
            update(Member).where(Member.id == gone).values(name=None, email=None, address=None)
        )
    work(app)
    assert results(database) == {Result.CHANGED: 1, Result.GONE: 2}
    with database.transaction() as session:
        assert session.scalars(select(Note.member_id)).all() == [kept]


def test_a_label_deleted_meanwhile_stops_nothing(
    staff: FlaskClient, app: FundraiserApp, database: Database
) -> None:
    ids = people(database)
    with database.transaction() as session:
        label = find_or_add_label(session, "Board")
        add_label(session, label, ids[:1])
    at = freeze(staff, who="ticked", member=[str(one) for one in ids])
    post(staff, f"{at}/plan", kind="remove_label", removed=str(label.id))
    post(staff, f"{at}/application")
    work(app)
    assert results(database) == {Result.CHANGED: 1, Result.UNCHANGED: 2}
    with database.transaction() as session:
        delete_label(session, session.merge(label))
    post(staff, f"{at}/undoing")
    work(app)
    assert results(database) == {Result.UNCHANGED: 2, Result.KEPT: 1}
    assert read(staff, at).select_one("[data-state=undone]")
    assert read(staff, "/staff/changes").select("tbody a")


def test_a_killed_worker_goes_on_with_the_next_person(
    app: FundraiserApp, staff: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "AT_ONCE", 2)
    ids = people(database, 5)
    at = freeze(staff, who="ticked", member=[str(one) for one in ids])
    post(staff, f"{at}/plan", kind="note", note="Once")
    post(staff, f"{at}/application")

    def die(*_of: object) -> None:
        raise RuntimeError

    settings: Settings = app.extensions["settings"]
    with app.app_context():
        assert step_any(database, settings)
        with monkeypatch.context() as patch:
            patch.setattr(running, "_write", die)
            with pytest.raises(RuntimeError):
                step_any(database, settings)
    page = read(staff, at)
    assert page.select_one("progress[value='2']")
    work(app)
    with database.transaction() as session:
        assert sorted(session.scalars(select(Note.member_id))) == ids, "each of them once"


def test_nothing_is_frozen_or_made_without_people_or_a_preview(
    staff: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = people(database)
    for odd in ({"who": "ticked"}, {"who": "ticked", "member": ["x", "-1", "9" * 30]}):
        assert post(staff, "/staff/changes", **odd).status_code == 422
    assert post(staff, "/staff/changes", who="all", label="999").status_code == 422
    at = freeze(staff, who="ticked", member=[str(ids[0]), str(ids[0]), "999999"])
    assert post(staff, f"{at}/application").status_code == 422
    assert post(staff, f"{at}/undoing").status_code == 422
    assert post(staff, f"{at}/plan", kind="refund").status_code == 422
    assert post(staff, f"{at}/plan", kind="note", note="  ").status_code == 422
    assert post(staff, f"{at}/removal").status_code == 303
    assert staff.get(at).status_code == 404
    monkeypatch.setattr(running, "MOST", 2)
    assert post(staff, "/staff/changes", who="all").status_code == 422
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(BulkMember)) == 0


def test_what_somebody_took_off_by_hand_is_no_more_to_be_undone(
    staff: FlaskClient, app: FundraiserApp, database: Database
) -> None:
    one, two, _three = people(database)
    at = freeze(staff, who="ticked", member=[str(one), str(two)])
    post(staff, f"{at}/plan", kind="add_label", label="Board")
    post(staff, f"{at}/application")
    work(app)
    with database.transaction() as session:
        remove_label(session, find_or_add_label(session, "Board"), [one])
    post(staff, f"{at}/undoing")
    work(app)
    assert results(database) == {Result.UNDONE: 1, Result.KEPT: 1}
