"""A page of a connected service's listing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Page:
    """A page; ``keys`` are the members' IDs at their source, ``total`` the announced number."""

    members: list[dict[str, Any]]
    keys: list[str]
    cursor: str | None
    total: int | None
