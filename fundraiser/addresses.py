"""E-mail addresses and URLs as somebody sent them, and the one place that reads them."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from email_validator import EmailNotValidError, validate_email

LONGEST = 254  # characters, as RFC 5321 has it


def read_address(typed: str) -> str | None:
    """The e-mail address that somebody typed, without blanks around it; None if it is none.

    Its length comes first: what reads an address letter by letter can take hours over a long one.
    Whether its domain takes mail is not asked.
    """
    address = typed.strip()
    if not 0 < len(address) <= LONGEST:
        return None
    try:
        validate_email(address, check_deliverability=False)
    except EmailNotValidError:
        return None
    return address


def read_url(sent: str) -> SplitResult:
    """The parts of a URL, or none of them where it is none: ``http://[`` can't be split."""
    try:
        return urlsplit(sent)
    except ValueError:
        return urlsplit("")
