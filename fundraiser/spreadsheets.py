"""CSV files for spreadsheets: UTF-8, with formulas made harmless."""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BYTE_ORDER_MARK = "\ufeff"  # without it Excel takes UTF-8 for something else
# What a spreadsheet takes for the beginning of a formula, also in its wide forms.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - the wide forms


def safe_cell(value: str) -> str:
    """Escape a cell that a spreadsheet would run as a formula."""
    return f"'{value}" if value.lstrip(" \xa0").startswith(_FORMULA) else value


def write_rows(rows: Iterable[list[str]]) -> str:
    """Format rows as CSV."""
    page = StringIO()
    csv.writer(page).writerows(rows)
    return page.getvalue()
