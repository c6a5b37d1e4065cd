"""Middleware that serves progress JSON, our busiest route, from memory before Flask."""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import Future, wait as wait_for
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from threading import BoundedSemaphore, Lock, Thread
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from fundraiser.campaigns.progress import (
    all_campaigns,
    find_campaign,
    iso,
    open_campaigns,
    read_progress,
)
from fundraiser.db import now
from fundraiser.errors import FundraiserError, NotFoundError, UnavailableError
from fundraiser.headers import ANYWHERE, FRESH, NO_SNIFFING, NO_STORE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from fundraiser.db import Database

log = structlog.get_logger()

IS_KNOWN = "fundraiser.number_is_known"  # in the environ of what is handed on: for /readyz
_BEFORE, _BEHIND = "/campaigns/", "/progress"
_KEPT_FOR = 1.0  # seconds
_REMEMBERED_FOR = 10.0  # seconds without a reader, until the next request of any kind
_SILENT_AFTER = 5.0  # seconds without an answer from the database
_PATIENCE, _FIRST_PATIENCE = 1.0, 8.0  # seconds that a request waits, with and without a number
_FOR_EVER = float("inf")
_MOST_READERS = 4
_UNKNOWN = "The number is not known at the moment. Try again in a minute."


@dataclass(frozen=True)
class Reply:
    """An HTTP response: ``status`` with its phrase, headers in order, the body's bytes."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    @cached_property
    def messages(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The response as ASGI messages, cached because the number is sent often."""
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers]
        return (
            {"type": "http.response.start", "status": int(self.status[:3]), "headers": headers},
            {"type": "http.response.body", "body": self.body},
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """A campaign's figures, when they were read (``made_at``: monotonic seconds), and responses.

    ``unchanged`` is for a reader with the same ``etag``, ``head`` for a HEAD request.
    """

    figures: dict[str, Any]
    read_at: datetime
    made_at: float
    etag: str
    whole: Reply
    head: Reply
    unchanged: Reply


@dataclass(frozen=True, slots=True)
class Wait:
    """The answer is being read: wait for ``done``, at most until ``until`` (monotonic)."""

    done: Future[bool]
    until: float


class Reading:
    """A database read in a separate thread, one at a time under ``lock``.

    ``begun_at`` (monotonic seconds) and ``done`` are the latest read's; ``done`` says whether the
    database answered.
    """

    __slots__ = ("begun_at", "done", "lock")

    def __init__(self) -> None:
        self.begun_at = -_FOR_EVER
        self.done: Future[bool] = Future()
        self.lock = Lock()

    def begin(self, at: float) -> bool:
        """Whether the caller should read; if so, it must call ``end``."""
        if not self.lock.acquire(blocking=False):
            return False
        self.begun_at, self.done = at, Future()
        return True

    def end(self, *, answered: bool) -> None:
        done = self.done
        self.lock.release()
        done.set_result(answered)


class Kept(Reading):
    """A campaign's cached answer, and the reading that renews it."""

    __slots__ = ("answer",)

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer
        self.begun_at = answer.made_at


class ProgressLayer:
    """Serves each campaign's number from memory; passes all other requests on.

    While one thread renews a number, others serve the previous one. If the database is down, it
    serves the last number with its time. It caches only existing campaigns, and reads their list at
    most once a second.
    """

    def __init__(
        self, app: WSGIApplication, database: Database, transport: Mapping[str, str] | None = None
    ) -> None:
        """``transport``: headers of every response (``headers.of_transport``)."""
        self._app = app
        self._transport = transport or {}
        self._database = database
        self._campaigns: dict[str, Kept] = {}
        self._list = Reading()
        self._readers = BoundedSemaphore(_MOST_READERS)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        slug = slug_of(environ["PATH_INFO"])
        if slug is None:
            environ[IS_KNOWN] = self.remember()
            return self._app(environ, start_response)
        reply = self.reply(
            slug, environ["REQUEST_METHOD"], environ.get("HTTP_IF_NONE_MATCH", ""), wait=True
        )
        assert isinstance(reply, Reply)  # noqa: S101 - it has waited
        start_response(reply.status, reply.headers)
        return [reply.body]

    def reply(self, slug: str, method: str, known: str, *, wait: bool) -> Reply | Wait:
        """The response for a reader whose If-None-Match is ``known``.

        If the number must be read first, it waits in this thread, or returns what to wait for; then
        call ``reply_after``.
        """
        if method not in {"GET", "HEAD"}:
            return self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "This is for reading.")
        try:
            found = self._find(slug)
        except FundraiserError as error:
            return self._refuse(error.status, str(error))
        if isinstance(found, Answer):
            return _reply(found, method, known)
        if not wait:
            return found
        wait_for([found.done], timeout=max(found.until - time.monotonic(), 0))
        return self.reply_after(found, slug, method, known)

    def reply_after(self, waited: Wait, slug: str, method: str, known: str) -> Reply:
        """The response with the data there is now."""
        try:
            return _reply(self._newest(slug, waited.done), method, known)
        except FundraiserError as error:
            return self._refuse(error.status, str(error))

    def remember(self) -> bool:
        """Whether a number is known; also keeps open campaigns fresh without requests.

        Of several processes, one may get no widget's requests. It too must know a recent number if
        the database goes down.
        """
        at = time.monotonic()
        if at - self._list.begun_at > _REMEMBERED_FOR:
            self._begin_list(at)
        return bool(self._campaigns)

    def _find(self, slug: str) -> Answer | Wait:
        """The cached answer, or what to wait for.

        Raises:
            NotFoundError: there is no such campaign.
        """
        at = time.monotonic()
        kept = self._campaigns.get(slug)
        if kept is None:
            begun_at, done = self._list.begun_at, self._list.done
            if at - begun_at < _KEPT_FOR and done.done():
                return self._newest(slug, done)
            self._begin_list(at)
            return Wait(self._list.done, self._list.begun_at + _FIRST_PATIENCE)
        answer = kept.answer
        age = at - answer.made_at
        if age < _KEPT_FOR:
            return answer
        if not self._begin_reading(slug, kept, at) and age < 2 * _KEPT_FOR:
            return answer
        # A database that is silent may never answer: nobody waits for it longer than this.
        return Wait(kept.done, kept.begun_at + _PATIENCE)

    def _newest(self, slug: str, reading: Future[bool]) -> Answer:
        kept = self._campaigns.get(slug)
        if kept is None:
            if reading.done() and reading.result():
                raise NotFoundError("There is no campaign at this address.")
            raise UnavailableError(_UNKNOWN)
        answer = kept.answer
        is_old = answer.made_at < kept.begun_at
        if is_old and time.monotonic() - answer.made_at > _SILENT_AFTER:
            answer = kept.answer = self._stale(answer)
        return answer

    def _begin_list(self, at: float) -> None:
        """Start reading the list of campaigns, unless a read is in progress."""
        if self._list.begin(at):
            Thread(target=self._read_list, args=(at,), name="progress", daemon=True).start()

    def _read_list(self, at: float) -> None:
        """Add new campaigns, drop deleted ones, renew open ones."""
        answered = False
        try:
            with self._database.transaction(beside=True) as session:
                slugs, opened = all_campaigns(session), open_campaigns(session)
            for slug in slugs:
                kept = self._campaigns.get(slug)
                if kept is None:
                    self._campaigns[slug] = Kept(self._read(slug))
                elif slug in opened and at - kept.begun_at > _REMEMBERED_FOR:
                    self._begin_reading(slug, kept, at)
            for slug in set(self._campaigns).difference(slugs):
                self._campaigns.pop(slug, None)
            answered = True
        except (SQLAlchemyError, NotFoundError) as error:
            log.warning("progress_unknown", error=type(error).__name__)
        finally:
            self._list.end(answered=answered)

    def _begin_reading(self, slug: str, kept: Kept, at: float) -> bool:
        """Start reading in a separate thread, unless a read is in progress."""
        if not kept.begin(at):
            return False
        # As many at once as may hang in a silent database.
        if self._readers.acquire(blocking=False):
            Thread(target=self._renew, args=(slug, kept), name="progress", daemon=True).start()
        else:
            kept.end(answered=False)
        return True

    def _renew(self, slug: str, kept: Kept) -> None:
        answered = False
        try:
            kept.answer = self._read(slug)
            answered = True
        except NotFoundError:
            self._campaigns.pop(slug, None)
            answered = True
        except SQLAlchemyError as error:
            log.warning("progress_stale", campaign=slug, error=type(error).__name__)
            kept.answer = self._stale(kept.answer)
        finally:
            self._readers.release()
            kept.end(answered=answered)

    def _read(self, slug: str) -> Answer:
        with self._database.transaction(beside=True) as session:
            figures = read_progress(session, find_campaign(session, slug)).as_json()
        return self._finish(figures, now())

    def _stale(self, answer: Answer) -> Answer:
        return self._finish(answer.figures | {"stale_since": iso(answer.read_at)}, answer.read_at)

    def _finish(self, figures: dict[str, Any], read_at: datetime) -> Answer:
        body = json.dumps(figures, separators=(",", ":")).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("ETag", etag),
            ("Cache-Control", FRESH),
            *(NO_SNIFFING | ANYWHERE).items(),
            *self._transport.items(),
        ]
        return Answer(
            figures,
            read_at,
            time.monotonic(),
            etag,
            whole=Reply("200 OK", headers, body),
            head=Reply("200 OK", headers),
            unchanged=Reply("304 Not Modified", headers[2:]),
        )

    def _refuse(self, status: HTTPStatus, sentence: str) -> Reply:
        body = json.dumps({"error": sentence}).encode()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", NO_STORE),
            *([("Allow", "GET, HEAD")] if status is HTTPStatus.METHOD_NOT_ALLOWED else []),
            *(NO_SNIFFING | ANYWHERE).items(),
            *self._transport.items(),
        ]
        return Reply(f"{status.value} {status.phrase}", headers, body)


def slug_of(path: str) -> str | None:
    """The campaign whose progress this path is; None for other paths."""
    if not (path.startswith(_BEFORE) and path.endswith(_BEHIND)):
        return None
    slug = path[len(_BEFORE) : -len(_BEHIND)]
    return slug if slug and "/" not in slug else None


def _reply(answer: Answer, method: str, known: str) -> Reply:
    if answer.etag in known:
        return answer.unchanged
    return answer.head if method == "HEAD" else answer.whole
