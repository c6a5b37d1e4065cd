"""Positions in lists are read from addresses that anybody can change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fundraiser.paging import LARGEST_KEY, read_key, split_page
from tests.staff import read

if TYPE_CHECKING:
    from flask.testing import FlaskClient


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("17", 17),
        (str(LARGEST_KEY), LARGEST_KEY),
        (str(LARGEST_KEY + 1), LARGEST_KEY),
        ("", None),
        ("-1", None),
        ("1e3", None),
        ("٣", None),
        ("9" * 20, None),
        ("9" * 5000, None),
    ],
)
def test_a_key_is_read_or_passed_over(typed: str, key: int | None) -> None:
    assert read_key(typed) == key


def test_the_next_page_begins_at_the_last_row_of_this_one() -> None:
    rows = [9, 7, 5]
    assert split_page(rows, lambda row: row, size=2) == ([9, 7], 7)
    assert split_page(rows, lambda row: row, size=3) == ([9, 7, 5], None)
    assert split_page([], lambda row: row) == ([], None)


@pytest.mark.parametrize(
    "address",
    [
        "contributions?before",
        "emails?before",
        "failed-syncs?after",
        "members?after",
        "payouts?before",
    ],
)
def test_a_list_is_shown_whatever_its_address_says(staff: FlaskClient, address: str) -> None:
    read(staff, f"/staff/{address}={'9' * 5000}")
