"""Security: cookies, forms, limits, origin checks, and which routes are public."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

import structlog
from flask import Flask, Response, current_app, g, request
from flask.sessions import SecureCookieSessionInterface
from flask_limiter import Limiter
from flask_wtf import CSRFProtect
from itsdangerous import Signer, URLSafeSerializer, URLSafeTimedSerializer
from redis.exceptions import RedisError
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter

from fundraiser import bodies, headers, incidents
from fundraiser.config import current_settings
from fundraiser.errors import BadRequestError, ForbiddenError
from fundraiser.incidents import Kind
from fundraiser.logs import name_request
from fundraiser.networks import PlainAddress, for_guesses, is_passed_on, sender
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from werkzeug.routing import Map

    from fundraiser.config import Settings

_MINUTE = 60.0  # seconds
_ADVICE = (
    "Set TRUSTED_PROXIES to how many proxies stand in front: limits take all their readers for one."
)
_LARGEST_NUMBER = (1 << 63) - 1
# E-mails from before 2026-12 are still read, and their links have to work.
_OLDER_SIGNATURES: list[Any] = [{"digest_method": hashlib.sha1}]
_TENTH = 0.1  # seconds: a Redis that is silent holds up a limited form no longer
log = structlog.get_logger()
View = TypeVar("View", bound="Callable[..., object]")


class Number(IntegerConverter):
    """A number in an address: larger ones than the database's lead nowhere (404)."""

    regex = "[0-9]{1,19}"

    def __init__(self, map: Map, *, min: int = 0, max: int = _LARGEST_NUMBER) -> None:  # noqa: A002 - as Werkzeug names them
        super().__init__(map, min=min, max=max)


# Everything that itsdangerous signs, form tokens of Flask-WTF included; its own default is SHA-1.
Signer.default_digest_method = staticmethod(hashlib.sha256)


class CookieInterface(SecureCookieSessionInterface):
    """Flask's signed cookie, with HMAC-SHA256."""

    digest_method = staticmethod(hashlib.sha256)


csrf = CSRFProtect()


def network_hash() -> str:
    """The network that the request comes from, as a keyed hash to count and compare it by."""
    return keyed_digest("network", for_guesses())


limiter = Limiter(network_hash, in_memory_fallback_enabled=True, headers_enabled=False)


def limit_by_network(**options: Any) -> Callable[[View], View]:  # noqa: ANN401 - the limiter's own
    """Limit how often a network may call a route: ``NETWORK_LIMIT``, counted for each route."""
    limit = limiter.limit(
        lambda: current_settings().network_limit, key_func=network_hash, **options
    )
    return cast("Callable[[View], View]", limit)


def init_app(app: Flask, settings: Settings) -> None:
    """Cookies, forms, limits, headers, and whose word we take for a reader's address."""
    is_https = settings.public_url.startswith("https://")
    app.url_map.converters["int"] = Number
    app.session_interface = CookieInterface()
    app.config.update(
        SECRET_KEY=settings.secret_keys[0],
        SECRET_KEY_FALLBACKS=list(settings.secret_keys[1:]),
        WTF_CSRF_SECRET_KEY=settings.secret_keys[::-1],
        MAX_CONTENT_LENGTH=bodies.LARGEST,
        SESSION_COOKIE_NAME="__Host-staff" if is_https else "staff",
        SESSION_COOKIE_SECURE=is_https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_TIME_LIMIT=None,
        RATELIMIT_STORAGE_URI=settings.redis_url,
        RATELIMIT_STORAGE_OPTIONS={"socket_timeout": _TENTH, "socket_connect_timeout": _TENTH},
    )
    app.wsgi_app = PlainAddress(app.wsgi_app)  # type: ignore[method-assign]  # Flask's own way to wrap it
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]  # Flask's own way to wrap it
            app.wsgi_app, x_for=settings.trusted_proxies, x_proto=settings.trusted_proxies
        )
    else:
        app.before_request(notice_proxy)
    app.wsgi_app = our_own_name(app.wsgi_app, settings)  # type: ignore[assignment, method-assign]  # as above
    app.before_request(name_it_in_the_log)
    app.before_request(limit_body)  # before anybody reads a form
    csrf.init_app(app)
    limiter.init_app(app)
    app.before_request(refuse_nul)
    app.after_request(set_headers)
    app.after_request(note_limit)


def name_it_in_the_log() -> None:
    """Have all lines of this request carry one name, which a trusted proxy may have given."""
    is_trusted = current_settings().trusted_proxies > 0
    name_request(request.headers.get("X-Request-ID") if is_trusted else None)


def notice_proxy() -> None:
    """Note that a proxy passes requests on while none is trusted: all readers share one limit.

    Once a minute is enough from a private address, which is a proxy's; from a public one anybody
    can send such a header, so that a hundred an hour are needed.
    """
    if not is_passed_on():
        return
    kind = Kind.FORWARDED if sender().is_global else Kind.PROXY
    noticed: dict[Kind, float] = current_app.extensions.setdefault("noticed", {})
    if time.monotonic() - noticed.get(kind, -_MINUTE) >= _MINUTE:
        noticed[kind] = time.monotonic()
        log.warning("proxy_untrusted", advice=_ADVICE, is_surely_a_proxy=kind is Kind.PROXY)
        incidents.note(kind, "TRUSTED_PROXIES=0")
    elif kind is Kind.FORWARDED:
        incidents.note(kind, "TRUSTED_PROXIES=0")


def note_limit(response: Response) -> Response:
    """Note each limit that was met, whoever set it."""
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS and not incidents.has_noted():
        incidents.note(Kind.LIMIT)
    return response


def our_own_name(application: WSGIApplication, settings: Settings) -> WSGIApplication:
    """Let no request say what we are called: whatever its Host, ours is PUBLIC_URL's.

    A redirect to "the same host" would lead where the sender of a foreign Host wants, and a cache
    would keep it. Nobody is refused for it: load balancers look at /readyz by our IP address.
    """
    name = urlsplit(settings.public_url).netloc

    def named(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["fundraiser.host"] = environ.get("HTTP_HOST", "")  # what /metrics goes by
        environ["HTTP_HOST"] = name
        return application(environ, start_response)

    return named


def limit_body() -> None:
    """Keep to the front's limits, and on each page that is open to anybody to the small one."""
    is_roomy = not is_public(request.endpoint) or request.path.startswith("/webhooks/")
    request.max_content_length = (
        bodies.largest(request.path) if is_roomy else bodies.LARGEST_OF_ANYBODY
    )


def refuse_nul() -> None:
    """Refuse what no reader types and PostgreSQL can't keep: the character NUL in a text.

    Raises:
        BadRequestError: the address or the form holds one.
    """
    if any("\0" in text for text in (request.path, *request.values.values())):
        raise BadRequestError(_("This address or form is damaged. Open our page again."))


def public(view: View) -> View:
    """Declare that anybody may ask for this view; what is not declared needs a signed-in staff."""
    view.is_public = True  # type: ignore[attr-defined]  # a mark on the function, read by is_public
    return view


def is_public(endpoint: str | None) -> bool:
    """Whether a route's view was declared public; an address without a view is (a 404)."""
    if endpoint is None or endpoint == "static":
        return True
    return getattr(current_app.view_functions[endpoint], "is_public", False)


def forget_try() -> None:
    """Let this request count towards none of its route's limits: it was no wrong guess.

    Tries are counted before they are looked at, so that no more are looked at than are allowed,
    however many come at once. A limit that can't be reached now keeps its count.
    """
    with suppress(RedisError):
        for found in limiter.current_limits:
            limiter.limiter.hit(found.limit, *found.request_args, cost=-1)


def new_secret() -> str:
    """256 random bits as text, for a link or a cookie."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """The hash that is stored in place of a secret of 256 bits (SHA-256, hexadecimal)."""
    return hashlib.sha256(secret.encode()).hexdigest()


def keyed_digest(kind: str, value: str) -> str:
    """A hash of something guessable, like an address, that says nothing without our key."""
    return keyed_digests(kind, value)[0]


def keyed_digests(kind: str, value: str) -> list[str]:
    """The same by each of our keys, the newest first: what was stored may be by an older one."""
    return [made.hex() for made in hmacs(f"{kind}:{value}")]


def hmacs(text: str) -> list[bytes]:
    """HMAC-SHA256 of a text by each of our keys, the newest first."""
    return [
        hmac.digest(key.encode(), text.encode(), "sha256") for key in current_settings().secret_keys
    ]


def is_one_of(made: str, good: Iterable[str]) -> bool:
    """Whether it is one of these; how long that takes tells at most which one."""
    return any(hmac.compare_digest(made.encode(), one.encode()) for one in good)


def signing_keys() -> tuple[str, ...]:
    """Our keys as itsdangerous takes them: the last one signs, all verify."""
    return current_settings().secret_keys[::-1]


def link_signer(purpose: str) -> URLSafeSerializer:
    """Signs what a link says, with a key for this purpose alone; such a link has no end."""
    return URLSafeSerializer(signing_keys(), salt=purpose, fallback_signers=_OLDER_SIGNATURES)


def timed_link_signer(purpose: str) -> URLSafeTimedSerializer:
    """The same for links that are good for a time."""
    return URLSafeTimedSerializer(signing_keys(), salt=purpose, fallback_signers=_OLDER_SIGNATURES)


def new_nonce() -> str:
    """The value that makes one form one checkout, however often it is sent."""
    return secrets.token_urlsafe(24)


def cookieless(view: View) -> View:
    """Declare a public POST without a cookie: its signature, or its origin and nonce, guard it."""
    csrf.exempt(view)
    return public(view)


def check_origin() -> None:
    """Refuse a form that another site sent. No cookie is needed for that.

    Raises:
        ForbiddenError: the request comes from another origin, or from none that it will name.
    """
    origin = request.headers.get("Origin")
    if origin is None:
        # Browsers send one of the two with every POST; a client that sends neither has no ambient
        # authority to abuse, but nothing of ours needs it either.
        if request.headers.get("Sec-Fetch-Site") == "same-origin":
            return
    elif origin == current_settings().public_url:
        return
    incidents.note(Kind.FOREIGN_FORM)
    raise ForbiddenError(
        _("This form was sent from another site. Open our page and send it there.")
    )


def set_headers(response: Response) -> Response:
    """Give every answer the headers of its route."""
    route = request.url_rule.rule if request.url_rule else None
    headers.complete(response, route, current_settings(), g.get("form_origins", ()))
    return response


def allow_forms_to(origins: Iterable[str]) -> None:
    """Let the forms of the page that is being answered lead to these origins as well."""
    g.form_origins = tuple(origins)
