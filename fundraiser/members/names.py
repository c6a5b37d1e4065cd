"""Names as people type them, fit to be shown to others: no link, no address, nothing invisible."""

from __future__ import annotations

import unicodedata

LONGEST_NAME = 100
# Persian and the languages of India join and part e-mails with these.
_JOINERS = dict.fromkeys(map(ord, "\u200c\u200d"))
_SHORTEST_LABEL = 2


def read_name(typed: str) -> str:
    """A name as one line, no longer than it may be."""
    return " ".join(typed.split())[:LONGEST_NAME]


def is_plain_name(name: str) -> bool:
    """Whether this can be a name: one short line that no mail program makes a link of."""
    if not 0 < len(name.strip()) <= LONGEST_NAME or not name.translate(_JOINERS).isprintable():
        return False
    # Full-width e-mails and dots are read as plain ones, by people and by mail programs.
    plain = unicodedata.normalize("NFKC", name).replace("。", ".")
    if "@" in plain or has_link(plain):
        return False
    return not any(_is_domain(word) for word in plain.replace("/", " ").split())


def has_link(text: str) -> bool:
    """Whether a text has a web or an e-mail address that is written out."""
    words = text.casefold().split()
    return any("://" in word or "www." in word or "@" in word[1:-1] for word in words)


def _is_domain(word: str) -> bool:
    """Like example.org, and unlike J.R.R., J.Tolkien or "Koval, O."."""
    labels = word.strip(".,;:!?()\"'").split(".")
    *_, before, last = ["", *labels]
    if not before or len(last) < _SHORTEST_LABEL or not last.isalpha():
        return False
    return len(before) >= _SHORTEST_LABEL or last.islower()
