"""A page of a listing, as a live source answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Page:
    """``keys`` are the members' names at their source; ``total`` how many it says there are."""

    members: list[dict[str, Any]]
    keys: list[str]
    cursor: str | None
    total: int | None
