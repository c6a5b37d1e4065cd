"""Parts of e-mails with a code that verifies an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.emails.parts.body import NotDueError
from fundraiser.members.addresses import Minted, address_to_check, mint

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.outbox import Email

EXAMPLE_CODE = Minted("", "", "123456")


def minted_of(session: Session, email: Email) -> Minted:
    """A new code and token for the request in the e-mail's context.

    Raises:
        NotDueError: the request is too old, or was used.
    """
    minted = mint(session, email.context["check"])
    if minted is None:
        raise NotDueError("The code was not wanted any more before the e-mail could leave.")
    return minted


def address_of_check(session: Session, email: Email) -> str | None:
    """The address to verify, which may not be the member's yet."""
    return address_to_check(session, email.context.get("check", 0))
