"""Amounts as people type them."""

from __future__ import annotations

import pytest

from fundraiser.money import parse_amount


@pytest.mark.parametrize(
    ("typed", "amount"),
    [
        ("12", 1200),
        ("12,5", 1250),
        ("12.", 1200),
        ("25€", 2500),
        ("€ 25", 2500),
        ("25 eur", 2500),
        ("1 000,50", 100050),
        ("1\u202f000,50\xa0€", 100050),
        ("1’000.50", 100050),
        ("1,000.50", 100050),
        ("1.000,50", 100050),
        ("1,000,000", 100000000),
        ("1,000", None),  # a thousand, or one
        ("1.000", None),
        ("1,000,50", None),
        ("12 50", None),
        ("1.0000", None),
        ("25 £", None),
        ("25 abc", None),
        ("0", None),
        ("-5", None),
        ("1e3", None),
        ("9" * 13, None),
        ("", None),
    ],
)
def test_amounts_are_read_as_people_type_them(typed: str, amount: int | None) -> None:
    assert parse_amount(typed, "EUR") == amount
