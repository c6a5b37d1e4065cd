"""Exports as the systems have written them over the years and in other languages."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
import time_machine
from sqlalchemy import select

from fundraiser.members.models import Membership
from fundraiser.sources.models import ImportRow, Outcome
from fundraiser.sources.readings import FileRefusedError, Options
from tests.sources import NOON, apply, plan, read

if TYPE_CHECKING:
    from fundraiser.db import Database
    from fundraiser.sources.readings import Reading

PATREON_2019 = (
    "Name,Email,Twitter,Patron Status,Lifetime $,Pledge $,Charge Frequency,Patronage Since Date,"
    "Last Charge Date,Last Charge Status,User ID,Last Updated"
)
PATREON_2014 = (
    "FirstName,LastName,Email,Pledge,Lifetime,Status,Twitter,Street,City,State,Zip,Country,Start,"
    "MaxAmount,Complete"
)
SUBSTACK = (
    "Email,Name,Stripe plan,Cancel date,Start date,Paid upgrade date,Revenue,Expiration date,Type"
)
STEADY = (
    "Vorname;Nachname;E-Mail;Paketname;Monatlicher Paketpreis in Cent;Geschenk;Zahlungsweise;"
    "Status;Mitglied seit;Testphase endet am;Gekündigt am;Läuft ab am"
)
PAYPAL = (
    '"Datum","Uhrzeit","Zeitzone","Name","Typ","Status","Währung","Brutto",'
    '"Absender E-Mail-Adresse","Transaktionscode","Artikelbezeichnung",'
    '"Zugehöriger Transaktionscode"'
)
PAYPAL_STATEMENT = (
    '"Datum","Uhrzeit","Zeitzone","Beschreibung","Währung","Brutto","Entgelt","Transaktionscode",'
    '"Absender E-Mail-Adresse","Name","Zugehöriger Transaktionscode"'
)
PMPRO = "id,username,firstname,lastname,email,billing firstname,initial payment,fee,term,joined"
WOO = (
    "subscription_id,subscription_status,start_date,trial_end_date,next_payment_date,"
    "last_payment_date,end_date,billing_period,billing_interval,order_total,order_currency,"
    "billing_first_name,billing_last_name,billing_email"
)
HUB = "Contribution ID,Currency,Amount,Frequency,Payment Received Date,Payment status,Email"


def said(found: Reading) -> tuple[str, str, str | None]:
    """What is said of a row, why, and the day until which it is paid."""
    until = found.counts_until
    return str(found.says), str(found.why), f"{until:%Y-%m-%d}" if until else None


def rows(headings: str, *lines: str, options: Options | None = None) -> list[Reading]:
    return read("\n".join((headings, *lines, "")).encode(), options)


def test_a_patreon_list_without_the_next_charge_goes_by_the_latest_one() -> None:
    paid = "A,a@x.org,,Active patron,$125.00,$5.00,,2019-03-02 12:11:10.1,2026-11-05 08:00:11,Paid"
    declined = "B,b@x.org,,Declined patron,$10.00,$5.00,,2019-03-02 12:11:10.1,2026-11-03,Declined"
    found = rows(PATREON_2019, f"{paid},1,2026-11-20", f"{declined},2,2026-11-20")
    assert [said(one) for one in found] == [
        ("paid", "paid", "2026-12-05"),
        ("ask", "declined", None),
    ]


@pytest.mark.parametrize(
    ("status", "answered"),
    [
        ("Ok", ("paid", "paid", "2027-01-01")),  # when 31 December ends
        ("Declined", ("ask", "declined", None)),
        ("Deleted", ("not_paying", "not_active", None)),
        ("Something", ("ask", "unknown_status", None)),
    ],
)
def test_the_oldest_patreon_list_asks_until_when_once_for_all(
    database: Database, status: str, answered: tuple[str, str, str | None]
) -> None:
    """It has no date at all: staff give one, which holds for those whom it calls active."""
    lines = f"{PATREON_2014}\nA,B,a@x.org,5.00,125.00,{status},,,,,,,2015-03-02,5.00,0\n"
    batch_id = plan(database, lines.encode(), "a.csv", Options(paid_until="2026-12-31"))
    with database.transaction() as session:
        row = session.scalars(select(ImportRow).where(ImportRow.batch_id == batch_id)).one()
        until = f"{row.counts_until:%Y-%m-%d}" if row.counts_until else None
        assert (row.says, row.why, until) == answered


def test_a_date_for_all_that_is_none_is_refused(database: Database) -> None:
    lines = f"{PATREON_2014}\nA,B,a@x.org,5.00,125.00,Ok,,,,,,,2015-03-02,5.00,0\n".encode()
    with pytest.raises(FileRefusedError, match="soon"):
        plan(database, lines, "a.csv", Options(paid_until="soon"))


def test_all_columns_of_substacks_subscribers_are_read() -> None:
    found = rows(
        SUBSTACK,
        "free@x.org,Free,,,2025-01-01T00:00:00.000Z,,$0.00,,Free",
        "paid@x.org,Paid,Monthly - $5,,2025-02-01,2025-03-01,$105.00,2026-12-18,Paid",
        "left@x.org,Left,Annual,2026-11-01,2025-02-01,2025-03-01,$100.00,2027-03-01,Paid",
        "comp@x.org,Comp,,,2025-02-01,,$0.00,2118-01-01,Comp",
        "gift@x.org,Gift,,,2025-02-01,,$0.00,2027-01-01,Gift",
        "trial@x.org,Trial,,,2025-02-01,,$0.00,2027-01-01,Free trial",
        'more@x.org,More,Founding,,2025-02-01,2025-03-01,"$1,250.00",2027-03-01,Founding',
        "open@x.org,Open,Yearly,,2025-02-01,2026-05-01,$100.00,,Paid",
    )
    assert [said(one)[:2] for one in found] == [
        ("not_paying", "free"),
        ("paid", "paid"),
        ("paid", "paid"),
        ("not_paying", "complimentary"),
        ("ask", "gift"),
        ("not_paying", "trial"),
        ("paid", "paid"),
        ("ask", "no_end"),
    ]
    assert [one.cancel_at is not None for one in found] == [False, False, True, *[False] * 5]
    assert [(one.amount, one.name) for one in found[1:2]] == [(500, "Paid")]
    assert [str(one.interval) for one in found[1:3]] == ["month", "year"]
    assert str(found[6].interval) == "year"


def test_what_substack_does_not_say_is_paid_comes_from_staffs_prices() -> None:
    headings = "email,active_subscription,expiry,plan,created_at,first_payment_at"
    lines = [
        "a@x.org,true,2026-12-18,monthly,2025-01-01,2025-02-01",
        "b@x.org,true,2027-05-01,yearly,2025-01-01,2025-05-01",
    ]
    known = Options(prices={"month": "5.00", "year": "50"}, currency="USD")
    priced = rows(headings, *lines, options=known)
    assert [(one.amount, one.currency) for one in priced] == [(500, "USD"), (5000, "USD")]
    with pytest.raises(FileRefusedError, match="cheap"):
        rows(headings, *lines, options=Options(prices={"month": "cheap"}))
    with_amounts = rows(f"{headings},amount,currency", f"{lines[0]},8.50,eur", options=known)
    assert (with_amounts[0].amount, with_amounts[0].currency) == (850, "EUR")


def test_a_german_steady_list_is_steadys() -> None:
    found = rows(
        STEADY,
        "Sophia;Müller;a@x.de;Supporter;300;FALSCH;jährlich;aktiv;21.02.23;;;",
        "Lukas;Schmidt;b@x.de;Supporter;600;FALSCH;monatlich;gekündigt;16.12.22;;30.11.26;16.12.26",
        "Eva;Klein;c@x.de;Supporter;600;WAHR;monatlich;aktiv;16.12.22;;;",
        "Max;Neu;d@x.de;Supporter;600;FALSCH;monatlich;Testphase;28.11.26;05.12.26;;",
    )
    assert [said(one) for one in found] == [
        ("paid", "paid", "2027-02-21"),
        ("paid", "paid", "2026-12-16"),
        ("ask", "gift", None),
        ("not_paying", "trial", None),
    ]
    assert [(one.amount, str(one.interval)) for one in found[:2]] == [
        (3600, "year"),
        (600, "month"),
    ]
    assert [one.cancel_at is not None for one in found[:2]] == [False, True]


def test_a_german_activity_report_of_paypal_has_its_own_decimals_and_days() -> None:
    found = rows(
        PAYPAL,
        '"05.10.2026","09:12:01","CEST","Olena","Abonnementzahlung","Abgeschlossen","EUR","5,00",'
        '"o@x.org","1A","Mitgliedschaft","I-1"',
        '"05.11.2026","09:12:01","CET","Olena","Abonnementzahlung","Abgeschlossen","EUR","5,00",'
        '"o@x.org","2A","Mitgliedschaft","I-1"',
        '"02.11.2026","10:00:00","CET","Karl","Abonnementzahlung","Abgeschlossen","EUR","1.200,00",'
        '"k@x.org","3A","Mitgliedschaft jährlich","I-2"',
    )
    assert [(said(one), one.amount, str(one.interval)) for one in found] == [
        (("paid", "paid", "2026-12-05"), 500, "month"),
        (("paid", "paid", "2027-11-02"), 120000, "year"),
    ]


def test_paypals_monthly_statement_has_no_status_as_all_is_completed() -> None:
    line = (
        '"05.{}.2026","09:12:01","Europe/Berlin","Abonnementzahlung","EUR","5,00","-0,52","{}A",'
        '"o@x.org","Olena","I-1"'
    )
    found = rows(PAYPAL_STATEMENT, line.format(10, 1), line.format(11, 2))
    assert [said(one) for one in found] == [("paid", "paid", "2026-12-05")]


def test_an_older_ko_fi_file_calls_the_address_otherwise() -> None:
    headings = "DateTime (UTC),From,Message,Item,Received,Given,Currency,TransactionType,Email"
    found = rows(headings, '11/20/2026 10:00,C,"Love\nit",,5.00,,USD,Subscription,C@x.org')
    assert [(said(one), one.address) for one in found] == [
        (("paid", "paid", "2026-12-20"), "c@x.org")
    ]


def test_paid_memberships_pro_says_what_is_paid_and_never_is_no_end() -> None:
    found = rows(
        f"{PMPRO},expires",
        "1,ann,Ann,A,a@x.org,Ann,5,7.50,Month,01/15/2025,12/31/2026",
        "2,ben,Ben,B,b@x.org,Ben,50,50,Year,01/15/2025,Never",
        "3,cee,Cee,C,c@x.org,Cee,0,0,,01/15/2025,Never",
    )
    assert [said(one)[:2] for one in found] == [
        ("paid", "paid"),
        ("refused", "no_day"),
        ("not_paying", "free"),
    ]
    assert (found[0].name, found[0].amount, str(found[0].interval)) == ("Ann A", 750, "month")


def test_a_shops_subscriptions_are_paid_until_the_next_payment_or_their_end() -> None:
    found = rows(
        WOO,
        "10,wc-active,2025-01-05,0,2026-12-05,2026-11-05,0,year,1,60,EUR,Ann,A,a@x.org",
        "11,wc-pending-cancel,2025-01-05,0,0,2026-11-05,2026-12-07,month,1,5,EUR,B,B,b@x.org",
        "12,wc-on-hold,2025-01-05,0,2026-12-05,2026-11-05,0,month,1,5,EUR,C,C,c@x.org",
    )
    assert [said(one) for one in found] == [
        ("paid", "paid", "2026-12-05"),
        ("paid", "paid", "2026-12-07"),
        ("not_paying", "pending", "2026-12-05"),
    ]
    assert found[1].cancel_at == found[1].counts_until
    assert (str(found[0].interval), found[0].amount, found[0].name) == ("year", 6000, "Ann A")


def test_a_list_of_payments_counts_from_the_first_and_until_the_last(database: Database) -> None:
    written = io.StringIO()
    csv.writer(written).writerows(
        [
            HUB.split(","),
            ["1", "USD", "10", "monthly", "2026-10-15", "paid", "a@x.org"],
            ["2", "USD", "10", "monthly", "2026-11-15", "paid", "a@x.org"],
            ["3", "USD", "99", "one_time", "2026-11-15", "paid", "b@x.org"],
        ]
    )
    with time_machine.travel(NOON, tick=True):
        batch_id = plan(database, written.getvalue().encode(), "a.csv")
        apply(database, batch_id)
    with database.transaction() as session:
        of_batch = select(ImportRow.outcome).where(ImportRow.batch_id == batch_id)
        assert session.scalars(of_batch.order_by(ImportRow.number)).all() == [
            Outcome.SAME_ROW,
            Outcome.NEW,
            Outcome.SKIPPED,
        ]
        membership = session.scalars(select(Membership)).one()
        assert f"{membership.started_at:%Y-%m-%d}" == "2026-10-14"  # when the 15th begins in London
        assert f"{membership.counts_until:%Y-%m-%d}" == "2026-12-16"  # when the 15th ends
