"""Read request bodies within limits of size, time and memory."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fundraiser.errors import FundraiserError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

LARGEST = 1 << 20  # bytes: what staff and webhooks may send
LARGEST_OF_ANYBODY = 1 << 14
PATIENCE = 20.0  # seconds for all of a body
_MEMORY = 1 << 26  # bytes: a process's unfinished bodies
_ROOMY = ("/staff/", "/webhooks/")
# A list of a hundred thousand members; import longer ones with the command line.
LARGEST_UPLOAD = 32 << 20
UPLOADS = ("/staff/sources/files",)
UPLOAD_PATIENCE = 300.0  # seconds
UPLOADS_AT_ONCE = 2  # in a process: parsing one takes several times its size in memory


class TooLargeError(FundraiserError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class TooSlowError(FundraiserError):
    status = HTTPStatus.REQUEST_TIMEOUT


class NotAllowedError(FundraiserError):
    status = HTTPStatus.FORBIDDEN


class BusyError(FundraiserError):
    status = HTTPStatus.SERVICE_UNAVAILABLE


class DisconnectedError(Exception):
    """The client has disconnected: nobody waits for an answer."""


def largest(path: str) -> int:
    """The most bytes that a request to this path may send; its view may allow fewer."""
    if path in UPLOADS:
        return LARGEST_UPLOAD
    return LARGEST if path.startswith(_ROOMY) else LARGEST_OF_ANYBODY


class Bodies:
    """Reads bodies on the event loop, so that a slow client uses a socket and no thread.

    Unfinished bodies share a memory limit. Above it we drop the oldest, so that slow senders lose
    to fast ones.
    """

    def __init__(
        self, memory: int = _MEMORY, *, patience: float = PATIENCE, largest: int = LARGEST
    ) -> None:
        self._memory, self._patience, self._largest = memory, patience, largest
        self._sizes: dict[asyncio.Timeout, int] = {}  # in the order of their beginnings

    async def read(
        self,
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        declared: int,
        *,
        limit: int,
    ) -> bytes:
        """Read the whole body; ``declared`` is its Content-Length, 0 if missing.

        Raises:
            TooLargeError: it is larger than ``limit``.
            TooSlowError: it didn't arrive in time.
            DisconnectedError: it is incomplete.
        """
        if declared > limit:
            raise TooLargeError
        body = bytearray()
        try:
            async with asyncio.timeout(self._patience) as deadline:
                try:
                    while True:
                        message = await receive()
                        if message["type"] != "http.request":
                            raise DisconnectedError
                        body += message["body"]
                        if len(body) > limit:
                            raise TooLargeError
                        if not message["more_body"]:
                            return bytes(body)
                        self._sizes[deadline] = len(body)
                        self._make_room()
                finally:
                    self._sizes.pop(deadline, None)
        except TimeoutError:
            raise TooSlowError from None

    def _make_room(self) -> None:
        total = sum(self._sizes.values()) if len(self._sizes) * self._largest > self._memory else 0
        for deadline, size in list(self._sizes.items()) if total > self._memory else ():
            if total <= self._memory:
                return
            total -= size
            self._sizes[deadline] = 0
            if not deadline.expired():
                deadline.reschedule(asyncio.get_running_loop().time())
