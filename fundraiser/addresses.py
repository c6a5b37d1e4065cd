"""E-mail addresses as people type them, and the one place that reads them."""

from __future__ import annotations

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
