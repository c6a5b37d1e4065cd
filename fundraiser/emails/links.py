"""Signed links to the e-mail preferences, which need no sign-in."""

from __future__ import annotations

from dataclasses import dataclass

from itsdangerous import BadSignature

from fundraiser.config import current_settings
from fundraiser.errors import NotFoundError
from fundraiser.outbox import Topic
from fundraiser.security import link_signer
from fundraiser.texts import gettext as _

_PURPOSE = "letters"


@dataclass(frozen=True, slots=True)
class Reference:
    """Whose preferences: a member's (for one topic or all), or a reader's reminder."""

    member_id: int | None = None
    reminder_id: int | None = None
    topic: Topic | None = None


def address_of(reference: Reference) -> str:
    """The URL of the preferences."""
    if reference.reminder_id is not None:
        parts: list[object] = ["reminder", reference.reminder_id]
    else:
        parts = ["member", reference.member_id, reference.topic]
    return f"{current_settings().public_url}/letters/{link_signer(_PURPOSE).dumps(parts)}"


def read_token(token: str) -> Reference:
    """Verify the token of a preferences link.

    Raises:
        NotFoundError: we haven't made it.
    """
    try:
        whose, number, *topic = link_signer(_PURPOSE).loads(token)
    except (BadSignature, ValueError, TypeError) as error:
        raise NotFoundError(_("This link is incomplete. Open it from our e-mail again.")) from error
    if whose == "reminder":
        return Reference(reminder_id=number)
    return Reference(member_id=number, topic=Topic(topic[0]) if topic[0] else None)
