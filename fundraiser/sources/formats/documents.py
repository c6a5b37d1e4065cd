"""Members in JSON: one API response, a list of several, or one page a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fundraiser.sources.readings import FileRefusedError
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.sources.formats import File

_LARGEST = 64 << 20  # bytes read at once; a page of a hundred members has some 100 kB
_HEAD = 1 << 16
_MARK = b"\xef\xbb\xbf"
_BLANKS = b" \t\r\n"


def is_document(file: File, word: bytes = b"") -> bool:
    """Whether a file is JSON with ``word`` near its start."""
    file.content.seek(0)
    head = file.content.read(_HEAD)
    starts = head[:256].removeprefix(_MARK).lstrip(_BLANKS).startswith((b"{", b"["))
    return starts and word in head


def members_of(file: File, name: str) -> Iterator[dict[str, Any]]:
    """The members in an API's responses, found under ``name``.

    A fetched listing has one page a line, and is read a page at a time.

    Raises:
        FileRefusedError: it is incomplete or too large.
    """
    file.content.seek(0)
    first = file.content.readline(_LARGEST + 1)
    is_in_lines = first.startswith(b"[") and first.rstrip().endswith(b"]")
    if not is_in_lines:
        file.content.seek(0)
        yield from _members_in(_parsed(file.content.read(_LARGEST + 1)), name)
        return
    while first:
        if first.strip():
            yield from _members_in(_parsed(first), name)
        first = file.content.readline(_LARGEST + 1)


def _parsed(body: bytes) -> object:
    if len(body) > _LARGEST:
        raise FileRefusedError(_("This file is too large. Upload it in parts."))
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise _not_whole() from None


def _members_in(found: object, name: str) -> Iterator[dict[str, Any]]:
    members = found.get(name) if isinstance(found, dict) else found
    if not isinstance(members, list) or not all(isinstance(one, dict) for one in members):
        raise _not_whole()
    for one in members:
        inner = one.get(name)
        if found is members and isinstance(inner, list):  # several answers in a list
            yield from _members_in({name: inner}, name)
        else:
            yield one


def _not_whole() -> FileRefusedError:
    return FileRefusedError(
        _("This isn’t a complete answer from the API. Fetch the members again and upload that.")
    )
