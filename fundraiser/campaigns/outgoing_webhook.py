"""Send signed webhooks to a campaign's site, to public addresses only.

The signature follows https://www.standardwebhooks.com, so many libraries can verify it.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import json
import socket
import ssl
import threading
from contextlib import suppress
from enum import StrEnum
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from fundraiser.config import LOOPBACK, current_settings
from fundraiser.db import now
from fundraiser.errors import UnprocessableError
from fundraiser.security import hmacs
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from fundraiser.campaigns.models import Campaign

PATIENCE = 10.0  # seconds for all of it: connecting, agreeing on keys, sending, the answer's head
_LONGEST, _HTTP, _HTTPS = 500, 80, 443
_GOOD = range(200, 300)
# All that is public in IPv6 is in here; of the rest, much has an address of IPv4 packed into it.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
# Not for the public, by IANA's registries, which not every Python since 3.11 knows in full.
_RESERVED = [ipaddress.ip_network(one) for one in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")]


class Fault(StrEnum):
    """Why a webhook failed; other failures are the response's status as digits."""

    UNKNOWN = "unknown"
    PRIVATE = "private"
    UNTRUSTED = "untrusted"
    SILENT = "silent"


class HookError(Exception):
    """The webhook failed; the message is a ``Fault`` or the response's status."""


def is_demonstration() -> bool:
    """Whether everything runs on one machine, so that the site isn't public either."""
    return current_settings().public_url.startswith("http://")


def read_hook_url(text: str) -> str:
    """Parse a webhook URL.

    Raises:
        UnprocessableError: it isn't https; a demonstration may use http on this machine.
    """
    try:
        parts = urlsplit(text.strip())
        host = (parts.hostname or "").encode("idna").decode()
        port = f":{parts.port}" if parts.port else ""
    except (ValueError, UnicodeError):
        parts, host, port = urlsplit(""), "", ""
    is_ours = parts.scheme == "http" and host in LOOPBACK and is_demonstration()
    is_plain = text.isascii() and text.strip().isprintable() and " " not in text.strip()
    if not host or parts.username or not is_plain or not (parts.scheme == "https" or is_ours):
        raise UnprocessableError(
            _("Enter an address that starts with https://, like https://news.example.org/hooks."),
            field="webhook_url",
        )
    address = urlunsplit((parts.scheme, f"{host}{port}", parts.path or "/", parts.query, ""))
    if len(address) > _LONGEST:
        raise UnprocessableError(
            _("Enter %(count)s characters or fewer.", count=_LONGEST), field="webhook_url"
        )
    return address


def secret_of(campaign: Campaign) -> str:
    """The webhook's signing secret; a copy of the database alone can't reproduce it."""
    return f"whsec_{base64.b64encode(_keys_of(campaign)[0]).decode()}"


def _keys_of(campaign: Campaign) -> list[bytes]:
    """The signing keys from each of our keys, newest first: the site may have an older one."""
    return hmacs(f"hook {campaign.slug} {campaign.webhook_salt}")


def tell(campaign: Campaign, name: str, content: dict[str, Any]) -> None:
    """Send signed content to the campaign's site, which recognises repeats by their ID.

    Raises:
        HookError: the site didn't accept it.
    """
    body = json.dumps(content, separators=(",", ":")).encode()
    at = str(int(now().timestamp()))
    signed = f"{name}.{at}.".encode() + body
    signatures = [hmac.digest(key, signed, "sha256") for key in _keys_of(campaign)]
    _post(
        campaign.webhook_url or "",
        body,
        {
            "Content-Type": "application/json",
            "User-Agent": "fundraiser",
            "Webhook-Id": name,
            "Webhook-Timestamp": at,
            "Webhook-Signature": " ".join(
                f"v1,{base64.b64encode(signature).decode()}" for signature in signatures
            ),
        },
    )


def _post(url: str, body: bytes, headers: dict[str, str]) -> None:
    parts = urlsplit(url)
    host, is_secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (_HTTPS if is_secure else _HTTP)
    connection = _Connection(host, _public_address(host, port), is_secure=is_secure)
    # A time-out of the socket is for one read: a byte now and then would hold us for as long.
    over = threading.Timer(PATIENCE, connection.give_up)
    over.daemon = True
    over.start()
    try:
        # We connect to the address that was looked at; redirects, which lead elsewhere, end here.
        path = urlunsplit(("", "", parts.path, parts.query, ""))
        connection.request("POST", path, body, {"Host": parts.netloc, **headers})
        status = connection.getresponse().status
    except ssl.SSLCertVerificationError as error:
        raise HookError(Fault.UNTRUSTED) from error
    except (OSError, HTTPException) as error:
        raise HookError(Fault.SILENT) from error
    finally:
        over.cancel()
        connection.close()
    if status not in _GOOD:
        raise HookError(str(status))


def _public_address(host: str, port: int) -> tuple[str, int]:
    """Resolve a host name to an address, if all its addresses are public.

    Raises:
        HookError: the name is unknown, or leads to a private network.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise HookError(Fault.UNKNOWN) from error
    addresses = [str(address[0]) for *_rest, address in found]
    if not all(_is_public(address) for address in addresses) and not is_demonstration():
        raise HookError(Fault.PRIVATE)
    return addresses[0], port


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if mapped := address.ipv4_mapped:
            address = mapped
        elif address not in _GLOBAL_UNICAST or address.sixtofour or address.teredo:
            return False
    if any(address in network for network in _RESERVED):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


class _Connection(HTTPConnection):
    """A connection to an already resolved address; the certificate must match the name."""

    def __init__(self, host: str, address: tuple[str, int], *, is_secure: bool) -> None:
        super().__init__(host, address[1], timeout=PATIENCE)
        self._address = address
        self._context = ssl.create_default_context() if is_secure else None

    def connect(self) -> None:
        self.sock = socket.create_connection(self._address, PATIENCE)
        if self._context:
            self.sock = self._context.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()

    def give_up(self) -> None:
        """Close the connection, so that the thread waiting for it stops."""
        if self.sock:
            with suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
