"""Staff's pages of members who pay elsewhere: upload, dry run, decisions, undo, by hand."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from sqlalchemy import select

from fundraiser.db import now
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Member, Membership, Note, Source
from fundraiser.newsroom.models import Role
from fundraiser.sources import batches
from fundraiser.sources.models import ImportBatch, ImportFile
from fundraiser.sources.tables import open_table
from tests.sources import EXAMPLES, GRACE
from tests.staff import PAGE, csrf_token, hire, read, shown, sign_in, words

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.db import Database
    from fundraiser.sources.readings import Options
    from fundraiser.sources.tables import Table

SOURCES = "/staff/sources"


@pytest.fixture
def manager(client: FlaskClient, database: Database) -> FlaskClient:
    sign_in(client, hire(database, Role.MANAGER))
    return client


def post(client: FlaskClient, path: str, **form: Any) -> TestResponse:
    form["csrf_token"] = csrf_token(client, SOURCES)
    return client.post(path, data=form, headers=PAGE)


def upload(client: FlaskClient, name: str, content: bytes | None = None, **form: Any) -> str:
    """Upload a file; returns the address of its page."""
    whole = (EXAMPLES / name).read_bytes() if content is None else content
    answer = post(client, f"{SOURCES}/files", file=(io.BytesIO(whole), name), **form)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def work(database: Database) -> None:
    """What a worker does."""
    while batches.step_any(database, GRACE):
        pass


def number(database: Database) -> int:
    with database.transaction() as session:
        return read_balance(session).members


def state(client: FlaskClient, path: str) -> str:
    found = read(client, path).select_one("[data-test=state]")
    assert found
    return str(found["data-state"])


def tomorrow(days: int = 30) -> str:
    return f"{now() + timedelta(days=days):%Y-%m-%d}"


def listed(*rows: str) -> bytes:
    return ("Name,E-mail,Amount,Every,Paid until\n" + "\n".join(rows)).encode()


def test_a_file_is_shown_dry_run_brought_in_and_undone(
    manager: FlaskClient, database: Database
) -> None:
    content = listed(
        f"Olena,olena@example.org,5,month,{tomorrow()}",
        f"Ivan,ivan@@example.org,5,month,{tomorrow()}",
        f"Nina,nina@example.org,1.250,month,{tomorrow()}",
    )
    path = upload(manager, "friends.csv", content)
    page = read(manager, path)
    preview = page.select_one("[data-test=preview]")
    assert preview
    assert "olena@example.org" in preview.text
    assert state(manager, path) == "uploaded"
    assert page.select_one("form[data-test=reading]")
    assert post(manager, f"{path}/reading").status_code == 303
    work(database)
    page = read(manager, path)
    assert (words(page, "[data-test=before]"), words(page, "[data-test=after]")) == ("0", "1")
    assert page.select_one("[data-outcome=held]")
    assert page.select_one("table[data-test=outcomes]")
    assert "Ivan" in shown(page, "rows-refused")
    assert "Nina" in shown(page, "rows-held")
    assert number(database) == 0
    refused = post(manager, f"{path}/refused-rows/export")
    assert "ivan@@example.org" in refused.text
    assert "olena" not in refused.text
    post(manager, f"{path}/application")
    work(database)
    assert (state(manager, path), number(database)) == ("applied", 1)
    assert post(manager, f"{path}/decisions", row="3", decision="count").status_code == 422
    answer = post(manager, f"{path}/decisions", row="3", decision="count", until=tomorrow())
    assert (answer.status_code, number(database)) == (303, 2)
    post(manager, f"{path}/undoing")
    work(database)
    assert (state(manager, path), number(database)) == ("undone", 0)
    with database.transaction() as session:
        assert session.scalars(select(ImportFile)).all() == [], "the file itself is gone"


def test_what_staff_choose_of_its_reading_holds_for_the_next_file(
    manager: FlaskClient, database: Database
) -> None:
    content = f"Who;Where;Up to\nOlena;olena@example.org;{tomorrow()}\n".encode()
    path = upload(manager, "a.csv", content, format="table")
    post(manager, f"{path}/reading")
    work(database)
    assert state(manager, path) == "refused"
    columns = {"column-email": "Where", "column-name": "Who", "column-until": "Up to"}
    post(manager, f"{path}/reading", **columns)
    work(database)
    assert state(manager, path) == "planned"
    post(manager, f"{path}/application")
    work(database)
    again = upload(manager, "b.csv", content, format="table")
    post(manager, f"{again}/reading")
    work(database)
    assert words(read(manager, again), "[data-outcome=unchanged] td") == "1"


@pytest.mark.parametrize(
    ("form", "name", "content"),
    [
        ({"format": "patreon"}, "steady.csv", None),
        ({}, "empty.csv", b""),
        ({"source": "../etc"}, "patreon.csv", None),
        ({}, "list_ua_bom_then_1251.csv", None),
    ],
)
def test_a_file_that_can_not_be_taken_in_is_refused_with_a_sentence(
    manager: FlaskClient, form: dict[str, str], name: str, content: bytes | None
) -> None:
    whole = (EXAMPLES / name).read_bytes() if content is None else content
    answer = post(manager, f"{SOURCES}/files", file=(io.BytesIO(whole), name), **form)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


def test_a_workbook_is_parsed_once_however_often_its_page_is_looked_at(
    manager: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = upload(manager, "members.xlsx")
    opened: list[BinaryIO] = []

    def open_and_note(file: BinaryIO, options: Options) -> Table:
        opened.append(file)
        return open_table(file, options)

    monkeypatch.setattr("fundraiser.sources.formats.open_table", open_and_note)
    first, second = (read(manager, page) for _ in range(2))
    assert len(opened) <= 1
    assert "Xenia Cells" in first.text
    assert "Xenia Cells" in second.text
    post(manager, f"{page}/reading", sheet="Nobody's")
    assert "Xenia Cells" not in read(manager, page).text, "read in another way, it is read again"


def test_no_file_is_asked_for(manager: FlaskClient) -> None:
    assert post(manager, f"{SOURCES}/files").status_code == 422


def test_a_file_of_some_megabytes_is_taken_and_a_larger_one_is_not(manager: FlaskClient) -> None:
    row = b"P,p@example.org,5,month,2030-01-01\n"
    token = csrf_token(manager, SOURCES).encode()
    for size, status in ((4 << 20, 303), (33 << 20, 413)):
        body = (
            b'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n' + token + b"\r\n"
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
            + listed()
            + row * (size // len(row))
            + b"\r\n--x--\r\n"
        )
        kind = "multipart/form-data; boundary=x"
        answer = manager.post(f"{SOURCES}/files", data=body, content_type=kind, headers=PAGE)
        assert answer.status_code == status


def test_a_file_of_which_the_list_is_older_is_refused_by_the_worker(
    manager: FlaskClient, database: Database
) -> None:
    rows = listed(f"Olena,olena@example.org,5,month,{tomorrow()}")
    for day in ("2026-11-02", "2026-11-01"):
        path = upload(manager, "a.csv", rows)
        post(manager, f"{path}/reading", as_of=day)
        work(database)
        post(manager, f"{path}/application")
        work(database)
    page = read(manager, path)
    assert state(manager, path) == "refused"
    assert page.select_one("[data-test=problem]")
    assert post(manager, f"{path}/removal").status_code == 303


def test_a_worker_that_dies_three_times_over_a_file_refuses_it(
    manager: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = upload(manager, "patreon.csv")
    post(manager, f"{path}/reading")

    def die(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(batches, "read_and_plan", die)
    for _ in range(3):
        with pytest.raises(MemoryError):
            work(database)
    work(database)
    assert state(manager, path) == "refused"


def test_two_staff_at_once_bring_a_file_in_once(manager: FlaskClient, database: Database) -> None:
    path = upload(manager, "a.csv", listed(f"Olena,olena@example.org,5,month,{tomorrow()}"))
    post(manager, f"{path}/reading")
    work(database)
    for _ in range(2):
        assert post(manager, f"{path}/application").status_code == 303
    work(database)
    assert post(manager, f"{path}/application").status_code == 303
    work(database)
    assert number(database) == 1


def test_a_plan_that_nobody_has_seen_is_not_applied(
    manager: FlaskClient, database: Database
) -> None:
    """Somebody has it planned anew, otherwise read, while somebody else is about to confirm it."""
    path = upload(manager, "a.csv", listed(f"Olena,olena@example.org,5,month,{tomorrow()}"))
    post(manager, f"{path}/reading")
    work(database)
    plan = read(manager, path).select_one("form[action$=application] [name=plan]")
    assert plan
    post(manager, f"{path}/reading", currency="EUR")
    work(database)
    assert post(manager, f"{path}/application", plan=plan["value"]).status_code == 303
    assert state(manager, path) == "planned"
    plan = read(manager, path).select_one("form[action$=application] [name=plan]")
    assert plan
    post(manager, f"{path}/application", plan=plan["value"])
    assert state(manager, path) == "applying"


def test_a_double_click_reads_a_file_once_and_other_options_wait(
    manager: FlaskClient, database: Database
) -> None:
    path = upload(manager, "a.csv", listed(f"Olena,olena@example.org,5,month,{tomorrow()}"))
    assert [post(manager, f"{path}/reading").status_code for _ in range(2)] == [303, 303]
    assert post(manager, f"{path}/reading", currency="EUR").status_code == 422
    work(database)
    assert state(manager, path) == "planned"


def test_staff_enter_prices_and_one_date_for_a_file_that_has_neither(
    manager: FlaskClient, database: Database
) -> None:
    headings = "email,active_subscription,expiry,plan,created_at,first_payment_at"
    row = "a@example.org,true,,monthly,2025-01-01,2025-02-01"
    path = upload(manager, "list.csv", f"{headings}\n{row}\n".encode())
    post(manager, f"{path}/reading", paid_until=tomorrow())
    work(database)
    assert "0.01" not in read(manager, path).text
    told = {"price-month": "5.00", "price-year": "50", "paid_until": tomorrow()}
    post(manager, f"{path}/reading", **told, currency="USD")
    work(database)
    page = read(manager, path)
    assert (words(page, "[data-test=before]"), words(page, "[data-test=after]")) == ("0", "1")
    for name, value in told.items():
        field = page.select_one(f"[name={name}]")
        assert field
        assert field["value"] == value
    post(manager, f"{path}/application")
    work(database)
    with database.transaction() as session:
        paid = session.execute(select(Membership.amount, Membership.currency)).one()
        assert tuple(paid) == (500, "USD")
    again = upload(manager, "list.csv", f"{headings}\n{row}\n".encode())
    remembered = [read(manager, again).select_one(f"[name={name}]") for name in told]
    assert [field["value"] for field in remembered if field] == ["5.00", "50", ""]
    assert read(manager, again).select_one("[name=currency] [value=USD][selected]")


def test_the_last_day_is_the_one_that_the_list_says(
    manager: FlaskClient, database: Database
) -> None:
    path = upload(manager, "a.csv", b"E-mail,Paid until\nolena@example.org,2031-03-01\n")
    post(manager, f"{path}/reading")
    work(database)
    assert "1 Mar 2031" in words(read(manager, path))
    post(manager, f"{path}/application")
    work(database)
    with database.transaction() as session:
        member_id = session.scalars(select(Membership.member_id)).one()
    assert shown(read(manager, f"/staff/members/{member_id}"), "paid-until") == "1 Mar 2031"
    listed = read(manager, "/staff/members", query_string={"columns": "paid-until"})
    assert "1 Mar 2031" in words(listed, "#results")


@pytest.mark.wording
def test_an_amount_that_no_list_says_is_unknown(manager: FlaskClient, database: Database) -> None:
    content = f"E-mail,Every,Paid until\nolena@example.org,month,{tomorrow()}\n".encode()
    path = upload(manager, "a.csv", content)
    post(manager, f"{path}/reading")
    work(database)
    post(manager, f"{path}/application")
    work(database)
    with database.transaction() as session:
        member_id = session.scalars(select(Membership.member_id)).one()
    page = read(manager, f"/staff/members/{member_id}").text
    assert "Amount unknown" in page
    assert "0.01" not in page


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.FINANCE])
def test_only_managers_and_administrators_bring_lists_in(
    client: FlaskClient, database: Database, role: Role
) -> None:
    sign_in(client, hire(database, role))
    file = (io.BytesIO((EXAMPLES / "patreon.csv").read_bytes()), "patreon.csv")
    assert post(client, f"{SOURCES}/files", file=file).status_code == 403
    assert not read(client, SOURCES).select("[data-test=upload]")


PERSON = {
    "kind": "paid",
    "email": "Daria@example.org",
    "name": "Daria",
    "amount": "50",
    "currency": "GBP",
    "interval": "year",
    "why": "Bank transfer of 3 November",
    "key": "form-1",
}


def test_a_person_added_by_hand_is_counted_once_and_the_why_is_kept(
    manager: FlaskClient, database: Database
) -> None:
    assert read(manager, f"{SOURCES}/people").select_one("form[data-test=by-hand]")
    for _ in range(2):
        answer = post(manager, f"{SOURCES}/people", **PERSON, until=tomorrow())
        assert answer.status_code == 303, answer.text
    assert number(database) == 1
    with database.transaction() as session:
        member = session.scalars(select(Member)).one()
        assert (member.email, member.name, member.counting) == ("Daria@example.org", "Daria", True)
        assert session.scalars(select(Note.text)).one() == PERSON["why"]
        batch = session.scalars(select(ImportBatch)).one()
    read(manager, answer.headers["Location"])
    post(manager, f"{SOURCES}/imports/{batch.id}/undoing")
    work(database)
    assert number(database) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"until": ""},
        {"until": "2020-01-01"},
        {"amount": "much"},
        {"amount": "0"},
        {"email": "daria"},
        {"why": ""},
        {"until": "9999-12-31"},
    ],
)
def test_a_person_without_a_day_an_amount_or_a_reason_is_not_added(
    manager: FlaskClient, database: Database, wrong: dict[str, str]
) -> None:
    answer = post(manager, f"{SOURCES}/people", **{**PERSON, "until": tomorrow(), **wrong})
    assert answer.status_code == 422
    assert "Bank transfer" in answer.text or "why" in wrong
    assert number(database) == 0


def test_a_complimentary_membership_may_be_given_to_somebody_unknown_without_an_end(
    manager: FlaskClient, database: Database
) -> None:
    form = {**PERSON, "kind": "complimentary", "amount": "", "until": ""}
    for _ in range(2):
        assert post(manager, f"{SOURCES}/people", **form).status_code == 303
    with database.transaction() as session:
        given = session.scalars(select(Membership)).one()
        assert (given.source, given.cancel_at) == (Source.COMPLIMENTARY, None)
    assert number(database) == 0
