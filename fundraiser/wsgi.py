"""The WSGI middleware in front of the Flask app; ``asgi`` serves it."""

from __future__ import annotations

import gc
from http import HTTPStatus
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError, TimeoutError as NoConnectionError

from fundraiser.app import create_app
from fundraiser.config import load_settings
from fundraiser.db import web_pool
from fundraiser.headers import of_refusal, of_transport
from fundraiser.newsroom.roles import Permission, may
from fundraiser.newsroom.secret_key import warn_of_another_key
from fundraiser.newsroom.sign_in import current_staff
from fundraiser.payments import refuse_other_mode
from fundraiser.postgres import LONGEST_ANSWER
from fundraiser.refusals import Refusals
from fundraiser.webhooks.layer import WebhookLayer
from fundraiser.widget.progress import ProgressLayer

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def busy(environ: WSGIEnvironment, start_response: StartResponse) -> tuple[bytes]:
    """A WSGI application that only answers 503: no thread is free."""
    reply = refusals.reply(HTTPStatus.SERVICE_UNAVAILABLE, environ)
    start_response(reply.status, reply.headers)
    return (reply.body,)


def may_upload(environ: WSGIEnvironment) -> bool:
    """Whether the sender may upload lists; checked before we read a large body."""
    try:
        with _app.request_context(dict(environ)), _app.database.transaction():
            staff = current_staff()
            return staff is not None and may(staff, Permission.IMPORT)
    except (OperationalError, NoConnectionError):
        return False


_settings = load_settings()
# Long statements run in workers and commands, which may wait for them.
_app = create_app(_settings, web_pool(_settings)._replace(longest=LONGEST_ANSWER))
refuse_other_mode(_app.database.engine, livemode=_settings.livemode)
warn_of_another_key(_settings, _app.database)
_with_webhooks = WebhookLayer(
    _app, _app.extensions["gateway"], _app.extensions["inbox"], of_refusal(_settings)
)
is_behind_proxy = _settings.trusted_proxies > 0
refusals = Refusals(_app)
threads = _settings.web_threads
measures = _app.extensions["measures"]
application = ProgressLayer(_with_webhooks, _app.database, of_transport(_settings))
application.remember()

# These objects live as long as the process. Scanning them delayed one response in some dozens by a
# tenth of a second, so the garbage collector must skip them.
gc.collect()
gc.freeze()
