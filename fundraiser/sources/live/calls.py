"""Call other systems' APIs with a total deadline, and classify their errors."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE = 30.0  # seconds for all of a call
_SILENCE = (5.0, 20.0)  # seconds to connect, and between two bytes
_LARGEST = 32 << 20  # bytes of an answer; a thousand members have less than one
_LONGEST_WAIT = timedelta(hours=1)
_TRIES = 12
_DIGITS = 8


class Trouble(StrEnum):
    """Why a source isn't up to date; ``labels`` has the sentences."""

    SILENT = "silent"  # no connection, or no answer in time
    FAILING = "failing"  # an error on their side
    BUSY = "busy"  # we asked too often
    UNAUTHORIZED = "unauthorized"  # the key or token isn't accepted
    NOT_RENEWED = "not_renewed"  # the token can't be renewed, and ends
    UNKNOWN = "unknown"  # there is no such campaign or site
    MALFORMED = "malformed"  # an answer that can't be read, or not all of what was asked for
    INCOMPLETE = "incomplete"  # fewer members than they say that there are
    HELD = "held"  # a listing would end many people: staff look at it first
    REFUSED = "refused"  # a listing couldn't be taken in


class CallError(Exception):
    """A failed call; ``wait`` is how long the server asked us to wait."""

    def __init__(self, trouble: Trouble, wait: timedelta | None = None) -> None:
        super().__init__(trouble)
        self.trouble, self.wait = trouble, wait


class GoneError(Exception):
    """The member no longer exists there."""


@dataclass(slots=True)
class _Call:
    """A call in its own thread, which is abandoned at the deadline."""

    method: str
    url: str
    values: dict[str, Any]
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_done: bool = False

    def run(self) -> None:
        try:
            with requests.request(
                self.method,
                self.url,
                timeout=_SILENCE,
                allow_redirects=False,
                stream=True,
                **self.values,
            ) as answer:
                body = bytearray()
                for piece in answer.iter_content(1 << 16):
                    body += piece
                    if len(body) > _LARGEST:
                        return
                self.status, self.headers, self.body = (
                    answer.status_code,
                    answer.headers,
                    bytes(body),
                )
                self.is_done = True
        except (requests.RequestException, OSError):
            return


def ask(method: str, url: str, **values: Any) -> dict[str, Any]:  # noqa: ANN401 - as requests takes them
    """Call an API and parse its JSON object.

    Raises:
        CallError: it didn't answer in time, or answered something else.
        GoneError: 404 or 410.
    """
    call = _Call(method, url, values)
    thread = threading.Thread(target=call.run, name="live source", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if not call.is_done:
        raise CallError(Trouble.SILENT)
    found = _read(call.body)
    if call.status in range(200, 300) and found is not None:
        return found
    raise _refusal(call, found or {})


def _read(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _refusal(call: _Call, found: dict[str, Any]) -> Exception:
    match call.status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            return CallError(Trouble.BUSY, _wait(call.headers, found))
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return CallError(Trouble.UNAUTHORIZED)
        case HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
            return GoneError()
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return CallError(Trouble.FAILING, _wait(call.headers, found))
        case _:
            return CallError(Trouble.MALFORMED)


def _wait(headers: Mapping[str, str], found: dict[str, Any]) -> timedelta | None:
    """How long the server asks us to wait, from body or header; None if it doesn't say."""
    errors = found.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    told = first.get("retry_after_seconds") if isinstance(first, dict) else None
    if not isinstance(told, int | float) or isinstance(told, bool) or not math.isfinite(told):
        written = headers.get("Retry-After", "")[:_DIGITS]
        told = int(written) if written.isascii() and written.isdigit() else None
    if told is None:
        return None
    return timedelta(seconds=min(max(float(told), 1.0), _LONGEST_WAIT.total_seconds()))


def back_off(failures: int) -> timedelta:
    """The wait after this many consecutive failures: from 30 seconds, doubling, to an hour."""
    return min(timedelta(seconds=30 * 2 ** min(failures - 1, _TRIES)), _LONGEST_WAIT)
