"""What staff type into a longer form: kept as typed, read with sentences, safe from each other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fundraiser.errors import UnprocessableError
from fundraiser.newsroom.audit import newest
from fundraiser.texts import LANGUAGES, gettext as _, time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.orm import Session


@dataclass(slots=True)
class Form:
    """``typed`` and ``errors`` are by field. ``seen`` names the state that the page was made from.

    ``conflict`` says who was faster, and ``theirs`` what stands now where something else was typed.
    """

    typed: dict[str, str]
    seen: str = ""
    errors: dict[str, str] = field(default_factory=dict)
    conflict: str = ""
    theirs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, stored: dict[str, str]) -> Form:
        """The form as it stands before anybody types."""
        return cls(dict(stored), fingerprint(stored))

    @classmethod
    def sent(cls, values: Mapping[str, str], names: Sequence[str]) -> Form:
        """The form as it was sent; line ends as we write them."""
        typed = {name: values.get(name, "").replace("\r\n", "\n").strip() for name in names}
        return cls(typed, values.get("seen", ""))

    def compare(
        self,
        session: Session,
        stored: dict[str, str],
        subject: str,
        in_words: Mapping[str, str] | None = None,
    ) -> None:
        """Note where somebody else has changed the subject since the page was made.

        ``in_words`` are the values that people read otherwise than a form's fields keep them.
        """
        if self.seen == fingerprint(stored):
            return
        self.seen = fingerprint(stored)
        shown = {**stored, **(in_words or {})}
        self.theirs = {name: shown[name] for name in self.changed(stored)}
        who, at = newest(session, subject) or (None, None)
        if who and at:
            self.conflict = _(
                "%(name)s changed this at %(time)s, after you had opened it.",
                name=who.name,
                time=time(at),
            )
        else:
            self.conflict = _("This was changed after you had opened it.")

    def changed(self, stored: dict[str, str]) -> list[str]:
        """The fields in which something else was typed than stands there."""
        return [name for name, value in stored.items() if self.typed.get(name, value) != value]

    def read(self, name: str, reader: Callable[[str], object]) -> object:
        """What a reader makes of the field; its sentence is noted where it can't."""
        try:
            return reader(self.typed[name])
        except UnprocessableError as error:
            self.errors[name] = str(error)
            return None

    def words(self, name: str, *, most: int, missing: str = "") -> dict[str, str]:
        """A text in each language, without the empty ones; ``missing`` asks for the English one."""
        said = {code: self.typed[f"{name}_{code}"] for code in LANGUAGES}
        for code, text in said.items():
            if len(text) > most:
                self.errors[f"{name}_{code}"] = _(
                    "Write %(most)s characters or fewer; these are %(count)s.",
                    most=most,
                    count=len(text),
                )
        if missing and not said["en"]:
            self.errors[f"{name}_en"] = missing
        return {code: text for code, text in said.items() if text}


def fingerprint(stored: dict[str, str]) -> str:
    """A short name for a state: the same for the same values only."""
    return hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()[:20]
