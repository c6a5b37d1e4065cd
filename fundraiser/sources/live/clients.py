"""The common interface of connected services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from fundraiser.sources.live.ghost import Ghost
from fundraiser.sources.live.patreon import Patreon

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundraiser.config import Settings
    from fundraiser.sources.live.pages import Page
    from fundraiser.sources.live.tokens import Tokens


class Client(Protocol):
    """A system's API client; each method may raise ``CallError`` or ``GoneError``."""

    name: str
    label: str
    currency: str | None

    def look(self, tokens: Tokens | None, cursor: str | None) -> Page:
        """Fetch a page of all members."""

    def find(self, tokens: Tokens | None, references: Sequence[str]) -> list[dict[str, Any]]:
        """Fetch these members; omits those who are gone."""

    def check(self, tokens: Tokens | None) -> None:
        """Check that the service answers and accepts our key."""


def clients(settings: Settings) -> list[Client]:
    """The connected services that the operator has configured."""
    found: list[Client] = []
    if settings.patreon:
        found.append(Patreon(settings.patreon))
    if settings.ghost:
        found.append(Ghost(settings.ghost))
    return found
