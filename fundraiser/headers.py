"""Response headers of every route: caching, embedding and framing, in one table.

``security`` adds them to the app's responses. Code in front of the app (the number, webhooks,
refusals) reads them here.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from werkzeug.wrappers import Response

    from fundraiser.config import Settings

NO_STORE = "no-store"
# A cache may answer in our place for a second, and while we are away.
FRESH = "public, max-age=1, stale-while-revalidate=2, stale-if-error=86400"
MINUTES = "public, max-age=300, stale-while-revalidate=86400, stale-if-error=604800"
FOR_EVER = "public, max-age=31536000, immutable"
CHECKED = "public, no-cache"  # kept, and asked for each time with its ETag
FILE = "no-cache"

ANYWHERE = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Timing-Allow-Origin": "*",
}
NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
# On these a page's headers say nothing, and the widget's script would be a third larger by them.
_NEVER_A_PAGE = {"text/javascript", "text/css", "font/woff2", "image/png"}
_NO_DEVICES = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


@dataclass(frozen=True, slots=True)
class Rules:
    """The header rules of one route, or of all routes below it.

    ``caching``: the allowed Cache-Control values of a success, the default first; errors are never
    stored. ``is_for_any_site``: other sites may read and embed it. ``is_framed``: any site may
    frame it. ``is_secret``: it may hold something of one person, so it is never compressed
    (docs/decisions/compression.md).
    """

    caching: tuple[str, ...] = (NO_STORE,)
    is_for_any_site: bool = False
    is_framed: bool = False
    is_secret: bool = False


PAGE = Rules()
PRIVATE = Rules(is_secret=True)
# Each address that anybody may ask for, as the app's map of routes writes it.
ADDRESSES = {
    "/": PAGE,
    "/campaigns": PAGE,
    "/campaigns/<slug>": PAGE,
    "/campaigns/<slug>/appearance": Rules((FRESH, MINUTES), is_for_any_site=True),
    "/campaigns/<slug>/embed": Rules((FRESH,), is_for_any_site=True, is_framed=True),
    "/campaigns/<slug>/members": Rules((CHECKED,)),
    "/campaigns/<slug>/pictures/<name>.jpg": Rules((FOR_EVER,)),
    "/campaigns/<slug>/progress.png": Rules((FRESH,), is_for_any_site=True),
    "/campaigns/<slug>/progress.svg": Rules((FRESH,), is_for_any_site=True),
    "/campaigns/<slug>/reminder": PRIVATE,
    "/<any('embed.css', 'embed.js'):name>": Rules((MINUTES,), is_for_any_site=True),
    "/gift": PAGE,
    "/healthz": PRIVATE,
    "/how-we-count": PAGE,
    "/join": PAGE,
    "/join/thanks": PRIVATE,
    "/metrics": PRIVATE,
    "/oembed": Rules((FRESH,), is_for_any_site=True),
    "/readyz": PRIVATE,
    "/static/<path:filename>": Rules((FILE,)),
    "/terms": PRIVATE,  # its header signs a member out
    "/widget-<name>.js": Rules((FOR_EVER,), is_for_any_site=True),
    "/widget.js": Rules((MINUTES,), is_for_any_site=True),
}
# All below these addresses is somebody's own.
AREAS = {
    "/account": PRIVATE,
    "/gift": PRIVATE,
    "/letters": PRIVATE,
    "/staff": PRIVATE,
    "/webhooks": PRIVATE,
}


def find_rules(route: str) -> Rules | None:
    """The rules of a route, as in the app's URL map; None if the table has none."""
    return ADDRESSES.get(route) or AREAS.get("/" + route.split("/")[1])


def rules_of(route: str | None) -> Rules:
    """The rules that a response is given: those of its route, or the strictest."""
    return (route and find_rules(route)) or PRIVATE


def of_transport(settings: Settings) -> dict[str, str]:
    """The HSTS header for all responses, if we are reached by https."""
    if not settings.public_url.startswith("https://"):
        return {}
    return {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}


def of_refusal(settings: Settings) -> dict[str, str]:
    """Headers of responses made in front of the app: errors, or a webhook's 204."""
    return {
        "Cache-Control": NO_STORE,
        "Cross-Origin-Resource-Policy": "same-origin",
        **NO_SNIFFING,
        **of_transport(settings),
    }


def complete(
    response: Response, route: str | None, settings: Settings, form_origins: Iterable[str]
) -> None:
    """Set a response's headers from the table, overriding its view."""
    rules = rules_of(route)
    headers = response.headers
    is_error = response.status_code >= HTTPStatus.BAD_REQUEST
    if is_error or headers.get("Cache-Control") not in rules.caching:
        headers["Cache-Control"] = NO_STORE if is_error else rules.caching[0]
    headers.update(NO_SNIFFING | of_transport(settings))
    headers.update(
        ANYWHERE if rules.is_for_any_site else {"Cross-Origin-Resource-Policy": "same-origin"}
    )
    if response.mimetype not in _NEVER_A_PAGE:
        headers.update(of_a_page(settings, rules, form_origins))


def of_a_page(
    settings: Settings, rules: Rules = PRIVATE, form_origins: Iterable[str] = ()
) -> dict[str, str]:
    """The headers of an HTML page, with its content security policy and framing rules."""
    common = {
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": _NO_DEVICES,
    }
    if rules.is_framed:
        return common | {"Content-Security-Policy": _frame_policy(settings)}
    return common | {
        "Content-Security-Policy": _page_policy(settings, form_origins),
        "X-Frame-Options": "DENY",
    }


def _page_policy(settings: Settings, form_origins: Iterable[str]) -> str:
    """The CSP of our pages: load only from us; forms may lead to us and to Checkout."""
    forms = ("'self'", settings.checkout_origin, settings.portal_origin, *form_origins)
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "font-src 'self'",
            "connect-src 'self'",
            "manifest-src 'self'",
            f"form-action {' '.join(dict.fromkeys(forms))}",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    )


def _frame_policy(settings: Settings) -> str:
    """The CSP of the framed page, without ``'self'``, which matches nothing in a sandbox."""
    url = settings.public_url
    return (
        f"default-src 'none'; script-src {url}; style-src {url}; connect-src {url}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors *"
    )
