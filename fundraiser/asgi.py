"""The ASGI application that granian serves: reads request bodies without blocking threads.

In a WSGI server a thread reads each request's body for as long as the sender likes: a hundred
sockets that send seven bytes and stop block a hundred threads. Here the event loop waits, the app
gets a thread when the body is complete, and the number needs no thread. See
docs/decisions/front.md.
"""

from __future__ import annotations

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import unquote_to_bytes

import structlog

from fundraiser.bodies import (
    LARGEST_UPLOAD,
    PATIENCE,
    UPLOAD_PATIENCE,
    UPLOADS,
    UPLOADS_AT_ONCE,
    Bodies,
    BusyError,
    DisconnectedError,
    NotAllowedError,
    largest,
)
from fundraiser.errors import FundraiserError
from fundraiser.logs import request_id_of
from fundraiser.measures import ROUTE, Measured
from fundraiser.widget.progress import Reply, slug_of
from fundraiser.wsgi import (
    application as wsgi_application,
    busy,
    is_behind_proxy,
    may_upload,
    measures,
    refusals,
    threads,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
    from wsgiref.types import WSGIApplication, WSGIEnvironment

    from fundraiser.widget.progress import ProgressLayer

    Scope: TypeAlias = MutableMapping[str, Any]
    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]

log = structlog.get_logger()

_PIECE = 1 << 16  # bytes of a download that are made at once
_PIECE_PATIENCE = 600.0  # seconds until the reader has taken them
_NUMBER = "/campaigns/<slug>/progress"
_METHODS = {"GET", "HEAD", "POST", "OPTIONS"}
_SAME_FOR_ALL = {
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "granian",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


@dataclass(slots=True)
class Download:
    """A streamed response of unknown length."""

    status: str
    headers: list[tuple[str, str]]
    pieces: Iterator[bytes]
    made_by: Iterable[bytes]

    def next_piece(self) -> bytes:
        """The next bytes; empty at the end."""
        piece = bytearray()
        for part in self.pieces:
            piece += part
            if len(piece) >= _PIECE:
                break
        return bytes(piece)

    def close(self) -> None:
        _close(self.made_by)


T = TypeVar("T")


class Front:
    """An ASGI application in front of the WSGI one, which runs in ``threads`` threads."""

    def __init__(self, application: ProgressLayer, threads: int) -> None:
        self._application = application
        self._bodies = Bodies()
        # Apart, so that long lists cost nobody else's form.
        self._uploads = Bodies(patience=UPLOAD_PATIENCE, largest=LARGEST_UPLOAD)
        self._upload_places = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._free = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        slug = slug_of(scope["path"])
        if slug is not None:
            begun = time.perf_counter()
            reply = await self._read_number(slug, scope)
            _note(_NUMBER, scope["method"], reply.status, begun)
            await _send(send, reply)
            return
        environ = make_environ(scope)
        request_id_of(environ, is_trusted=is_behind_proxy)
        if environ["PATH_INFO"] in UPLOADS:
            await self._take_upload(environ, receive, send)
        else:
            await self._answer(environ, receive, send, self._bodies)

    async def _take_upload(self, environ: WSGIEnvironment, receive: Receive, send: Send) -> None:
        """Read a large body, only from people who may upload, and only a few at once."""
        try:
            if not self._free:
                raise BusyError
            if not await self._in_thread(may_upload, environ):
                raise NotAllowedError
            async with asyncio.timeout(PATIENCE):
                await self._upload_places.acquire()
        except TimeoutError:
            await _send(send, refusals.reply(BusyError.status, environ))
        except FundraiserError as error:
            await _send(send, refusals.reply(error.status, environ))
        else:
            try:
                await self._answer(environ, receive, send, self._uploads)
            finally:
                self._upload_places.release()

    async def _answer(
        self, environ: WSGIEnvironment, receive: Receive, send: Send, bodies: Bodies
    ) -> None:
        if environ["CONTENT_LENGTH"] != "0" or "HTTP_TRANSFER_ENCODING" in environ:
            try:
                await _take_in(environ, receive, bodies)
            except DisconnectedError:
                return
            except FundraiserError as error:
                refusal = refusals.reply(error.status, environ)
                _log_access(environ, refusal.status)
                await _send(send, refusal)
                return
        # More than there are threads would wait for longer than anybody waits for a page.
        begun = time.perf_counter()
        reply = await self._ask(environ) if self._free else _call(busy, environ)
        _note(environ.get(ROUTE, "-"), environ["REQUEST_METHOD"], reply.status, begun)
        _log_access(environ, reply.status, begun)
        if isinstance(reply, Download):
            await self._send_download(receive, send, reply)
        else:
            await _send(send, reply)

    async def _read_number(self, slug: str, scope: Scope) -> Reply:
        known = ""
        for name, value in scope["headers"]:
            if name == b"if-none-match":
                known = value.decode("latin-1")
        reply = self._application.reply(slug, scope["method"], known, wait=False)
        if isinstance(reply, Reply):
            return reply
        done = asyncio.wrap_future(reply.done)
        await asyncio.wait({done}, timeout=max(reply.until - time.monotonic(), 0))
        return self._application.reply_after(reply, slug, scope["method"], known)

    async def _ask(self, environ: WSGIEnvironment) -> Reply | Download:
        self._free -= 1
        try:
            return await self._in_thread(_call, self._application, environ)
        finally:
            self._free += 1

    async def _send_download(self, receive: Receive, send: Send, download: Download) -> None:
        """Stream a download: a thread makes each piece, and the event loop waits for the reader."""
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            head, end = Reply(download.status, download.headers).messages
            await send(head)
            while not gone.done() and (piece := await self._in_thread(download.next_piece)):
                async with asyncio.timeout(_PIECE_PATIENCE):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send(end)
        except TimeoutError:
            log.info("download_abandoned")
        finally:
            gone.cancel()
            await self._in_thread(download.close)

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def make_environ(scope: Scope) -> WSGIEnvironment:
    """The WSGI environ (PEP 3333) of an ASGI request without a body."""
    environ = _SAME_FOR_ALL | {
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": scope["server"][0],
        "SERVER_PORT": scope["server"][1],
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": scope["client"][0],
        "CONTENT_LENGTH": "0",
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": BytesIO(),
    }
    for name, value in scope["headers"]:
        if b"_" in name:
            continue  # X_Forwarded_For would pass for X-Forwarded-For
        key, text = name.decode("latin-1").upper().replace("-", "_"), value.decode("latin-1")
        if key not in {"CONTENT_LENGTH", "CONTENT_TYPE"}:
            key = f"HTTP_{key}"
            if key in environ:
                text = f"{environ[key]}{';' if key == 'HTTP_COOKIE' else ','}{text}"
        environ[key] = text
    return environ


async def _take_in(environ: WSGIEnvironment, receive: Receive, bodies: Bodies) -> None:
    limit = largest(environ["PATH_INFO"])
    body = await bodies.read(receive, int(environ["CONTENT_LENGTH"]), limit=limit)
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["wsgi.input"] = BytesIO(body)


def _call(application: WSGIApplication, environ: WSGIEnvironment) -> Reply | Download:
    """Call the application; returns a whole response if its length is known."""
    status, headers = "", []

    def start_response(
        said: str, named: list[tuple[str, str]], _error: object = None, /
    ) -> Callable[[bytes], object]:
        nonlocal status, headers
        status, headers = said, named
        return _refuse_to_write

    made_by = application(environ, start_response)
    if isinstance(made_by, list | tuple) or any(
        name.lower() == "content-length" for name, _ in headers
    ):
        try:
            return Reply(status, headers, b"".join(made_by))
        finally:
            _close(made_by)
    return Download(status, headers, iter(made_by), made_by)


def _refuse_to_write(_: bytes) -> object:
    """WSGI's ``write()``: nothing of ours calls it, and PEP 3333 tells new code not to."""
    raise NotImplementedError("Return what is to be sent: write() is not served here.")


def _close(made_by: object) -> None:
    if hasattr(made_by, "close"):
        made_by.close()


async def _send(send: Send, reply: Reply) -> None:
    head, body = reply.messages
    await send(head)
    await send(body)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _note(route: str, method: str, status: str, begun: float) -> None:
    """Measure an answer; methods that we don't know could be anything, and are one."""
    known = method if method in _METHODS else "other"
    measures.note(Measured.REQUEST, time.perf_counter() - begun, known, route, status[:3])


def _log_access(environ: WSGIEnvironment, status: str, begun: float | None = None) -> None:
    """Write the access log's line: the route, because a path may hold the key of an e-mailed link.

    The number has none: a cache in front logs it, and /metrics counts it.
    """
    seconds = None if begun is None else round(time.perf_counter() - begun, 4)
    log.info(
        "request",
        request=request_id_of(environ, is_trusted=is_behind_proxy),
        method=environ["REQUEST_METHOD"],
        route=environ.get(ROUTE, "-"),
        status=int(status[:3]),
        seconds=seconds,
    )


application = Front(wsgi_application, threads)
