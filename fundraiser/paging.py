"""Paging: lists are read newest first, a page at a time, by the key of the row before."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from flask import request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Row = TypeVar("Row")
Key = TypeVar("Key")

PAGE = 50  # rows
LARGEST_KEY = 2**63 - 1


def read_key(typed: str) -> int | None:
    """A row's key as an address has it; None for anything that can't be one."""
    if len(typed) > len(str(LARGEST_KEY)) or not (typed.isascii() and typed.isdecimal()):
        return None
    return min(int(typed), LARGEST_KEY)


def key_from_url(name: str) -> int | None:
    """The key in this request's query; None begins at the newest row."""
    return read_key(request.args.get(name, ""))


def split_page(
    rows: Sequence[Row], key: Callable[[Row], Key], size: int = PAGE
) -> tuple[Sequence[Row], Key | None]:
    """A page of rows, and the key where the next page begins; read one row more than a page."""
    return rows[:size], key(rows[size - 1]) if len(rows) > size else None
