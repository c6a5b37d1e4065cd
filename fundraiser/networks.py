"""Whose request it is, as far as limits go: its address, and the networks around that.

Nothing here is stored as it is. Limits keep a keyed hash of a network, for minutes, in Redis.
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
    """WSGI layer behind ``ProxyFix``: ``REMOTE_ADDR`` becomes an address and nothing else.

    Proxies write it with a port, in brackets, or as "unknown" or a name of their own. What is no
    address gives way to that of the proxy which said so.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        sender = environ.get("werkzeug.proxy_fix.orig", {}).get("REMOTE_ADDR")
        found = read_address(environ.get("REMOTE_ADDR")) or read_address(sender)
        environ["REMOTE_ADDR"] = str(found) if found else _NOBODY
        return self._app(environ, start_response)


def read_address(text: str | None) -> IPv4Address | IPv6Address | None:
    """The address in what a proxy or a server wrote; None if there is none.

    An IPv4 address written as IPv6 (``::ffff:203.0.113.7``) is the IPv4 address.
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
    """Whether a proxy says, truly or not, that it passes on this request."""
    return any(name in request.headers for name in FORWARDED)


def sender() -> IPv4Address | IPv6Address:
    """The address that the request comes from."""
    return read_address(request.remote_addr) or ip_address(_NOBODY)


def near() -> str:
    """The smallest network that is surely one connection: an IPv4 address, an IPv6 /64."""
    return _around(32, 64)


def for_guesses() -> str:
    """The network for which tries at passwords and codes are counted: IPv4 /24, IPv6 /56."""
    return _around(24, 56)


def wide() -> str:
    """The network that a provider gives to a house or hands around: IPv4 /24, IPv6 /48."""
    return _around(24, 48)


def _around(bits: int, bits_v6: int) -> str:
    address = sender()
    return str(ip_network((address, bits if address.version == 4 else bits_v6), strict=False))  # noqa: PLR2004 - IP's own number
