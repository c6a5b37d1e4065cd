"""Write e-mail messages as bytes (RFC 5322 and MIME).

The standard library's ``EmailMessage`` parses every header before writing it, which took longer
than everything else. It also encoded the long URL in ``List-Unsubscribe``, where mailboxes decode
nothing (RFC 2047, section 5).
"""

from __future__ import annotations

import quopri
import re
from dataclasses import dataclass
from email.header import Header
from email.utils import formataddr

# Can't be in a part: there two digits or the end of the line follow "=".
_BOUNDARY = "=_alternative"
# Folded or not, each line with fewer than the 998 characters that are allowed.
_VALUE = re.compile(r"[ -~]{0,900}(\r\n [ -~]{1,900}){0,20}")


@dataclass(frozen=True, slots=True)
class Message:
    """A message to one recipient: both addresses for the mail server, and its bytes."""

    sender: str
    recipient: str
    source: bytes


def in_words(text: str, header: str) -> str:
    """Format a header's text: folded, and encoded if it isn't ASCII (RFC 2047).

    Line breaks become spaces, so that no text can start another header.
    """
    words, charset = " ".join(text.splitlines()), None if _is_plain(text) else "utf-8"
    return Header(words, charset, maxlinelen=75, header_name=header).encode(linesep="\r\n")


def mailbox(name: str, address: str, header: str) -> str:
    """Format a name and address for a header."""
    if _is_plain(name):
        return formataddr((name, address))
    return f"{in_words(name, header)} <{address}>"


def write_source(headers: dict[str, str], text: str, html: str) -> bytes:
    """Write a message with a plain text and an HTML part, as bytes.

    Raises:
        ValueError: a header's value is invalid.
    """
    headers = headers | {
        "MIME-Version": "1.0",
        "Content-Type": f'multipart/alternative; boundary="{_BOUNDARY}"',
    }
    for name, value in headers.items():
        if not _VALUE.fullmatch(value):
            raise ValueError(f"{name} can't be written as it stands.")
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    parts = _part("plain", text) + _part("html", html)
    return head.encode() + parts + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _part(subtype: str, text: str) -> bytes:
    head = (
        f"\r\n--{_BOUNDARY}\r\n"
        f'Content-Type: text/{subtype}; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    # Of bytes, splitlines() knows no ends of lines but those of mail. Each line gets its end: from
    # the first one the encoder takes how it ends those that it breaks.
    lines = b"".join(line + b"\r\n" for line in text.encode().splitlines())
    return head.encode() + quopri.encodestring(lines)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and "=?" not in text
