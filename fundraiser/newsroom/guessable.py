"""Refuse passwords made of the newsroom's own words, which attackers try first.

The words are the newsroom's name and addresses, the person's name and e-mail address, and product
words listed below.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import has_app_context

from fundraiser.config import current_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

PRODUCT = (
    *("admin", "campaign", "dashboard", "editor", "fundraiser", "journalism", "login", "member"),
    *("membership", "news", "newsroom", "newspaper", "password", "staff", "supporter", "welcome"),
)
_SHORTEST_WORD, _ENOUGH = 4, 5
_WORD = re.compile(r"[^\W_]{1,100}")


def is_guessable(password: str, *own: str) -> bool:
    """Whether fewer than five letters and digits remain after removing these words.

    ``own``: the person's name and e-mail address.
    """
    left = whole = "".join(_WORD.findall(password.casefold()))
    for word in sorted(set(_words(*own)), key=len, reverse=True):
        left = left.replace(word, "")
    return left != whole and len(left) < _ENOUGH


def _words(*own: str) -> Iterator[str]:
    yield from PRODUCT
    newsroom: tuple[str, ...] = ()
    if has_app_context():  # not where a demonstration is filled, before there is a service
        settings = current_settings()
        newsroom = (settings.newsroom_name, settings.newsroom_url or "", settings.public_url)
    for text in (*newsroom, *own):
        parts = _WORD.findall(text.casefold())
        yield from (part for part in (*parts, "".join(parts)) if len(part) >= _SHORTEST_WORD)
