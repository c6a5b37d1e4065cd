"""Signed addresses in e-mails: they say who and what about, so that nobody needs to sign in."""

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
    """Whose e-mails: a member's (then of a topic, if one) or those to a reader's address."""

    member_id: int | None = None
    reminder_id: int | None = None
    topic: Topic | None = None


def address_of(reference: Reference) -> str:
    """The page of which e-mails one gets."""
    if reference.reminder_id is not None:
        parts: list[object] = ["reminder", reference.reminder_id]
    else:
        parts = ["member", reference.member_id, reference.topic]
    return f"{current_settings().public_url}/letters/{link_signer(_PURPOSE).dumps(parts)}"


def read_token(token: str) -> Reference:
    """What an address was made for.

    Raises:
        NotFoundError: we have not made it.
    """
    try:
        whose, number, *topic = link_signer(_PURPOSE).loads(token)
    except (BadSignature, ValueError, TypeError) as error:
        raise NotFoundError(
            _("This address is not whole. Open it from the letter again.")
        ) from error
    if whose == "reminder":
        return Reference(reminder_id=number)
    return Reference(member_id=number, topic=Topic(topic[0]) if topic[0] else None)
