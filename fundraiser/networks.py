"""The client's address and networks, for rate limits.

We store none of them: limits keep a keyed hash of a network in Redis, for minutes.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from flask import request

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

FORWARDED = frozenset(
    {
        *("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"),
        *("X-Real-Ip", "Cf-Connecting-Ip", "Fly-Client-Ip", "True-Client-Ip"),
    }
)
_NOBODY = "0.0.0.0"  # noqa: S104 - who came by a socket without addresses
_LONGEST = 64  # characters; with a port, brackets and an interface's name


class PlainAddress:
    """WSGI middleware behind ``ProxyFix`` that reduces ``REMOTE_ADDR`` to a plain IP address.

    Proxies may write it with a port, in brackets, as "unknown" or as a name. If it isn't an
    address, we use the address of the proxy that wrote it.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        sender = environ.get("werkzeug.proxy_fix.orig", {}).get("REMOTE_ADDR")
        found = read_address(environ.get("REMOTE_ADDR")) or read_address(sender)
        environ["REMOTE_ADDR"] = str(found) if found else _NOBODY
        return self._app(environ, start_response)


def read_address(text: str | None) -> IPv4Address | IPv6Address | None:
    """Parse an address as proxies and servers write it; None if there is none.

    An IPv4 address written as IPv6 (``::ffff:203.0.113.7``) becomes the IPv4 address.
    """
    text = (text or "").strip()
    if len(text) > _LONGEST:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found


def is_passed_on() -> bool:
    """Whether the request claims that a proxy forwarded it."""
    return any(name in request.headers for name in FORWARDED)


def sender() -> IPv4Address | IPv6Address:
    """The address of the current request's client."""
    return read_address(request.remote_addr) or ip_address(_NOBODY)


def near() -> str:
    """The smallest network that is certainly one connection: an IPv4 address, an IPv6 /64."""
    return _around(32, 64)


def for_guesses() -> str:
    """The network for counting wrong passwords and codes: IPv4 /24, IPv6 /56."""
    return _around(24, 56)


def wide() -> str:
    """The network that a provider gives a household or shares among users: IPv4 /24, IPv6 /48."""
    return _around(24, 48)


def _around(bits: int, bits_v6: int) -> str:
    address = sender()
    return str(ip_network((address, bits if address.version == 4 else bits_v6), strict=False))  # noqa: PLR2004 - IP's own number
