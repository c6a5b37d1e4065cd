"""Check typed names before showing them to others: no links, addresses or invisible characters."""

from __future__ import annotations

import unicodedata

from fundraiser.texts import gettext as _

LONGEST_NAME = 100
_MOST_DIGITS = 4  # a year, but no phone number, which telephones turn into a link
_MOST_MARKS = 3  # in a row: Vietnamese and Hebrew have up to three on a letter
_INITIALS_BEFORE = 4  # letters: after an initial, "LEE" could be a domain's end, "KOVAL" is a name
_SHORTEST_END = 2
_IPV4_PARTS = 4
# Persian and the languages of India join and separate letters with these, emoji too.
_JOINERS = dict.fromkeys(map(ord, "\u200c\u200d"))
_BEFORE_A_PATH = str.maketrans(":?#\\", "////")
# Letters and marks that nobody sees, though Unicode counts them as printable.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def read_name(typed: str) -> str:
    """Clean a typed name: one line, whole unless its length shows that it is none."""
    return " ".join(typed[: 50 * LONGEST_NAME].split())[: 10 * LONGEST_NAME]


def refusal_of_name(name: str) -> str | None:
    """Why this name can't be used, for its field; None if it can."""
    if is_plain_name(name):
        return None
    if (count := len(name)) > LONGEST_NAME:
        return _(
            "Enter %(most)s characters or fewer; you have %(count)s.",
            most=LONGEST_NAME,
            count=count,
        )
    if has_link(name) or "@" in name:
        return _("Enter only a name, without a web or e-mail address.")
    return _("Enter a name that people can read, without a phone number.")


def is_plain_name(name: str) -> bool:
    """Whether this can be a name: one short visible line that no mail program turns into a link."""
    seen = name.translate(_JOINERS)
    if not seen.strip() or not seen.isprintable() or not _UNSEEN.isdisjoint(seen):
        return False
    plain = _plain(name)
    # Some single letters are a whole sentence in plain ones.
    if max(len(name), len(plain)) > LONGEST_NAME or _has_too_many_marks(plain):
        return False
    digits = sum(letter.isdigit() for letter in plain)
    return digits <= _MOST_DIGITS and "@" not in plain and not has_link(name)


def has_link(text: str) -> bool:
    """Whether a text contains a web or e-mail address, as mail programs recognise them."""
    plain = _plain(text)
    words = plain.casefold().split()
    if any("://" in word or "www." in word or "@" in word[1:-1] for word in words):
        return True
    with_paths = plain.translate(_BEFORE_A_PATH)
    hosts = "".join(letter if _is_of_a_host(letter) else " " for letter in with_paths).split()
    return any(_has_domain(host) for host in hosts)


def _plain(text: str) -> str:
    """The text as mail programs and people read it: full-width letters and dots as plain ones."""
    return unicodedata.normalize("NFKC", text.translate(_JOINERS)).replace("。", ".")


def _has_too_many_marks(plain: str) -> bool:
    in_a_row = 0
    for letter in plain:
        in_a_row = in_a_row + 1 if unicodedata.category(letter) in {"Mn", "Me"} else 0
        if in_a_row > _MOST_MARKS:
            return True
    # A line of marks alone has nothing to stand on.
    return all(unicodedata.category(letter)[0] in "MZ" for letter in plain)


def _is_of_a_host(letter: str) -> bool:
    return letter in ".-/" or letter.isalnum() or unicodedata.category(letter)[0] == "M"


def _has_domain(word: str) -> bool:
    """Whether there is one like example.org in it, and not J.R.R., J.Tolkien or "Koval, O."."""
    host, *path = word.strip("/").split("/")
    return _is_domain(host, has_path=any(path)) or any(
        _is_domain(part, has_path=False) for part in path
    )


def _is_domain(host: str, *, has_path: bool) -> bool:
    labels = host.strip(".-").split(".")
    *_, before, last = ["", *labels]
    if len(labels) == _IPV4_PARTS and all(label.isdigit() for label in labels):
        return True
    letters = [letter for letter in last if unicodedata.category(letter)[0] != "M"]
    if not before or len(last) < _SHORTEST_END:
        return False
    if not last.casefold().startswith("xn--") and not "".join(letters).isalpha():
        return False
    is_surname = last[1:].islower() if last[0].isupper() else False
    is_capitals = last.isupper() and len(last) >= _INITIALS_BEFORE
    is_initial = len(before) == 1 and not before.islower()
    return has_path or not (is_initial and (is_surname or is_capitals))
