"""The list of members: found, filtered, sorted, paged and taken away as a file."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text

from fundraiser import paging
from fundraiser.dashboard import export
from fundraiser.dashboard.columns import Cells, Column
from fundraiser.dashboard.members import list_views, listing
from fundraiser.dashboard.members.filters import Filters, Options, read_filters, read_options
from fundraiser.dashboard.members.listing import count_members, list_members
from fundraiser.db import now
from fundraiser.members.models import Dues, Interval, Member, Source, Status
from fundraiser.newsroom.models import AuditEntry, Role
from fundraiser.payments.models import CheckoutKind, Customer, Payment, PaymentStatus
from fundraiser.spreadsheets import safe_cell
from tests.factories import make_member, make_membership
from tests.staff import PAGE, count, csrf_token, hire, join, names, read, sign_in, words

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session
    from werkzeug.test import TestResponse

    from fundraiser.db import Database

LONDON = ZoneInfo("Europe/London")
MARCH = datetime(2026, 3, 15, 12, tzinfo=UTC)


def listed(session: Session, **filters: str) -> list[int]:
    page = list_members(session, Filters(**filters), LONDON)
    return [row.member.id for row in page.rows]


def contribute(session: Session, member_id: int, charge: str) -> None:
    session.add(
        Payment(
            charge_id=charge,
            member_id=member_id,
            customer_id="cus_1",
            kind=CheckoutKind.CONTRIBUTION,
            status=PaymentStatus.SUCCEEDED,
            amount=2000,
            refunded=0,
            currency="GBP",
            paid_at=now(),
        )
    )


@pytest.mark.parametrize(
    "query",
    [
        "melnyk",
        "TARAS",
        "tar mel",
        "taras.melnyk@example.org",
        "Melnyk@Example",
        "cus_1",
        "sub_7",
        "ch_3",
        "1",
        "no. 1",
        "№ 1",
    ],
)
def test_a_person_is_found_by_whatever_staff_know(session: Session, query: str) -> None:
    taras = make_member(session, name="Taras Melnyk", email="Taras.Melnyk@example.org")
    make_member(session, name="Hanna Shevchuk", email="hanna@example.org")
    session.add(make_membership(taras, reference="sub_7"))
    session.add(
        Customer(id="cus_1", member_id=taras.id, email="a@b", settled_at=now(), deleted=False)
    )
    contribute(session, taras.id, "ch_3")
    count(session, taras)
    session.flush()
    assert listed(session, q=query) == [taras.id]


def test_names_in_any_script_are_found_in_any_case(session: Session) -> None:
    mariana = make_member(session, name="Лук’яна Ковальчук", email="m@example.ua")
    siobhan = make_member(session, name="Siobhán O'Connor-Lee", email="s@example.ie")
    for query in ("ЛУК’ЯНА", "яна", "ковал"):
        assert listed(session, q=query) == [mariana.id], query
    for query in ("o'connor", "lee", "siobhán"):
        assert listed(session, q=query) == [siobhan.id], query


def test_matches_are_counted_up_to_a_limit(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        member = make_member(session, country="UA" if number else "GB", name="Hanna")
        session.add(make_membership(member, tier="patron", started_at=MARCH))
        session.add(make_membership(member, tier="reader", started_at=MARCH - timedelta(9)))
    session.flush()
    filters = Filters(country="UA", tier="patron", q="anna", sort="name")
    assert count_members(session, filters, LONDON) == (4, False)
    assert count_members(session, Filters(tier="reader"), LONDON) == (0, False)
    assert count_members(session, Filters(), LONDON) == (5, False)
    monkeypatch.setattr(listing, "_MOST_COUNTED", 3)
    assert count_members(session, filters, LONDON) == (3, True)


@pytest.mark.parametrize(
    "query",
    ["'", "\\", "'':*", "& | !", "%", "_", "a' | 'b", "(", "<->", "9" * 30, "@", "🙂"],
)
def test_odd_searches_find_nobody_and_harm_nothing(
    staff: FlaskClient, database: Database, query: str
) -> None:
    with database.transaction() as session:
        make_member(session, name="Taras Melnyk")
    answer = staff.get("/staff/members", query_string={"q": query}, headers=PAGE)
    assert answer.status_code == 200
    assert "No members match." in answer.text


def test_each_filter_finds_whom_it_is_for_and_nobody_else(session: Session) -> None:
    """Three people who differ in all that can be asked for, with older memberships to mislead."""
    at = now()
    one, two, three = (make_member(session, country=code) for code in ("UA", "GB", None))
    misleading = {"started_at": at - timedelta(days=900), "ended_at": at, "tier": "patron"}
    session.add(make_membership(two, status=Status.CANCELED, **misleading))
    session.add(
        make_membership(
            one,
            tier="patron",
            currency="EUR",
            interval=Interval.YEAR,
            campaign="25000",
            ref="tides",
            utm="newsletter / email",
            cancel_at=at + timedelta(days=3),
        )
    )
    session.add(
        make_membership(
            two,
            tier="member",
            campaign="spring",
            ref="tides/2",
            status=Status.PAST_DUE,
            payment_status=Dues.OVERDUE,
            cancel_at=at + timedelta(days=20),
        )
    )
    session.add(
        make_membership(
            three,
            tier=None,
            source=Source.COMPLIMENTARY,
            amount=0,
            interval=None,
            currency="USD",
            cancel_at=at + timedelta(days=300),
        )
    )
    count(session, one)
    count(session, two)
    count(session, two, "grace_over")
    session.flush()
    wanted = {
        ("state", "counting"): [one.id],
        ("state", "not-counting"): [three.id, two.id],
        ("state", "left"): [two.id],
        ("state", "never"): [three.id],
        ("state", "overdue"): [two.id],
        ("state", "complimentary"): [three.id],
        ("tier", "patron"): [one.id],
        ("interval", "year"): [one.id],
        ("currency", "EUR"): [one.id],
        ("country", "UA"): [one.id],
        ("campaign", "spring"): [two.id],
        ("ref", "tides"): [one.id],
        ("ref", "newsletter / email"): [one.id],
        ("leaving", "week"): [one.id],
        ("leaving", "month"): [two.id, one.id],
        ("leaving", "any"): [three.id, two.id, one.id],
        ("sort", "leaving"): [one.id, two.id, three.id],
    }
    newest = {one.id: 3, two.id: 2, three.id: 1}
    for (name, value), ids in wanted.items():
        found = listed(session, **{name: value})
        expected = ids if name == "sort" else sorted(ids, key=lambda who: -newest[who])
        assert sorted(found) == sorted(expected), (name, value)
    assert listed(session, tier="patron", currency="GBP") == []
    assert listed(session, sort="leaving") == [one.id, two.id, three.id]
    assert listed(session, tier="patron", country="UA", q="reader", leaving="any") == [one.id]


@pytest.mark.parametrize(("at_first", "not_rare"), [(9, 1), (3, 1), (1, 2)])
def test_a_filter_finds_the_same_by_looking_through_by_looking_further_and_by_its_index(
    session: Session, monkeypatch: pytest.MonkeyPatch, at_first: int, not_rare: int
) -> None:
    monkeypatch.setattr(listing, "_AT_FIRST", at_first)
    monkeypatch.setattr(listing, "_NOT_RARE", not_rare)
    members = [make_member(session, country="UA", name=f"Reader {n:02}") for n in range(9)]
    for number, member in enumerate(members):
        tier = "patron" if number % 3 else "member"
        session.add(make_membership(member, tier=tier, started_at=MARCH - timedelta(days=9)))
        session.add(make_membership(member, tier="reader", started_at=MARCH - timedelta(days=99)))
    session.flush()
    ids = [member.id for member in members]
    members_of_tier = ids[::3]
    assert listed(session, tier="member") == members_of_tier[::-1]
    assert listed(session, tier="member", sort="oldest") == members_of_tier
    assert listed(session, tier="member", sort="name", q="read", country="UA") == members_of_tier
    assert listed(session, tier="reader") == []
    page = list_members(session, Filters(tier="member"), LONDON, most=2)
    assert [row.member.id for row in page.rows] == members_of_tier[:0:-1]


@pytest.mark.parametrize("sort", ["newest", "oldest", "name", "leaving"])
@pytest.mark.parametrize("at_first", [2, 3000])
def test_pages_show_everybody_once_in_their_order_and_the_last_ends(
    session: Session, monkeypatch: pytest.MonkeyPatch, sort: str, at_first: int
) -> None:
    monkeypatch.setattr(listing, "_AT_FIRST", at_first)
    made = []
    for number in range(7):
        # Two by two they joined, are named and leave alike: the person's own key decides then.
        member = make_member(
            session, name=f"Reader {number // 2}", first_counted_at=MARCH + timedelta(number // 2)
        )
        session.add(make_membership(member, cancel_at=now() + timedelta(days=9 + number // 2)))
        made.append(member.id)
    session.flush()
    seen: list[int] = []
    after: str = ""
    for _ in range(4):
        page = list_members(session, Filters(sort=sort, q="reader"), LONDON, after, most=2)
        seen += [row.member.id for row in page.rows]
        after = str(page.after)
    assert seen == (made[::-1] if sort == "newest" else made)
    assert page.after is None


def test_the_days_of_joining_are_the_newsrooms_and_both_are_within(session: Session) -> None:
    summer = datetime(2026, 6, 1, tzinfo=LONDON)
    before, first, last, behind = (
        make_member(session, first_counted_at=at).id
        for at in (
            summer - timedelta(seconds=1),
            summer,
            summer + timedelta(hours=47, minutes=59),
            summer + timedelta(hours=48),
        )
    )
    assert listed(session, joined_from="2026-06-01", joined_to="2026-06-02") == [last, first]
    assert listed(session, joined_to="2026-05-31") == [before]
    assert listed(session, joined_from="2026-06-03", sort="name") == [behind]


def test_a_rare_word_is_found_far_behind_the_newest(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_AT_FIRST", 2)
    rare = [make_member(session, name="Zora Quill").id for _ in range(2)]
    for _ in range(3):
        make_member(session, name="Taras Melnyk")
    filters = Filters(q="quill", state="not-counting")
    page = list_members(session, filters, LONDON, most=1)
    assert ([row.member.id for row in page.rows], page.after) == ([rare[1]], rare[1])
    page = list_members(session, filters, LONDON, str(page.after), most=1)
    assert ([row.member.id for row in page.rows], page.after) == ([rare[0]], None)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({"q": "melnyk"}, "ix_member_parts"),
        ({"q": "17"}, "uq_member_number"),
        ({"q": "cus_1"}, "pk_customer"),
        ({"q": "ch_1"}, "uq_payment_charge_id"),
        ({"state": "never"}, "ix_member_never"),
        ({"state": "overdue"}, "ix_membership_overdue"),
        ({"state": "complimentary"}, "ix_membership_complimentary"),
        ({"tier": "patron"}, "ix_membership_tier"),
        ({"currency": "UAH"}, "ix_membership_currency"),
        ({"campaign": "25000"}, "ix_membership_campaign"),
        ({"ref": "tides"}, "ix_membership_ref"),
        ({"country": "UA"}, "ix_member_country"),
        ({"leaving": "any", "sort": "leaving"}, "ix_membership_leaving"),
        ({"sort": "newest"}, "ix_member_joined"),
        ({"joined_from": "2026-03-01"}, "ix_member_joined"),
        ({"sort": "name"}, "ix_member_by_name"),
    ],
)
def test_each_filter_and_each_order_can_use_an_index(
    session: Session, monkeypatch: pytest.MonkeyPatch, filters: dict[str, str], index: str
) -> None:
    session.execute(text("SET enable_seqscan = off"))
    session.execute(text("SET enable_sort = off"))
    plans: list[str] = []
    scalars = session.scalars

    def explained(statement: Any, *args: Any) -> Any:
        compiled = statement.compile(session.bind, compile_kwargs={"literal_binds": True})
        plans.append("\n".join(scalars(text(f"EXPLAIN {compiled}".replace(":", "\\:")))))
        return scalars(statement, *args)

    monkeypatch.setattr(session, "scalars", explained)
    list_members(session, Filters(**filters), LONDON)
    assert index in "\n".join(plans)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("state", "rich", "“rich”"),
        ("tier", "baron", "“baron”"),
        ("interval", "hour", "“hour”"),
        ("country", "XX", "“XX”"),
        ("leaving", "never", "“never”"),
        ("sort", "height", "“height”"),
        ("joined_from", "yesterday", "2026-03-03"),
        ("joined_from", "2026-02-30", "2026-03-03"),
        ("joined_to", "0001-01-01", "2026-03-03"),
        ("joined_to", "2026-02-01", ""),
        ("ref", "x" * 300, "200"),
    ],
)
def test_a_filter_that_makes_no_sense_is_said_and_all_that_was_typed_stays(
    staff: FlaskClient, database: Database, name: str, value: str, told: str
) -> None:
    with database.transaction() as session:
        make_member(session, name="Taras Melnyk")
    query = {"q": "taras", "joined_from": "2026-03-03"} | {name: value}
    answer = staff.get("/staff/members", query_string=query, headers=PAGE)
    assert answer.status_code == 422
    page = read(staff, "/staff/members", status=422, query_string=query)
    beside = words(page, f"#{name}-error")
    assert beside in words(page, ".notice-error")
    assert told in beside
    for field, typed in query.items():
        shown = page.select_one(f"input#{field}, select#{field} option[selected]")
        assert shown, field
        assert shown["value"] == typed
    assert "Taras Melnyk" not in words(page)


@pytest.mark.parametrize("after", ["x", "-1", "9" * 40, "77", "٣"])
def test_a_page_that_is_not_there_is_said_and_the_first_is_shown(
    staff: FlaskClient, database: Database, after: str
) -> None:
    with database.transaction() as session:
        make_member(session, name="Taras Melnyk")
    page = read(staff, "/staff/members", query_string={"after": after, "q": "taras"})
    assert "no-such-page" in names(page)
    assert "Taras Melnyk" in words(page)


def test_only_what_occurs_can_be_chosen(session: Session) -> None:
    member = make_member(session, country="UA")
    for tier in ("reader", "patron", "patron"):
        session.add(make_membership(member, tier=tier, ref="tides", currency="EUR"))
    session.flush()
    options = read_options(session)
    assert options == Options(["patron", "reader"], ["EUR"], ["UA"], [], ["tides"])
    filters, errors = read_filters({"tier": " patron ", "q": "a\nb\x7f"}, options)
    assert (filters.query(), errors) == ({"tier": "patron", "q": "ab"}, {})


def test_the_list_page_keeps_its_filters_on_the_way_on(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        for _ in range(paging.PAGE + 1):
            join(session)
    page = read(staff, "/staff/members?state=counting&q=reader&sort=oldest")
    assert all(part in words(page, "#found") for part in ("51 ", " 1–50"))
    following = page.select_one("nav.more a[rel=next]")
    assert following
    assert "state=counting" in str(following["href"])
    page = read(staff, str(following["href"]))
    assert len(page.select("tbody tr")) == 1
    assert "51–51" in words(page, "#found")
    back = page.select_one("nav.more a")
    assert back
    assert back["href"] == "/staff/members?q=reader&state=counting&sort=oldest"


def people_on(page: BeautifulSoup) -> list[str]:
    return [link.get_text() for link in page.select("tbody th a")]


def test_heads_sort_the_list_and_say_how_it_is_sorted(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        for name in ("Anna", "Bohdan"):
            join(session, name=name, country="UA")
    address = "/staff/members?country=UA"
    for sorted_, first in (("descending", "Bohdan"), ("ascending", "Anna")):
        page = read(staff, address)
        head = page.select_one("th[aria-sort]")
        assert head
        assert head["aria-sort"] == sorted_
        assert people_on(page)[0] == first
        link = head.select_one("a")
        assert link
        address = str(link["href"])
        assert "country=UA" in address
    heads = [link["href"] for link in page.select("thead a")]
    assert "/staff/members?country=UA&sort=name" in heads


def test_a_month_is_one_click_and_keeps_the_other_filters(
    staff: FlaskClient, database: Database
) -> None:
    today = now().astimezone(LONDON).date()
    with database.transaction() as session:
        join(session, name="Today", country="UA")
        for days in (0, 62):
            make_member(
                session,
                name=f"{days} days ago",
                country="GB" if days else "UA",
                first_counted_at=now() - timedelta(days),
            )
    page = read(staff, "/staff/members?country=UA")
    assert page.select_one("select[name=joined] option[value=this-month]")
    page = read(staff, "/staff/members?country=UA&joined=this-month")
    assert sorted(people_on(page)) == ["0 days ago", "Today"]
    assert people_on(read(staff, f"/staff/members?joined=last-month&joined_from={today}")) == []


def take(client: FlaskClient, **form: str) -> TestResponse:
    token = csrf_token(client, "/staff")
    return client.post("/staff/members/export", data=form | {"csrf_token": token}, headers=PAGE)


def test_the_file_has_who_is_filtered_in_the_lists_order(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        left = make_member(session, name="Hanna", country="UA")
        session.add(make_membership(left, tier="patron"))
        taras = join(
            session, name="Taras; “Melnyk”, Jr", email="t@example.org", country="UA", language="uk"
        )
        make_member(session, name="Nobody", country="GB")
    answer = take(staff, country="UA", sort="name")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="members-')
    rows = list(csv.DictReader(answer.text.lstrip("\ufeff").splitlines()))
    assert [row["Name"] for row in rows] == ["Hanna", "Taras; “Melnyk”, Jr"]
    assert (rows[0]["Counted"], rows[0]["Tier"]) == ("no", "patron")
    assert {
        name: rows[1][name] for name in ("Number", "Counted", "Amount", "Currency", "Status")
    } == {
        "Number": "1",
        "Counted": "yes",
        "Amount": "10.00",
        "Currency": "GBP",
        "Status": "active",
    }
    assert rows[1]["Started"] == "2026-04-22"
    with database.transaction() as session:
        action = session.scalars(
            select(AuditEntry).where(AuditEntry.action == "exported_members")
        ).one()
        assert (action.subject, action.staff_id is not None) == ("members by country, sort", True)
    assert taras.number == 1


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+49 30", "-2", "@SUM(A1)", "\t=1", " =1", "\r=1", "＝1", "=cmd|' /C calc'!A0"],  # noqa: RUF001 - a wide one
)
def test_no_cell_is_taken_for_a_formula(staff: FlaskClient, database: Database, name: str) -> None:
    assert safe_cell(name) == f"'{name}"
    with database.transaction() as session:
        session.add(make_membership(make_member(session, name=name), ref=name))
    text_ = take(staff).text
    row = next(csv.DictReader(text_.lstrip("\ufeff").splitlines(keepends=True)))
    assert [*row.values()].count(f"'{name}") == 2, "the name, and where they came from"


def test_a_column_is_one_declaration_for_the_page_and_the_file(
    staff: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Column(
        title="Seen since",
        name="seen",
        shown=lambda row: f"since {row.member.created_at:%Y}",
        of=[Member.created_at],
        cell=Cells.day,
    )
    for module in (export, list_views):
        monkeypatch.setattr(module, "COLUMNS", (*module.COLUMNS, known))
    with database.transaction() as session:
        at = make_member(session).created_at
    page = read(staff, "/staff/members")
    assert page.select("#results thead th")[-1].text == "Seen since"
    assert page.select("#results tbody td")[-1].text == f"since {at:%Y}"
    row = next(csv.DictReader(take(staff).text.lstrip("\ufeff").splitlines()))
    assert row["Seen since"].startswith(f"{at:%Y}-")


def test_the_file_is_in_the_language_of_the_page(staff: FlaskClient, database: Database) -> None:
    """It is read when the request has ended; its words were chosen before."""
    with database.transaction() as session:
        make_member(session)
    token = csrf_token(staff, "/staff")
    answer = staff.post(
        "/staff/members/export",
        data={"csrf_token": token},
        headers=PAGE | {"Accept-Language": "uk"},
    )
    assert answer.text.lstrip("\ufeff").split(",")[1] == "Номер"


def test_the_file_is_streamed_from_a_cursor(
    staff: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_AT_ONCE", 2)
    with database.transaction() as session:
        for _ in range(5):
            make_member(session)
    token = csrf_token(staff, "/staff")
    with staff.post(
        "/staff/members/export", data={"csrf_token": token}, headers=PAGE, buffered=False
    ) as answer:
        parts = iter(answer.response)
        next(parts)
        assert next(parts).count(b"\r\n") == 2
        with database.transaction() as session:
            cursors = session.scalars(
                text(
                    "SELECT query FROM pg_stat_activity WHERE state = 'idle in transaction' "
                    "AND datname = current_database()"
                )
            ).all()
            assert any("FETCH FORWARD" in query for query in cursors), cursors
        assert sum(part.count(b"\r\n") for part in parts) == 3


def test_who_breaks_the_download_off_leaves_no_connection_behind(
    staff: FlaskClient, database: Database
) -> None:
    token = csrf_token(staff, "/staff")
    before = database.engine.pool.checkedout()  # type: ignore[attr-defined]  # a queue's own
    with staff.post(
        "/staff/members/export", data={"csrf_token": token}, headers=PAGE, buffered=False
    ) as answer:
        next(iter(answer.response))
    assert database.engine.pool.checkedout() == before  # type: ignore[attr-defined]  # as above


def test_a_file_by_filters_that_make_no_sense_is_not_made(
    staff: FlaskClient, database: Database
) -> None:
    answer = take(staff, tier="baron")
    assert answer.status_code == 422
    assert "“baron” isn’t one of the options here." in answer.text
    with database.transaction() as session:
        assert not session.scalars(
            select(AuditEntry).where(AuditEntry.action == "exported_members")
        ).all()


def test_support_may_not_take_everybody_away_as_a_file(
    client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database, Role.SUPPORT))
    assert take(client).status_code == 403
    assert "/staff/members/export" not in str(read(client, "/staff/members"))
