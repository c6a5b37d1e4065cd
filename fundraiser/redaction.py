"""Replace e-mail addresses in logged and foreign text with a placeholder.

We can't recognise names, so we don't log text that may contain them: see ``db``.
"""

from __future__ import annotations

PLACEHOLDER = "[address]"
# What may stand right beside an address: in prose, JSON, SQL, a header or a query string.
_BESIDE = " \t\r\n\f\v\0\"'`<>()[]{},;:=&|\\/?"
_LINES_APART = str.maketrans(dict.fromkeys(_BESIDE, "\n"))


def redact(text: str) -> str:
    """Replace each e-mail address with ``[address]``, in linear time."""
    if "@" not in text:
        return text
    parts, place = [], 0
    for word in text.translate(_LINES_APART).split("\n"):
        end = place + len(word)
        parts += [_redact_word(text[place:end]), text[end : end + 1]]
        place = end + 1
    return "".join(parts)


def redact_all(value: object) -> object:
    """``redact`` for a string, and for strings in lists, tuples and dictionaries."""
    match value:
        case str():
            return redact(value)
        case dict():
            return {redact_all(key): redact_all(one) for key, one in value.items()}
        case list() | tuple():
            return [redact_all(one) for one in value]
        case int() | float() | None:
            return value
        case _:
            return redact(str(value))


def _redact_word(word: str) -> str:
    # At an end it is no address: a decorator in a traceback.
    return PLACEHOLDER if "@" in word[1:-1] else word
