"""Parse e-mail addresses and URLs from untrusted input."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from email_validator import EmailNotValidError, validate_email

LONGEST = 254  # characters, as RFC 5321 has it


def read_address(typed: str) -> str | None:
    """Parse a typed e-mail address, without surrounding spaces; None if it is invalid.

    Checks the length first, because parsing a very long address can take hours. Doesn't check
    whether the domain accepts mail.
    """
    address = typed.strip()
    if not 0 < len(address) <= LONGEST:
        return None
    try:
        validate_email(address, check_deliverability=False)
    except EmailNotValidError:
        return None
    return address


def to_ascii(address: str) -> str | None:
    """An address as every mail server accepts it, with an international domain in Punycode.

    None if there is no such form: letters like ü before the @ need SMTPUTF8, which few servers
    have.
    """
    local, _, domain = address.rpartition("@")
    try:
        ascii_domain = domain.encode("idna").decode()
    except UnicodeError:
        return None
    return f"{local}@{ascii_domain}" if local.isascii() else None


def read_url(sent: str) -> SplitResult:
    """Split a URL; all parts are empty if it is invalid, like ``http://[``."""
    try:
        return urlsplit(sent)
    except ValueError:
        return urlsplit("")
