"""Logging: one JSON object a line, in UTC, with the request's or task's ID and no personal data.

Our lines and those of libraries have the same form. We log no bodies, headers or addresses, and
replace e-mail addresses in libraries' messages. A request's ID goes on: what it causes, such as a
sync with Stripe or an e-mail, stores it, and logs under it in whatever process does it.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog
from structlog.contextvars import (
    bind_contextvars,
    clear_contextvars,
    get_contextvars,
    merge_contextvars,
)
from structlog.processors import (
    ExceptionRenderer,
    JSONRenderer,
    TimeStamper,
    add_log_level,
)
from structlog.stdlib import ProcessorFormatter, add_logger_name

from fundraiser.redaction import redact_all
from fundraiser.reports import configure_reports, report

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

    from structlog.typing import EventDict, Processor

    from fundraiser.config import Settings

_REQUEST_ID = "fundraiser.request_id"  # in the environ
_IDENTIFIER = re.compile(r"[\w-]{8,64}", re.ASCII)


class LineLogger(structlog.PrintLogger):
    """Writes each line and its end at once.

    Several processes share one output. With an unbuffered one, which containers use, ``print``
    makes two writes of a line, and another process's line comes in between.
    """

    def msg(self, message: str) -> None:
        """Write one line."""
        with self._lock:
            sys.stdout.write(f"{message}\n")
            sys.stdout.flush()

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def configure_logging(settings: Settings) -> None:
    """Configure all logging of this process, from the configured level."""
    configure_reports(settings)
    handler = logging.StreamHandler()
    handler.setFormatter(make_formatter())
    logging.basicConfig(level=settings.log_level, handlers=[handler])
    logging.getLogger("stripe").setLevel(logging.WARNING)  # it would name every customer it fetches
    structlog.configure(
        processors=[*_FIRST, *_LAST],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.log_level]
        ),
        logger_factory=LineLogger,
        cache_logger_on_first_use=True,
    )


def make_formatter() -> logging.Formatter:
    """The formatter of libraries' log lines; the web server's own process uses it too."""
    return ProcessorFormatter(
        foreign_pre_chain=[*_FIRST, add_logger_name],
        processors=[ProcessorFormatter.remove_processors_meta, *_LAST],
    )


def request_id_of(environ: WSGIEnvironment, *, is_trusted: bool) -> str:
    """A request's ID, decided once: a trusted proxy's ``X-Request-ID``, or a new one.

    The proxy's own log may have the client's address, so ours doesn't need it.
    """
    known: str | None = environ.get(_REQUEST_ID)
    if known is None:
        sent = environ.get("HTTP_X_REQUEST_ID", "") if is_trusted else ""
        known = environ[_REQUEST_ID] = sent if _IDENTIFIER.fullmatch(sent) else uuid4().hex
    return known


def name_request(environ: WSGIEnvironment, *, is_trusted: bool = False) -> None:
    """Set the request's ID for its log lines, and for what it causes.

    ``is_trusted`` matters only if the ID isn't decided yet.
    """
    clear_contextvars()
    bind_contextvars(request=request_id_of(environ, is_trusted=is_trusted))


def current_cause() -> str | None:
    """The ID of the request, or else of the task, that is being worked on."""
    bound = get_contextvars()
    return bound.get("request") or bound.get("task_id")


def name_task(task: str, identifier: str) -> None:
    """Set the current task's ID for its log lines."""
    clear_contextvars()
    bind_contextvars(task=task, task_id=identifier)


def _redact(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {name: redact_all(value) for name, value in event.items()}


_FIRST: list[Processor] = [merge_contextvars, add_log_level, TimeStamper(fmt="iso", utc=True)]
_LAST: list[Processor] = [report, ExceptionRenderer(), _redact, JSONRenderer()]
