"""What people send: files in any encoding, broken, of another system, or made to do harm."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st

from fundraiser.sources.formats import File, find_format, formats, recognise
from fundraiser.sources.readings import FileRefusedError, Options, RowError, Says, Why
from fundraiser.sources.tables import open_table
from fundraiser.sources.values import Notation
from tests.sources import EXAMPLES, read

if TYPE_CHECKING:
    from fundraiser.sources.readings import Reading

HEADINGS = "Name,E-mail,Amount,Every,Paid until\n"


def one(row: str, options: Options | None = None) -> Reading:
    return read((HEADINGS + row + "\n").encode(), options)[0]


def until(written: str, options: Options | None = None) -> str:
    reading = one(f"Olena,o@example.org,5,month,{written}", options)
    if reading.counts_until is None:
        return str(reading.why)
    return f"{reading.counts_until.astimezone(ZoneInfo('Europe/Kyiv')):%Y-%m-%d %H:%M}"


# Encodings and delimiters


def test_a_mark_before_the_first_heading_is_none_of_its_letters() -> None:
    reading = read(b"\xef\xbb\xbf" + (HEADINGS + "O,o@example.org,5,month,2026-12-05").encode())[0]
    assert (reading.email, reading.says) == ("o@example.org", Says.PAID)


@pytest.mark.parametrize("encoding", ["cp1251", "utf-8", "utf-8-sig", "utf-16", "koi8-u"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_any_encoding_and_delimiter_is_read(encoding: str, delimiter: str) -> None:
    rows = [
        ["Ім’я" if encoding != "koi8-u" else "Прізвище", "Електронна адреса", "Сплачено до"],
        *(["Соломія Вигадана з Києва", f"o{n}@example.org", "05.12.2026"] for n in range(5)),
    ]
    content = "\r\n".join(delimiter.join(row) for row in rows)
    found = read(content.encode(encoding))
    assert [one.email for one in found] == [f"o{n}@example.org" for n in range(5)]
    assert "Соломія" in (found[0].name or "")


def test_a_mark_before_what_is_no_utf8_is_refused_with_both_readings() -> None:
    content = (EXAMPLES / "list_ua_bom_then_1251.csv").read_bytes()
    with pytest.raises(FileRefusedError, match="Електронна адреса"):
        read(content)
    chosen = read(content, Options(encoding="cp1251"))
    assert chosen[0].email == "solomiia@example.org"


def test_what_is_no_utf8_late_in_a_long_file_is_found() -> None:
    rows = "".join(f"Olena {n},o{n}@example.org,5,month,2026-12-05\n" for n in range(50_000))
    late = "Соломія Вигадана,s@example.org,5,month,2026-12-05\n".encode("cp1251")
    found = read((HEADINGS + rows).encode() + late)
    assert found[-1].name == "Соломія Вигадана"


def test_a_newline_in_a_cell_is_one_row_and_the_rows_keep_their_numbers() -> None:
    content = HEADINGS + '"Olena\nof Kyiv",o@example.org,5,month,2026-12-05\nI,bad,5,month,\n'
    assert [(one.row, one.says) for one in read(content.encode())] == [
        (1, Says.PAID),
        (2, Says.REFUSED),
    ]


@pytest.mark.parametrize("row", ["Olena,o@example.org", "Olena,o@example.org,5,month,2026-12-05,x"])
def test_a_row_of_another_length_is_refused_and_the_others_go_in(row: str) -> None:
    content = HEADINGS + row + "\nIvan,i@example.org,5,month,2026-12-05\n"
    found = read(content.encode())
    assert [(one.says, one.why) for one in found] == [
        (Says.REFUSED, Why.ROW_LENGTH),
        (Says.PAID, Why.PAID),
    ]


# Days and amounts


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("03.12.2026", "2026-12-04 00:00"),
        ("2026-12-03", "2026-12-04 00:00"),
        ("2026-12-03T10:00:00Z", "2026-12-03 12:00"),
        ("2026-12-03 10:00:00", "2026-12-03 12:00"),
        ("12/31/2026", "2027-01-01 00:00"),
        ("31/12/2026", "2027-01-01 00:00"),
        ("3 Dec 2026", "2026-12-04 00:00"),
        ("46365", "2026-12-10 00:00"),
        ("12/09/2026", "which_month"),
        ("31.11.2026", "no_such_day"),
        ("soon", "no_such_day"),
        ("0000-00-00", "no_such_day"),
        ("99999999999999999999", "no_such_day"),
        ("", "no_day"),
        ("2118-09-11", "2118-09-12 00:00"),
    ],
)
def test_days_are_read_or_refused_or_asked_about(written: str, expected: str) -> None:
    assert until(written) == expected


def test_one_day_above_twelve_proves_the_order_of_its_column() -> None:
    content = HEADINGS + "A,a@a.org,5,month,12/09/2026\nB,b@a.org,5,month,12/31/2026\n"
    first = read(content.encode())[0]
    assert first.counts_until == datetime(2026, 12, 9, 22, tzinfo=UTC)
    assert until("12/09/2026", Options(date_order="dmy")) == "2026-09-13 00:00"
    mixed = content + "C,c@a.org,5,month,31/12/2026\n"
    assert read(mixed.encode())[0].why is Why.WHICH_MONTH


def test_a_number_for_a_day_is_to_be_looked_at() -> None:
    assert Why.SERIAL_DATE in one("Olena,o@example.org,5,month,46365").looks


def test_an_end_that_nobody_pays_for_is_complimentary() -> None:
    reading = one("Olena,o@example.org,5,month,2118-09-11")
    assert (reading.says, reading.why) == (Says.NOT_PAYING, Why.COMPLIMENTARY)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1\xa0200,00", Decimal(1200)),
        ("1,200.50", Decimal("1200.50")),
        ("1.200,50", Decimal("1200.50")),
        ("5", Decimal(5)),
        ("-3,5", Decimal("-3.5")),
        ("$5.00", Decimal(5)),
        ("200,00 грн", Decimal(200)),
        ("1,000,000", Decimal(1_000_000)),
        (5.5, Decimal("5.5")),
        ("1,250", Says.ASK),
        ("1.250", Says.ASK),
        ("=1+1", Says.REFUSED),
        ("five", Says.REFUSED),
        ("1e400", Says.REFUSED),
        ("1,2,3", Says.REFUSED),
        (True, Says.REFUSED),
        (float("nan"), Says.REFUSED),
        ("9" * 80, Says.REFUSED),
    ],
)
def test_amounts_are_read_or_refused_or_asked_about(written: Any, expected: Any) -> None:
    try:
        found: object = Notation().read_amount(written)
    except RowError as error:
        found = error.says
    assert found == expected


def test_the_columns_own_decimals_say_what_one_comma_means() -> None:
    notation = Notation()
    notation.look_at_amounts(["5.00", "1,250"])
    assert notation.read_amount("1,250") == 1250
    assert Notation(decimal=",").read_amount("1,250") == Decimal("1.25")


# Addresses


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("\N{CYRILLIC SMALL LETTER O}lena@example.org", Why.LOOKALIKE_ADDRESS),
        ("olena@@example.org", Why.BAD_ADDRESS),
        ("olena", Why.BAD_ADDRESS),
        ("a" * 300 + "@example.org", Why.BAD_ADDRESS),
        ("", Why.NO_ADDRESS),
    ],
)
def test_what_is_no_address_is_refused(address: str, why: Why) -> None:
    assert one(f"Olena,{address},5,month,2026-12-05").why is why


def test_a_name_that_is_a_formula_is_kept_as_typed() -> None:
    assert one('"=HYPERLINK(""x"")",o@example.org,5,month,2026-12-05').name == '=HYPERLINK("x")'


# Whole files


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n\n",
        b"\x00\x01\x02\x03" * 100,
        b"\xff\xfe\x00",
        b"PK\x03\x04" + b"\x00" * 100,
        b"\xd0\xcf\x11\xe0" + b"\x00" * 100,
        b"hello",
        b'{"members": []}',
        b"<?xml version='1.0'?><a/>",
        b"%PDF-1.7",
        b"a," * 1000,
    ],
)
def test_what_is_no_list_is_refused_with_a_sentence(content: bytes) -> None:
    with pytest.raises(FileRefusedError) as refused:
        read(content)
    assert str(refused.value).endswith(".")


def test_a_quotation_mark_that_never_ends_is_refused_with_its_line() -> None:
    rows = "A,a@a.org,5,month,2026-12-05\n" + 'B,"b@a.org,5,month\n' + "x" * 200_000
    with pytest.raises(FileRefusedError, match=r"\d"):
        read((HEADINGS + rows).encode())


def test_a_needed_column_twice_is_refused_and_another_is_not() -> None:
    row = "A,a@a.org,b@a.org,2026-12-05\n"
    with pytest.raises(FileRefusedError, match="twice"):
        read(("Name,E-mail,E-mail,Paid until\n" + row).encode())
    assert read(("E-mail,Note,Note,Paid until\n" + "a@a.org,,,2026-12-05\n").encode())


def zipped(*entries: tuple[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return whole.getvalue()


def test_a_workbook_that_unpacks_to_too_much_is_refused() -> None:
    bomb = zipped(("xl/workbook.xml", b"<x/>"), ("xl/worksheets/sheet1.xml", b"0" * (201 << 20)))
    assert len(bomb) < 1 << 20
    with pytest.raises(FileRefusedError, match="too large"):
        read(bomb)


def test_a_workbook_that_lies_about_its_size_is_refused() -> None:
    bomb = zipped(("xl/workbook.xml", b"<x/>"), ("xl/worksheets/sheet1.xml", b"0" * (201 << 20)))
    size = (201 << 20).to_bytes(4, "little")
    assert size in bomb
    with pytest.raises(FileRefusedError):
        read(bomb.replace(size, (1000).to_bytes(4, "little")))


def test_an_archive_that_is_no_workbook_is_refused() -> None:
    with pytest.raises(FileRefusedError, match="ZIP"):
        read(zipped(("members.csv", b"E-mail\na@a.org\n")))


@pytest.mark.parametrize(
    "doctype",
    [
        b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY x "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        b'<!DOCTYPE d SYSTEM "http://127.0.0.1:9/x.dtd">',
    ],
)
def test_a_statement_with_entities_is_refused(doctype: bytes) -> None:
    content = (EXAMPLES / "camt053.xml").read_bytes()
    head, rest = content.split(b"?>", 1)
    evil = head + b"?>" + doctype + rest.replace(b"Daria Standing", b"&x;")
    with pytest.raises(FileRefusedError, match="definitions"):
        read(evil, name="a.xml")


@pytest.mark.parametrize(
    ("written", "amount", "currency"),
    [
        ("1 234,50 €", 123450, "EUR"),
        ("12.00 USD", 1200, "USD"),
        ("$5", 500, "UAH"),
        ("5", 500, "UAH"),
    ],
)
def test_a_currency_beside_an_amount_is_that_of_its_row(
    written: str, amount: int, currency: str
) -> None:
    reading = one(f'Olena,o@example.org,"{written}",month,2026-12-05')
    assert (reading.amount, reading.currency) == (amount, currency)


def test_the_plan_of_substacks_other_heading_says_how_often_is_paid() -> None:
    headings = "Email,Stripe plan,Active Subscription,Expiry,First payment at"
    row = "o@example.org,yearly,TRUE,2027-05-01T00:00:00.000Z,2026-05-01T00:00:00.000Z"
    assert str(read(f"{headings}\n{row}\n".encode())[0].interval) == "year"


def transfer(day: str, detail: str, *, entry: str = "", kind: str = "CRDT") -> str:
    return (
        f'<Ntry><Amt Ccy="EUR">24.00</Amt><CdtDbtInd>{kind}</CdtDbtInd>{entry}<Sts>BOOK</Sts>'
        f"<BookgDt><Dt>{day}</Dt></BookgDt><NtryDtls>{detail}</NtryDtls></Ntry>"
    )


def paid(name: str, account: str = "", text: str = "Membership 1042", amount: str = "8.00") -> str:
    """A payment as version 2 of the standard has it, its amount among the details."""
    holder = f"<DbtrAcct><Id><IBAN>{account}</IBAN></Id></DbtrAcct>" if account else ""
    amounts = f'<AmtDtls><TxAmt><Amt Ccy="EUR">{amount}</Amt></TxAmt></AmtDtls>' if amount else ""
    return (
        f"<TxDtls>{amounts}<RltdPties><Dbtr><Nm>{name}</Nm></Dbtr>{holder}</RltdPties>"
        f"<RmtInf><Ustrd>{text}</Ustrd></RmtInf></TxDtls>"
    )


def statement(*entries: str) -> list[tuple[str, str, int, str | None]]:
    head = '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><Stmt>'
    found = read(f"{head}{''.join(entries)}</Stmt></Document>".encode(), name="a.xml")
    return [(str(one.says), str(one.why), one.amount, one.key) for one in found]


def test_payers_of_a_statement_who_cannot_be_told_apart_are_asked_about() -> None:
    day, other = "2026-11-20", "2026-11-21"
    nobody = transfer(day, paid("Anna Kovalenko", text="Membership 2026"))
    found = statement(nobody, nobody.replace(day, other))
    assert found == [("ask", "no_payer", 800, None)] * 2, "a year is no member's number"
    found = statement(transfer(day, paid("Anna K") + paid("Petro P")))
    assert [one[3] for one in found] == ["no. 1042 anna k", "no. 1042 petro p"]
    both = [transfer(day, paid(name, "XX01")) for name in ("Anna Müller", "Peter Müller")]
    assert statement(*both) == [
        ("ask", "shared_account", 800, "XX01 anna müller"),
        ("ask", "shared_account", 800, "XX01 peter müller"),
    ]
    same = [
        transfer(day, paid(name, "xx 01")) for name in ("Anna Müller", "MÜLLER, ANNA", "A. Müller")
    ]
    assert statement(*same) == [("paid", "paid", 800, "XX01")]


def test_of_several_payments_in_an_entry_each_has_its_own_amount() -> None:
    three = (
        paid("A B", "XX01") + paid("C D", "XX02", amount="6.00") + paid("E F", "XX03", amount="")
    )
    found = statement(transfer("2026-11-20", three))
    assert sorted(found) == [
        ("paid", "paid", 600, "XX02"),
        ("paid", "paid", 800, "XX01"),
        ("refused", "no_amount", 0, None),
    ]
    alone = statement(transfer("2026-11-20", paid("A B", "XX01", amount="")))
    assert alone == [("paid", "paid", 2400, "XX01")]


@pytest.mark.parametrize(
    ("amount", "says", "why"),
    [("8.00", "not_paying", "refunded"), ("3.00", "ask", "partly_refunded")],
)
def test_what_goes_back_names_its_payer_as_the_creditor(amount: str, says: str, why: str) -> None:
    back = paid("A B", "XX01", amount=amount).replace("Dbtr", "Cdtr")
    reversal = "<RvslInd>true</RvslInd>"
    found = statement(
        transfer("2026-11-20", paid("A B", "XX01")),
        transfer("2026-11-22", back, entry=reversal, kind="DBIT"),
        transfer("2026-11-23", paid("C D", "XX02"), entry=reversal),
    )
    assert [one[:2] for one in found] == [
        ("skipped", "money_out"),
        ("skipped", "not_a_payment"),
        (says, why),
    ]


def test_a_statement_that_breaks_off_is_refused() -> None:
    with pytest.raises(FileRefusedError, match="damaged or incomplete"):
        read((EXAMPLES / "camt053.xml").read_bytes()[:3000], name="a.xml")


def test_each_example_is_recognised_as_its_own_system() -> None:
    expected = {
        "camt053.xml": "camt053",
        "ghost.csv": "ghost",
        "ghost_admin_api_members.json": "ghost",
        "list_ua_sep_line.csv": "table",
        "list_ua_utf8_bom.csv": "table",
        "list_ua_windows1251.csv": "table",
        "members.xlsx": "table",
        "patreon.csv": "patreon",
        "paypal.csv": "paypal",
        "steady.csv": "steady",
        "substack_email_list.csv": "substack",
        "substack_subscribers.csv": "substack",
    }
    found = {}
    for name in expected:
        form = recognise(File(io.BytesIO((EXAMPLES / name).read_bytes()), name, Options()))
        found[name] = form and form.name
    assert found == expected


def test_each_format_has_a_name_of_its_own_that_the_command_line_knows() -> None:
    names = [name for form in formats().values() for name in (form.name, *form.aliases)]
    assert len(names) == len(set(names))
    assert all(find_format(name.upper()) for name in names)


# Whatever comes, it is read or refused with a sentence.
@hypothesis_settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    cells=st.lists(st.lists(st.text(max_size=12), min_size=5, max_size=6), min_size=1, max_size=4),
    like=st.sampled_from(["patreon.csv", "steady.csv", "paypal.csv", "substack_email_list.csv"]),
)
def test_nothing_that_stands_in_a_file_breaks_it(cells: list[list[str]], like: str) -> None:
    lines = (EXAMPLES / like).read_text("utf-8-sig").splitlines()
    width = lines[0].count(",") + 1
    text = lines[0] + "\n"
    for row in cells:
        padded = [*row, *[""] * width][:width]
        text += ",".join('"' + cell.replace('"', '""').replace("\r", "") + '"' for cell in padded)
        text += "\n"
    for reading in read(text.encode("utf-8", "replace")):
        assert reading.says in Says


@hypothesis_settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(content=st.binary(max_size=300))
def test_no_bytes_break_the_recognition(content: bytes) -> None:
    with suppress(FileRefusedError):
        assert open_table(io.BytesIO(content), Options()).headings


def test_a_day_is_the_last_of_a_shorter_month() -> None:
    from fundraiser.members.models import Interval
    from fundraiser.sources.readings import add_interval, next_anniversary

    assert add_interval(date(2026, 1, 31), Interval.MONTH) == date(2026, 2, 28)
    assert add_interval(date(2024, 2, 29), Interval.YEAR) == date(2025, 2, 28)
    assert next_anniversary(date(2024, 1, 31), Interval.MONTH, date(2026, 2, 27)) == date(
        2026, 2, 28
    )
