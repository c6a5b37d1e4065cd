"""Check typed names before showing them to others: no links, addresses or invisible characters."""

from __future__ import annotations

import unicodedata

LONGEST_NAME = 100
# Persian and the languages of India join and separate letters with these.
_JOINERS = dict.fromkeys(map(ord, "\u200c\u200d"))
_SHORTEST_LABEL = 2


def read_name(typed: str) -> str:
    """Clean a typed name: one line, cut to the maximum length."""
    return " ".join(typed.split())[:LONGEST_NAME]


def is_plain_name(name: str) -> bool:
    """Whether this can be a name: one short line that no mail program turns into a link."""
    if not 0 < len(name.strip()) <= LONGEST_NAME or not name.translate(_JOINERS).isprintable():
        return False
    # People and mail programs read full-width letters and dots as plain ones.
    plain = unicodedata.normalize("NFKC", name).replace("。", ".")
    if "@" in plain or has_link(plain):
        return False
    return not any(_is_domain(word) for word in plain.replace("/", " ").split())


def has_link(text: str) -> bool:
    """Whether a text contains a web or e-mail address."""
    words = text.casefold().split()
    return any("://" in word or "www." in word or "@" in word[1:-1] for word in words)


def _is_domain(word: str) -> bool:
    """Whether it looks like example.org, and not like J.R.R., J.Tolkien or "Koval, O."."""
    labels = word.strip(".,;:!?()\"'").split(".")
    *_, before, last = ["", *labels]
    if not before or len(last) < _SHORTEST_LABEL or not last.isalpha():
        return False
    return len(before) >= _SHORTEST_LABEL or last.islower()
