"""The progress layer: the hottest address of the service, answered before Flask from kept bytes."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from threading import BoundedSemaphore, Event, Lock, Thread
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from fundraiser.campaigns.progress import find_campaign, iso, open_campaigns, read_progress
from fundraiser.db import now
from fundraiser.errors import FundraiserError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from fundraiser.db import Database

log = structlog.get_logger()

IS_KNOWN = "fundraiser.number_is_known"  # in the environ of what is handed on: for /readyz
_ADDRESS = re.compile(r"/campaigns/([^/]+)/progress")
_KEPT_FOR = 1.0  # seconds
_REMEMBERED_FOR = 10.0  # seconds without a reader, until the next request of any kind
_SILENT_AFTER = 5.0  # seconds without an answer from the database
_PATIENCE, _FIRST_PATIENCE = 1.0, 8.0  # seconds that a request waits, with and without a number
_FOR_EVER = float("inf")
_MOST_READERS = 4
_UNKNOWN = "The number is not known at the moment. Try again in a minute."

# Any site may ask. Any cache may answer in our place for a second, and while we are away.
ANYWHERE = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Timing-Allow-Origin": "*",
}
FRESH = "public, max-age=1, stale-while-revalidate=2, stale-if-error=86400"


@dataclass(frozen=True, slots=True)
class Answer:
    """Finished bytes, what they say, and when that was read (``made_at`` is monotonic seconds)."""

    figures: dict[str, Any]
    read_at: datetime
    made_at: float
    body: bytes
    etag: str
    headers: list[tuple[str, str]]


class Kept:
    """The answer of one campaign. Who holds ``reading`` reads it anew, in a thread of its own.

    ``begun_at`` (monotonic seconds) and ``done`` are of the newest reading, ``error`` is why it
    brought nothing where there is no answer yet.
    """

    __slots__ = ("answer", "begun_at", "done", "error", "reading")

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self.begun_at = -_FOR_EVER
        self.done = Event()
        self.reading = Lock()


class ProgressLayer:
    """A WSGI application in front of another: it answers progress itself and hands on the rest.

    While one thread reads a number anew, the others go on serving the one before. Where the
    database does not answer, the last number is served with the time since when.
    """

    def __init__(self, app: WSGIApplication, database: Database) -> None:
        self._app = app
        self._database = database
        self._campaigns: dict[str, Kept] = {}
        self._readers = BoundedSemaphore(_MOST_READERS)
        self._remembered_at = -_FOR_EVER

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        address = _ADDRESS.fullmatch(environ["PATH_INFO"])
        if address is None:
            environ[IS_KNOWN] = self.remember()
            return self._app(environ, start_response)
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _refuse(start_response, HTTPStatus.METHOD_NOT_ALLOWED, "This is for reading.")
        try:
            answer = self._answer(address[1])
        except FundraiserError as error:
            return _refuse(start_response, error.status, str(error))
        if answer.etag in environ.get("HTTP_IF_NONE_MATCH", ""):
            start_response("304 Not Modified", answer.headers[2:])
            return []
        start_response("200 OK", answer.headers)
        # Granian sends a list at once, and anything else piece by piece, at half the speed.
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def _answer(self, slug: str) -> Answer:
        kept = self._campaigns.get(slug) or self._campaigns.setdefault(slug, Kept())
        at = time.monotonic()
        answer = kept.answer
        age = at - answer.made_at if answer else _FOR_EVER
        if answer and age < _KEPT_FOR:
            return answer
        if not self._begin_reading(slug, kept, at) and answer and age < 2 * _KEPT_FOR:
            return answer
        # A database that is silent may never answer: nobody waits for it longer than this.
        kept.done.wait(max(kept.begun_at + (_PATIENCE if answer else _FIRST_PATIENCE) - at, 0))
        return self._newest(slug, kept)

    def remember(self) -> bool:
        """Whether a number is known. Those of open campaigns are read though nobody asks for them.

        Of several processes one may get none of the widgets. It too has to know the last number,
        and not one of hours ago, when the database goes away.
        """
        at = time.monotonic()
        if at - self._remembered_at > _REMEMBERED_FOR:
            self._remembered_at = at
            Thread(target=self._learn, args=(at,), name="progress", daemon=True).start()
        return any(kept.answer for kept in list(self._campaigns.values()))

    def _learn(self, at: float) -> None:
        try:
            with self._database.transaction() as session:
                slugs = open_campaigns(session)
        except SQLAlchemyError as error:
            log.warning("progress_unknown", error=type(error).__name__)
            return
        for slug in slugs:
            kept = self._campaigns.setdefault(slug, Kept())
            if at - kept.begun_at > _REMEMBERED_FOR and self._begin_reading(slug, kept, at):
                kept.done.wait(_FIRST_PATIENCE)

    def _begin_reading(self, slug: str, kept: Kept, at: float) -> bool:
        """Read in a thread of its own, unless somebody does."""
        if not kept.reading.acquire(blocking=False):
            return False
        kept.begun_at, kept.done = at, Event()
        # As many at once as may hang in a silent database, whatever slugs are asked for.
        if self._readers.acquire(blocking=False):
            Thread(target=self._renew, args=(slug, kept), name="progress", daemon=True).start()
        else:
            self._give_up(slug, kept)
        return True

    def _newest(self, slug: str, kept: Kept) -> Answer:
        answer = kept.answer
        if answer is None:
            raise kept.error or UnavailableError(_UNKNOWN)
        if slug not in self._campaigns:
            raise NotFoundError("There is no campaign at this address.")
        is_old = answer.made_at < kept.begun_at
        if is_old and time.monotonic() - answer.made_at > _SILENT_AFTER:
            answer = kept.answer = _stale(answer)
        return answer

    def _renew(self, slug: str, kept: Kept) -> None:
        try:
            kept.answer = self._read(slug)
        except NotFoundError as error:
            kept.error = error
            self._campaigns.pop(slug, None)
        except SQLAlchemyError as error:
            log.warning("progress_stale", campaign=slug, error=type(error).__name__)
            if kept.answer:
                kept.answer = _stale(kept.answer)
        finally:
            self._readers.release()
            self._give_up(slug, kept)

    def _give_up(self, slug: str, kept: Kept) -> None:
        """Let others read, and forget a campaign of which nothing is known."""
        if kept.answer is None:
            self._campaigns.pop(slug, None)
        kept.reading.release()
        kept.done.set()

    def _read(self, slug: str) -> Answer:
        with self._database.transaction() as session:
            figures = read_progress(session, find_campaign(session, slug)).as_json()
        return _finish(figures, now())


def _stale(answer: Answer) -> Answer:
    return _finish(answer.figures | {"stale_since": iso(answer.read_at)}, answer.read_at)


def _finish(figures: dict[str, Any], read_at: datetime) -> Answer:
    body = json.dumps(figures, separators=(",", ":")).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("ETag", etag),
        ("Cache-Control", FRESH),
        ("X-Content-Type-Options", "nosniff"),
        *ANYWHERE.items(),
    ]
    return Answer(figures, read_at, time.monotonic(), body, etag, headers)


def _refuse(start_response: StartResponse, status: HTTPStatus, sentence: str) -> tuple[bytes]:
    body = json.dumps({"error": sentence}).encode()
    start_response(
        f"{status.value} {status.phrase}",
        [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            *([("Allow", "GET, HEAD")] if status is HTTPStatus.METHOD_NOT_ALLOWED else []),
            ("X-Content-Type-Options", "nosniff"),
            *ANYWHERE.items(),
        ],
    )
    return (body,)
