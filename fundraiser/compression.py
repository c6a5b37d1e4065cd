"""Compression of responses, by brotli or gzip, for deployments without a proxy.

Only responses that hold no secret may be given here: the length of a compressed page tells what
stands in it. See docs/decisions/compression.md.
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

import brotli

if TYPE_CHECKING:
    from werkzeug.datastructures import Accept
    from werkzeug.wrappers import Response

_KINDS = {
    "application/json",
    "image/svg+xml",
    "text/css",
    "text/html",
    "text/javascript",
}
_LEAST = 500  # bytes: less fits one packet anyway
# A page is compressed for each reader, in about 1 ms; a file that caches keep, once and thoroughly.
_QUICK, _THOROUGH = 5, 11


def compress(response: Response, accepted: Accept) -> None:
    """Compress a success in place by the coding that the client prefers.

    The ETag becomes a weak one: it names the content, whichever bytes it travels as.
    """
    if response.mimetype not in _KINDS or "Content-Encoding" in response.headers:
        return
    response.vary.add("Accept-Encoding")
    etag, _ = response.get_etag()
    if etag:
        response.set_etag(etag, weak=True)
    coding = accepted.best_match(["br", "gzip"])
    if coding is None or response.status_code != HTTPStatus.OK:
        return
    is_file = bool(etag) and response.mimetype in {"text/css", "text/javascript"}
    response.direct_passthrough = False  # Flask's files, else streamed
    body = response.get_data()
    if len(body) >= _LEAST:
        response.set_data(_pack_once(body, coding) if is_file else _pack(body, coding, _QUICK))
        response.headers["Content-Encoding"] = coding


def _pack(body: bytes, coding: str, quality: int) -> bytes:
    if coding == "gzip":
        return gzip.compress(body, min(quality, 9), mtime=0)
    packed: bytes = brotli.compress(body, quality=quality)
    return packed


@lru_cache(maxsize=64)
def _pack_once(body: bytes, coding: str) -> bytes:
    return _pack(body, coding, _THOROUGH)
