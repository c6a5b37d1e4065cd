"""Income in the newsroom’s own currency: added up by the rates that staff enter."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from fundraiser.dashboard.models import DailyFigure, ExchangeRate, Topic
from fundraiser.dashboard.overview import income
from fundraiser.dashboard.overview.daily import refresh
from fundraiser.dashboard.overview.income import Income, incomes, total
from fundraiser.errors import UnprocessableError
from fundraiser.newsroom.models import AuditEntry, Role
from tests.factories import GRACE, make_member, make_membership, make_tiers
from tests.staff import (
    LONDON,
    PAGE,
    count,
    csrf_token,
    hire,
    parse,
    read,
    shown,
    sign_in,
    words,
    wrong,
)

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.db import Database


def figure(key: str, currency: str, people: int, amount: int) -> DailyFigure:
    return DailyFigure(
        day=date(2026, 3, 3),
        topic=Topic.INCOME,
        key=key,
        currency=currency,
        people=people,
        recent=0,
        amount=amount,
    )


def test_income_is_added_up_by_hand_the_same() -> None:
    """£50 a month and £100 a year: 12 · 50 + 100 = £700 a year, £58.33 a month."""
    found = incomes(
        [
            figure("month", "GBP", 5, 50_00),
            figure("year", "GBP", 1, 100_00),
            figure("month", "USD", 1, 10_00),
            figure("year", "JPY", 1, 12_000),
        ]
    )
    assert found == [Income("GBP", 6, 700_00), Income("JPY", 1, 12_000), Income("USD", 1, 120_00)]
    assert found[0].monthly == 58_33
    everything = total(found, "GBP", {"USD": Decimal("0.75"), "JPY": Decimal("0.005")})
    # 700 + 120 · 0.75 + 12,000 · 0.005: a yen has no smaller unit.
    assert everything.income == Income("GBP", 8, 700_00 + 90_00 + 60_00)
    assert everything.without_rate == ()


def test_a_currency_without_a_rate_is_left_out_and_named() -> None:
    found = [Income("GBP", 1, 120_00), Income("USD", 3, 999_00), Income("EUR", 1, 5_00)]
    without = total(found, "GBP", {})
    assert without.income == Income("GBP", 1, 120_00)
    assert without.without_rate == ("EUR", "USD")
    assert total([], "GBP", {}).income == Income("GBP", 0, 0)


@pytest.mark.parametrize("typed", ["", "abc", "0", "-1", "nan", "inf", "1e9", "0.123456789"])
def test_what_is_no_rate_is_refused(typed: str) -> None:
    with pytest.raises(UnprocessableError, match=r"Enter the rate"):
        income.read_rate(typed)


def test_a_rate_may_be_typed_with_a_comma() -> None:
    assert income.read_rate(" 0,8564 ") == Decimal("0.8564")


def enter(client: FlaskClient, **form: str) -> TestResponse:
    values = {"currency": "USD", "rate": "0.75", "day": "2026-03-03"} | form
    values["csrf_token"] = csrf_token(client, "/staff/rates")
    return client.post("/staff/rates", data=values, headers=PAGE)


def test_staff_enter_rates_and_the_sum_follows(staff: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        make_tiers(session)
        for currency in ("GBP", "USD", "EUR"):
            member = make_member(session)
            session.add(make_membership(member, currency=currency))
            count(session, member)
        refresh(session, LONDON, GRACE)
    page = words(read(staff, "/staff"))
    assert " GBP 1 £10.00 £120.00" in page
    assert "EUR, USD" in shown(read(staff, "/staff"), "no-rate")
    assert enter(staff, rate="0.5").status_code == 303
    assert enter(staff, rate="0.75").status_code == 303  # the same day: corrected
    assert enter(staff, rate="0.1", day="2020-01-01").status_code == 303  # older: not in force
    page = words(read(staff, "/staff"))
    assert " GBP 2 £17.50 £210.00" in page
    assert "EUR:" in shown(read(staff, "/staff"), "no-rate")
    assert "1 USD = 0.75 GBP" in page
    rates = words(read(staff, "/staff/rates"))
    assert "3 March 2026 USD 0.75 Iryna Bondar Correct USD, 3 March 2026 1 January" in rates
    with database.transaction() as session:
        assert len(session.scalars(select(ExchangeRate)).all()) == 2
        acts = session.scalars(select(AuditEntry).where(AuditEntry.action == "entered_rate")).all()
        assert acts[0].subject == "rate USD GBP 2026-03-03"


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"rate": "much"}, "0.8564"),
        ({"currency": "GBP"}, ""),
        ({"currency": "XXQ"}, ""),
        ({"day": "yesterday"}, "2026-03-03"),
        ({"day": "2999-01-01"}, "2000"),
        ({"day": "1999-12-31"}, "2000"),
    ],
)
def test_a_rate_that_makes_no_sense_is_said_so_and_what_was_typed_stays(
    staff: FlaskClient,
    database: Database,
    form: dict[str, str],
    told: str,
) -> None:
    answer = enter(staff, **form)
    assert answer.status_code == 422
    errors = wrong(parse(answer))
    assert errors.keys() == form.keys()
    assert told in "".join(errors.values())
    assert f'value="{form.get("rate", "0.75")}"' in answer.text
    with database.transaction() as session:
        assert session.scalars(select(ExchangeRate)).all() == []


def test_finance_enters_and_corrects_rates_and_support_reads_them(
    client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database, Role.FINANCE))
    for typed in ("0.8", "0.7564"):
        form = {"csrf_token": csrf_token(client, "/staff/rates"), "currency": "USD"}
        form |= {"rate": typed, "day": "2026-01-02"}
        assert client.post("/staff/rates", data=form, headers=PAGE).status_code == 303
    page = read(client, "/staff/rates")
    correct = page.select_one("table a")
    assert correct
    page = read(client, str(correct["href"]))
    values = {str(one["name"]): one.get("value") for one in page.select("main form input[name]")}
    assert (values["rate"], values["day"]) == ("0.7564", "2026-01-02")
    with database.transaction() as session:
        assert session.scalars(select(ExchangeRate.rate)).one() == Decimal("0.7564")
    sign_in(client := client.application.test_client(), hire(database, Role.SUPPORT))
    assert read(client, "/staff/rates").select_one("form[action='/staff/rates']") is None
    form["csrf_token"] = csrf_token(client, "/staff")
    assert client.post("/staff/rates", data=form, headers=PAGE).status_code == 403
