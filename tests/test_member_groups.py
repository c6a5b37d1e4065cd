"""How staff group members: labels, saved views, and columns of one's choice."""

from __future__ import annotations

import csv
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from fundraiser.dashboard.members.columns import COLUMNS
from fundraiser.dashboard.members.filters import USUAL_COLUMNS, Filters
from fundraiser.dashboard.members.listing import count_members, list_members
from fundraiser.dashboard.models import SavedView
from fundraiser.members.member_labels import (
    Label,
    MemberLabel,
    add_label,
    find_or_add_label,
    labels_of,
    remove_label,
)
from fundraiser.members.merging import merge, separate
from fundraiser.newsroom.models import AuditEntry, Role
from tests.factories import make_member, make_membership
from tests.staff import hire, names, post as post_from, read, shown, sign_in, words

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session
    from werkzeug.test import TestResponse

    from fundraiser.db import Database

LONDON = ZoneInfo("Europe/London")
GRACE = timedelta(days=14)


def post(client: FlaskClient, path: str, **form: str) -> TestResponse:
    return post_from(client, path, "/staff", **form)


def people_on(client: FlaskClient, query: str) -> list[str]:
    page = read(client, f"/staff/members?{query}")
    return sorted(link.get_text() for link in page.select("tbody th a"))


# Labels


def test_a_label_is_added_filtered_by_and_removed(staff: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        hanna = make_member(session, name="Hanna").id
        make_member(session, name="Taras")
    for name in ("Board", "  board ", "BOARD"):
        post(staff, f"/staff/members/{hanna}/labels", label=name)
    with database.transaction() as session:
        label = session.scalars(select(Label)).one()
        assert label.name == "Board", "case and spaces make no second label"
        assert session.scalar(select(func.count()).select_from(MemberLabel)) == 1
        acts = session.scalars(select(AuditEntry).where(AuditEntry.action == "labelled")).all()
        assert [act.details for act in acts] == [{"label": label.id}], "an ID, once"
    page = read(staff, f"/staff/members/{hanna}")
    assert shown(page, "label").startswith("Board")
    assert "Board" in shown(page, "labelled")
    assert people_on(staff, f"label={label.id}") == ["Hanna"]
    assert people_on(staff, f"label={label.id}&q=taras") == []
    post(staff, f"/staff/members/{hanna}/labels/{label.id}/removal")
    assert people_on(staff, f"label={label.id}") == []
    assert "unlabelled" in names(read(staff, f"/staff/members/{hanna}"))


def test_labels_are_renamed_and_deleted_in_one_place(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        member = make_member(session)
        board, club = (find_or_add_label(session, name) for name in ("Board", "Book club"))
        add_label(session, board, [member.id])
        ids, member_id = (board.id, club.id), member.id
    answer = post(staff, f"/staff/labels/{ids[0]}/name", label="book CLUB")
    assert answer.status_code == 422
    assert 'value="book CLUB"' in answer.text, "what was typed is kept"
    assert post(staff, f"/staff/labels/{ids[0]}/name", label="Council").status_code == 303
    assert shown(read(staff, f"/staff/members/{member_id}"), "label").startswith("Council")
    assert post(staff, f"/staff/labels/{ids[0]}/removal").status_code == 303
    page = read(staff, f"/staff/members/{member_id}")
    assert page.select_one("[data-test=label]") is None
    links = read(staff, "/staff/labels").select("[data-test=label] th a")
    assert [link.get_text() for link in links] == ["Book club"]


def test_odd_labels_are_refused_or_cleaned(staff: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        member_id = make_member(session).id
    path = f"/staff/members/{member_id}/labels"
    for odd in ("", "   ", "x" * 41):
        assert post(staff, path, label=odd).status_code == 422
    post(staff, path, label="<b>Ünïcode\u2003label</b>")
    with database.transaction() as session:
        assert session.scalars(select(Label.name)).all() == ["<b>Ünïcode label</b>"]
    for label in ("999999", "x", "-1", "9" * 30):
        page = read(staff, f"/staff/members?label={label}", status=422)
        assert page.select_one("#label-error")
    assert post(staff, f"{path}/999/removal").status_code == 404


def test_finance_reads_labels_and_changes_none(client: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        member_id = make_member(session).id
    sign_in(client, hire(database, Role.FINANCE))
    assert post(client, f"/staff/members/{member_id}/labels", label="Board").status_code == 403
    assert not read(client, f"/staff/members/{member_id}").select("#label")


def test_a_merge_joins_labels_and_a_separation_gives_them_back(session: Session) -> None:
    kept, other = make_member(session, name="A"), make_member(session, name="B")
    both, one = (find_or_add_label(session, name) for name in ("Both", "One"))
    add_label(session, both, [kept.id, other.id])
    add_label(session, one, [other.id])
    done = merge(session, kept.id, other.id, GRACE, staff_id=None)
    found = labels_of(session, [kept.id])
    assert [label.name for label in found[kept.id]] == ["Both", "One"]
    separate(session, done.id, GRACE)
    found = labels_of(session, [kept.id, other.id])
    assert [label.name for label in found[kept.id]] == ["Both"]
    assert [label.name for label in found[other.id]] == ["Both", "One"]


def test_adding_and_removing_say_for_whom_it_was_news(session: Session) -> None:
    one, two = make_member(session), make_member(session)
    label = find_or_add_label(session, "Board")
    assert add_label(session, label, [one.id]) == [one.id]
    assert sorted(add_label(session, label, [one.id, two.id])) == [two.id]
    assert remove_label(session, label, [two.id]) == [two.id]
    assert remove_label(session, label, [two.id]) == []


# Saved views


def test_a_view_is_saved_shared_and_deleted(client: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        make_member(session, name="Hanna", country="UA")
        make_member(session, name="Taras", country="GB")
    owner, other = hire(database), hire(database)
    sign_in(client, owner)
    query = "q=hanna&country=UA&sort=name&columns=email+country"
    page = read(client, f"/staff/members?{query}")
    hidden = page.select_one("#views input[name=query]")
    assert hidden
    for name in ("Ukraine", "Ukraine"):  # the same name again replaces it
        post(client, "/staff/members/views", query=str(hidden["value"]), name=name)
    post(client, "/staff/members/views", query="country=GB", name="Britain", shared="yes")
    with database.transaction() as session:
        views = {view.name: view for view in session.scalars(select(SavedView))}
    assert views["Ukraine"].query == "country=UA&sort=name&columns=country+email", "no words"
    links = read(client, "/staff/members").select("#saved nav a")
    assert [link.get_text() for link in links] == ["Everybody", "Britain", "Ukraine"]
    page = read(client, str(links[2]["href"]))
    assert [link.get_text() for link in page.select("tbody th a")] == ["Hanna"]
    assert page.select_one("#saved [aria-current]")
    post(client, "/staff/sign-out")
    sign_in(client, other)
    links = read(client, "/staff/members").select("#saved nav a")
    assert [link.get_text() for link in links] == ["Everybody", "Britain"]
    post(client, f"/staff/members/views/{views['Britain'].id}/removal")
    assert read(client, "/staff/members").select("#saved nav a"), "it isn't theirs"
    post(client, "/staff/sign-out")
    sign_in(client, owner)
    post(client, f"/staff/members/views/{views['Britain'].id}/removal")
    links = read(client, "/staff/members").select("#saved nav a")
    assert [link.get_text() for link in links] == ["Everybody", "Ukraine"]


def test_a_view_of_nonsense_is_refused(staff: FlaskClient, database: Database) -> None:
    for query, name in (
        ("country=UA", ""),
        ("", "Nothing"),
        ("state=odd", "Odd"),
        ("country=%00&x=y", "Odd"),
        ("state=counting", "x" * 41),
    ):
        answer = post(staff, "/staff/members/views", query=query, name=name)
        assert answer.status_code == 422, (query, name)
    with database.transaction() as session:
        assert session.scalars(select(SavedView)).all() == []


# Columns


def test_an_address_without_columns_means_the_usual_ones(
    staff: FlaskClient, database: Database
) -> None:
    usual = sorted(column.name for column in COLUMNS[1:] if column.shown and column.is_usual)
    assert " ".join(usual) == USUAL_COLUMNS
    with database.transaction() as session:
        make_member(session)
    page = read(staff, "/staff/members", query_string={"columns": usual, "sort": "newest"})
    assert page.select("#results th.secondary"), "so a phone shows fewer"
    assert not page.select_one("#views details"), "there is no view to save"


def test_each_column_has_a_name_of_its_own_and_says_what_it_means_in_the_file() -> None:
    found = [column.name for column in COLUMNS]
    assert len({*found}) == len(found)
    in_file = {column.name for column in COLUMNS if column.of}
    for column in COLUMNS:
        assert {*(column.means or (column.name,))} <= in_file, column.name


@pytest.mark.wording
def test_page_and_file_have_the_chosen_columns(staff: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        member = make_member(session, name="Hanna", country="UA")
        session.add(make_membership(member, tier="patron", amount=500))
        add_label(session, find_or_add_label(session, "Zoo"), [member.id])
        add_label(session, find_or_add_label(session, "=Board"), [member.id])
    query = {"columns": ["pays", "labels", "country", "odd", "tier"]}
    page = read(staff, "/staff/members", query_string=query)
    heads = [head.get_text() for head in page.select("#results thead th")]
    assert heads == ["Name", "Country", "Labels", "Pays", "Tier"]
    row = words(page, "#results tbody tr")
    assert row.startswith("Hanna Ukraine =Board, Zoo")
    assert row.endswith("patron")
    assert page.select_one("input[value=labels][checked]")
    assert not page.select_one("input[value=email][checked]")
    answer = post(staff, "/staff/members/export", columns="pays labels country tier")
    found = next(csv.DictReader(answer.text.lstrip("\ufeff").splitlines()))
    assert [*found] == [
        *("Name", "Country", "Labels", "Tier", "Amount", "Currency", "Billing interval")
    ]
    assert found["Labels"] == "'=Board, Zoo", "no formula"
    assert (found["Amount"], found["Tier"]) == ("5.00", "patron")


def test_no_column_fails_where_somebody_has_nothing(staff: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        make_member(session, name=None, email=None, country=None)
        bare = make_membership(make_member(session), tier=None, campaign=None, ref=None)
        session.add(bare)
    every = " ".join(column.name for column in COLUMNS)
    page = read(staff, "/staff/members", query_string={"columns": every})
    assert len(page.select("#results tbody tr")) == 2
    assert post(staff, "/staff/members/export", columns=every).status_code == 200


def test_a_label_counts_and_pages_like_any_filter(session: Session) -> None:
    people = [make_member(session, name=f"Person {number}") for number in range(7)]
    label = find_or_add_label(session, "Board")
    add_label(session, label, [member.id for member in people[:5]])
    filters = Filters(label=str(label.id), sort="name")
    assert count_members(session, filters, LONDON) == (5, False)
    first = list_members(session, filters, LONDON, most=3)
    second = list_members(session, filters, LONDON, str(first.after), most=3)
    found = [row.member.name for row in (*first.rows, *second.rows)]
    assert found == [f"Person {number}" for number in range(5)]
