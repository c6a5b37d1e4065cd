"""What a live source can be asked, whichever it is."""

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
    """A system's API. Each method may raise ``CallError`` or ``GoneError``."""

    name: str
    label: str
    currency: str | None

    def look(self, tokens: Tokens | None, cursor: str | None) -> Page:
        """A page of all members."""

    def find(self, tokens: Tokens | None, references: Sequence[str]) -> list[dict[str, Any]]:
        """These members; one that is gone is left out."""

    def check(self, tokens: Tokens | None) -> None:
        """Does it answer, and accept our key?"""


def clients(settings: Settings) -> list[Client]:
    """The live sources that the operator has set up."""
    found: list[Client] = []
    if settings.patreon:
        found.append(Patreon(settings.patreon))
    if settings.ghost:
        found.append(Ghost(settings.ghost))
    return found
