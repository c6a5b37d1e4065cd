"""Pages for requests refused in front of the app, rendered once when the process starts.

Five hundred slow senders get five hundred of these, so they must need no thread, template or
database.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from flask import render_template
from flask_babel import force_locale
from werkzeug.datastructures import LanguageAccept, MIMEAccept
from werkzeug.http import parse_accept_header

from fundraiser import headers
from fundraiser.config import current_settings
from fundraiser.texts import DEFAULT_LANGUAGE, LANGUAGES, gettext as _
from fundraiser.widget.progress import Reply

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

    from flask import Flask

_PAGE, _PROGRAM = "text/html; charset=utf-8", "application/json"
_SOON = "10"  # seconds
_LONGEST = 1000  # characters of a header or query that are looked at


class Refusals:
    """Responses for refused bodies, and for requests when no thread is free."""

    def __init__(self, app: Flask) -> None:
        self._replies: dict[tuple[HTTPStatus, str, bool], Reply] = {}
        for language in LANGUAGES:
            with app.test_request_context(f"/?lang={language}"), force_locale(language):
                for status, heading, sentence in _sentences():
                    page = render_template(
                        "refusal.html", heading=heading, sentence=sentence, status=status.value
                    )
                    program = json.dumps({"error": sentence}, ensure_ascii=False)
                    self._replies[status, language, True] = _reply(status, page, _PAGE)
                    self._replies[status, language, False] = _reply(status, program, _PROGRAM)

    def reply(self, status: HTTPStatus, environ: WSGIEnvironment) -> Reply:
        """The page with this status, or JSON for a program."""
        return self._replies[status, _language(environ), _is_for_a_person(environ)]


def _sentences() -> tuple[tuple[HTTPStatus, str, str], ...]:
    return (
        (
            HTTPStatus.FORBIDDEN,
            _("You don’t have access to this page"),
            _("Sign in with an account that has access."),
        ),
        (
            HTTPStatus.REQUEST_TIMEOUT,
            _("That took too long"),
            _("This didn’t reach us in time. Check your connection, go back and send it again."),
        ),
        (
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            _("That didn’t work"),
            _("You’ve sent more than we can accept. Go back, shorten it and send it again."),
        ),
        (
            HTTPStatus.SERVICE_UNAVAILABLE,
            _("We’re very busy at the moment"),
            _(
                "Try again in a minute. If you’ve just paid, don’t pay again: your payment isn’t "
                "lost."
            ),
        ),
    )


def _reply(status: HTTPStatus, text: str, kind: str) -> Reply:
    settings, body = current_settings(), text.encode()
    named = {"Content-Type": kind, "Content-Length": str(len(body))}
    named |= headers.of_refusal(settings)
    if kind == _PAGE:
        named |= headers.of_a_page(settings)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        named["Retry-After"] = _SOON
    else:
        named["Connection"] = "close"  # what is left of the body is not read
    return Reply(f"{status.value} {status.phrase}", list(named.items()), body)


def _language(environ: WSGIEnvironment) -> str:
    """The reader's language, chosen as in ``texts``."""
    chosen = parse_qs(str(environ["QUERY_STRING"])[:_LONGEST]).get("lang", [""])[0]
    if chosen in LANGUAGES:
        return chosen
    accepted = environ.get("HTTP_ACCEPT_LANGUAGE", "")[:_LONGEST]
    return str(
        parse_accept_header(accepted, LanguageAccept).best_match(
            LANGUAGES, default=DEFAULT_LANGUAGE
        )
    )


def _is_for_a_person(environ: WSGIEnvironment) -> bool:
    accepted = parse_accept_header(environ.get("HTTP_ACCEPT", "")[:_LONGEST], MIMEAccept)
    is_page = accepted.best_match(["application/json", "text/html"]) == "text/html"
    return bool(is_page) and not environ["PATH_INFO"].startswith("/webhooks/")
