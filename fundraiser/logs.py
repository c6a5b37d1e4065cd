"""Logging: one JSON object a line, in UTC, with the request's or task's ID and no personal data.

Our lines and those of libraries have the same form. We log no bodies, headers or addresses, and
replace e-mail addresses in libraries' messages.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars, merge_contextvars
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
    from structlog.typing import EventDict, Processor

    from fundraiser.config import Settings

_IDENTIFIER = re.compile(r"[\w-]{8,64}", re.ASCII)


def configure_logging(settings: Settings) -> None:
    """Configure all logging of this process, from the configured level."""
    common: list[Processor] = [merge_contextvars, add_log_level, TimeStamper(fmt="iso", utc=True)]
    configure_reports(settings)
    last: list[Processor] = [report, ExceptionRenderer(), _redact, JSONRenderer()]
    handler = logging.StreamHandler()
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*common, add_logger_name],
            processors=[ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(level=settings.log_level, handlers=[handler])
    logging.getLogger("stripe").setLevel(logging.WARNING)  # it would name every customer it fetches
    structlog.configure(
        processors=[*common, *last],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.log_level]
        ),
        cache_logger_on_first_use=True,
    )


def name_request(sent: str | None) -> None:
    """Set the request's ID for its log lines: the proxy's ID, or a new one.

    The proxy's own log has the client's address, so ours doesn't need it.
    """
    is_one = sent is not None and _IDENTIFIER.fullmatch(sent)
    clear_contextvars()
    bind_contextvars(request=sent if is_one else uuid4().hex)


def name_task(task: str, identifier: str) -> None:
    """Set the current task's ID for its log lines."""
    clear_contextvars()
    bind_contextvars(task=task, task_id=identifier)


def _redact(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {name: redact_all(value) for name, value in event.items()}
