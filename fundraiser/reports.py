"""Report tracebacks to Sentry, or what speaks its protocol, if ``SENTRY_DSN`` is set.

Whatever is logged with a traceback is reported: in a request, a task, or a library. A report has
the exception's type, the stack's functions and lines, and the ID under which the log has the rest.
It never has what an exception says, local variables, or anything of the request, since these may
hold addresses, tokens, cookies or what somebody typed.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

import sentry_sdk

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint
    from structlog.typing import EventDict

    from fundraiser.config import Settings

_PATIENCE = 2  # seconds at the end of a process, for reports that are on their way
# What of a line's fields is a tag: names and numbers of ours.
_TAGS = ("event", "route", "request", "task", "task_id", "job", "logger")
_KEPT = {"event_id", "timestamp", "platform", "level", "release", "tags", "sdk"}
_OF_A_FRAME = ("filename", "abs_path", "module", "function", "lineno", "in_app")


def configure_reports(settings: Settings) -> None:
    """Start the client, without anything that it would collect by itself."""
    if not settings.sentry_dsn:
        return
    sentry_sdk.init(
        settings.sentry_dsn,
        release=f"fundraiser@{version('fundraiser')}",
        default_integrations=False,
        auto_enabling_integrations=False,
        auto_session_tracking=False,
        send_client_reports=False,
        include_local_variables=False,
        include_source_context=False,
        max_breadcrumbs=0,
        shutdown_timeout=_PATIENCE,
        before_send=_scrub,
    )


def report(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Log processor: report the line's exception, if it has one."""
    if error := _exception_of(line.get("exc_info")):
        with sentry_sdk.new_scope() as scope:
            for name in _TAGS:
                if name in line and (name != "event" or "logger" not in line):
                    scope.set_tag(name, str(line[name]))
            sentry_sdk.capture_exception(error)
    return line


def _exception_of(given: object) -> BaseException | None:
    """The exception of a line's ``exc_info``, in each of the ways that logging allows."""
    if isinstance(given, tuple):
        given = given[1]
    elif given and not isinstance(given, BaseException):
        given = sys.exc_info()[1]
    return given if isinstance(given, BaseException) else None


def _scrub(event: Event, _hint: Hint) -> Event:
    """Keep what we know to say nothing about anybody, and drop the rest."""
    given = cast("dict[str, Any]", event)
    kept = {name: value for name, value in given.items() if name in _KEPT}
    kept["exception"] = {
        "values": [_scrub_exception(one) for one in given.get("exception", {}).get("values", [])]
    }
    return cast("Event", kept)


def _scrub_exception(given: dict[str, Any]) -> dict[str, Any]:
    frames = (given.get("stacktrace") or {}).get("frames", [])
    return {
        "type": given.get("type"),
        "module": given.get("module"),
        "value": "",
        "stacktrace": {
            "frames": [{name: one[name] for name in _OF_A_FRAME if name in one} for one in frames]
        },
    }
