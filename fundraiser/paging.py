"""Keyset pagination: latest first, a page at a time, after the previous page's last key."""

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
    """Parse a row's key from a URL; None if it is invalid."""
    if len(typed) > len(str(LARGEST_KEY)) or not (typed.isascii() and typed.isdecimal()):
        return None
    return min(int(typed), LARGEST_KEY)


def key_from_url(name: str) -> int | None:
    """The key in the current request's query; None means the first page."""
    return read_key(request.args.get(name, ""))


def split_page(
    rows: Sequence[Row], key: Callable[[Row], Key], size: int = PAGE
) -> tuple[Sequence[Row], Key | None]:
    """Split rows into a page and the next page's key; pass one row more than a page."""
    return rows[:size], key(rows[size - 1]) if len(rows) > size else None
