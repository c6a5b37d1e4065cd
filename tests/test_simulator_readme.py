"""The simulator's README: a row for each behaviour and choice, and a test for each row."""

from __future__ import annotations

import pytest

from simulator.core.behaviours import BEHAVIOURS, CHOICES
from tests.controls import README, ROOT, Row, read_rows

ROWS = read_rows(README.read_text())


@pytest.mark.parametrize("name", [*BEHAVIOURS, *CHOICES])
def test_every_behaviour_and_choice_stands_in_the_readme(name: str) -> None:
    assert [row.name for row in ROWS].count(name) == 1


def test_the_readme_has_no_row_for_what_is_not_registered() -> None:
    assert {row.name for row in ROWS} == {*BEHAVIOURS, *CHOICES}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_names_a_test_that_exists(row: Row) -> None:
    assert row.tests, "A row names the test that fails without it."
    for named in row.tests:
        file, _, test = named.partition("::")
        assert f"def {test}(" in (ROOT / file).read_text(), named
