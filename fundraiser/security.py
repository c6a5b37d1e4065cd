"""Security of requests: cookies, forms, rate limits, origin checks, public routes."""

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
from fundraiser.compression import compress
from fundraiser.config import current_settings
from fundraiser.errors import BadRequestError, ForbiddenError
from fundraiser.incidents import Kind
from fundraiser.logs import name_request
from fundraiser.measures import ROUTE
from fundraiser.networks import PlainAddress, for_guesses, is_passed_on, sender
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from werkzeug.routing import Map

    from fundraiser.config import Settings

# A response header that says which deployment answers, to those who have its key.
DEPLOYMENT = "Fundraiser-Deployment"
_MINUTE = 60.0  # seconds
_ADVICE = (
    "Set TRUSTED_PROXIES to how many proxies stand in front: limits take all their readers for one."
)
_LARGEST_NUMBER = (1 << 63) - 1
_TENTH = 0.1  # seconds: a Redis that is silent holds up a limited form no longer
log = structlog.get_logger()
View = TypeVar("View", bound="Callable[..., object]")


class Number(IntegerConverter):
    """URL converter for numbers that fit the database; larger ones give a 404."""

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
    """The keyed hash of the client's network, for counting and comparing."""
    return keyed_digest("network", for_guesses())


limiter = Limiter(network_hash, in_memory_fallback_enabled=True, headers_enabled=False)


def limit_by_network(**options: Any) -> Callable[[View], View]:  # noqa: ANN401 - the limiter's own
    """Decorator: limit how often a network may call a route, by ``NETWORK_LIMIT``."""
    limit = limiter.limit(
        lambda: current_settings().network_limit, key_func=network_hash, **options
    )
    return cast("Callable[[View], View]", limit)


def init_app(app: Flask, settings: Settings) -> None:
    """Set up cookies, forms, limits, headers and trusted proxies."""
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
    """Give the request an ID for its log lines, taken from a trusted proxy if possible.

    Also names its route for the measures: a rule, because a path may be anything.
    """
    if request.url_rule:
        request.environ[ROUTE] = request.url_rule.rule
    name_request(request.environ, is_trusted=current_settings().trusted_proxies > 0)


def notice_proxy() -> None:
    """Record that an untrusted proxy forwards requests, so that all readers share one limit.

    From a private address, which is a proxy's, once a minute is enough. From a public address
    anybody can send such a header, so that takes a hundred an hour.
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
    """Record each rate limit that was reached."""
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS and not incidents.has_noted():
        incidents.note(Kind.LIMIT)
    return response


def our_own_name(application: WSGIApplication, settings: Settings) -> WSGIApplication:
    """Replace the request's Host with PUBLIC_URL's, whatever the client sent.

    A redirect to "the same host" would otherwise lead wherever a forged Host says, and a cache
    would store it. We refuse nobody for it: load balancers call /readyz by our IP address.
    """
    name = urlsplit(settings.public_url).netloc

    def named(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["fundraiser.host"] = environ.get("HTTP_HOST", "")  # what /metrics goes by
        environ["HTTP_HOST"] = name
        return application(environ, start_response)

    return named


def limit_body() -> None:
    """Apply the body limits here too: a small one on all public pages."""
    is_roomy = not is_public(request.endpoint) or request.path.startswith("/webhooks/")
    request.max_content_length = (
        bodies.largest(request.path) if is_roomy else bodies.LARGEST_OF_ANYBODY
    )


def refuse_nul() -> None:
    """Refuse NUL characters, which no reader types and PostgreSQL can't store.

    Raises:
        BadRequestError: the URL or the form has one.
    """
    if any("\0" in text for text in (request.path, *request.values.values())):
        raise BadRequestError(_("This link or form is damaged. Open our page again."))


def public(view: View) -> View:
    """Decorator: make a view public; all others need a signed-in member of staff."""
    view.is_public = True  # type: ignore[attr-defined]  # a mark on the function, read by is_public
    return view


def is_public(endpoint: str | None) -> bool:
    """Whether a route's view is public; true for unknown URLs (a 404)."""
    if endpoint is None or endpoint == "static":
        return True
    return getattr(current_app.view_functions[endpoint], "is_public", False)


def forget_try() -> None:
    """Don't count this request against its route's limits: it wasn't a wrong guess.

    We count attempts before we check them, so that parallel ones can't exceed the limit. A limit in
    an unreachable Redis keeps its count.
    """
    with suppress(RedisError):
        for found in limiter.current_limits:
            limiter.limiter.hit(found.limit, *found.request_args, cost=-1)


def new_secret() -> str:
    """256 random bits as text, for a link or a cookie."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """The hash stored in place of a 256-bit secret (SHA-256, hexadecimal)."""
    return hashlib.sha256(secret.encode()).hexdigest()


def keyed_digest(kind: str, value: str) -> str:
    """A keyed hash of something guessable, like an address; useless without our key."""
    return keyed_digests(kind, value)[0]


def keyed_digests(kind: str, value: str) -> list[str]:
    """``keyed_digest`` with each of our keys, newest first: stored ones may use an older key."""
    return [made.hex() for made in hmacs(f"{kind}:{value}")]


def hmacs(text: str) -> list[bytes]:
    """HMAC-SHA256 of a text with each of our keys, newest first."""
    return [
        hmac.digest(key.encode(), text.encode(), "sha256") for key in current_settings().secret_keys
    ]


def deployments() -> list[str]:
    """What /healthz answers, for ``fundraiser doctor``: one for each of our keys."""
    return keyed_digests("deployment", current_settings().public_url)


def is_one_of(made: str, good: Iterable[str]) -> bool:
    """Compare with each of these in constant time, except for which one matches."""
    return any(hmac.compare_digest(made.encode(), one.encode()) for one in good)


def signing_keys() -> tuple[str, ...]:
    """Our keys in itsdangerous's order: the last one signs, all verify."""
    return current_settings().secret_keys[::-1]


def link_signer(purpose: str) -> URLSafeSerializer:
    """Sign a link's data with a key for this purpose; such links don't expire."""
    return URLSafeSerializer(signing_keys(), salt=purpose)


def timed_link_signer(purpose: str) -> URLSafeTimedSerializer:
    """Sign a link's data with a key for this purpose; such links expire."""
    return URLSafeTimedSerializer(signing_keys(), salt=purpose)


def new_nonce() -> str:
    """A random value that makes a repeated form one checkout."""
    return secrets.token_urlsafe(24)


def cookieless(view: View) -> View:
    """Decorator: a public POST without a cookie, protected by a signature or origin and nonce."""
    csrf.exempt(view)
    return public(view)


def check_origin() -> None:
    """Refuse a form that another site sent; needs no cookie.

    Raises:
        ForbiddenError: the request's origin is another site, or missing.
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
        _("This form came from another website, so we didn’t use it. Go to our page and try again.")
    )


def set_headers(response: Response) -> Response:
    """Set the headers of each response by its route, and compress it if it holds no secret."""
    route = request.url_rule.rule if request.url_rule else None
    headers.complete(response, route, current_settings(), g.get("form_origins", ()))
    if not headers.rules_of(route).is_secret:
        compress(response, request.accept_encodings)
    return response


def allow_forms_to(origins: Iterable[str]) -> None:
    """Allow the forms of the current page to lead to these origins as well."""
    g.form_origins = tuple(origins)
