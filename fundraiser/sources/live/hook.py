"""Patreon's webhook: which member changed, for fetching (docs.patreon.com)."""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING

from sqlalchemy.dialects.postgresql import insert

from fundraiser.db import now
from fundraiser.errors import BadRequestError, NotFoundError
from fundraiser.jobs import Job, hint
from fundraiser.sources.models import LiveChange

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.config import PatreonAccess

_LONGEST_NAME = 64
_TRIGGERS = "members:"


class ForgedSourceWebhookError(BadRequestError):
    """A wrong signature, or a body without a member."""


def read(access: PatreonAccess | None, trigger: str, body: bytes, signature: str) -> str | None:
    """The member that a signed event is about; None if it is about something else.

    Raises:
        ForgedSourceWebhookError: the signature is wrong, or the body is no event.
        NotFoundError: no such webhook is configured.
    """
    if access is None or access.webhook_secret is None:
        raise NotFoundError("There is no webhook of Patreon's here.")
    # MD5 is what Patreon signs with; as a keyed hash it isn't broken.
    made = hmac.new(access.webhook_secret.encode(), body, "md5").hexdigest()
    if not hmac.compare_digest(made.encode(), signature.strip().lower().encode()):
        raise ForgedSourceWebhookError(
            "The signature does not fit this body: check PATREON_WEBHOOK_SECRET."
        )
    if not trigger.startswith(_TRIGGERS):
        return None
    try:
        data = json.loads(body)["data"]
        kind, name = data["type"], data["id"]
        campaign = data["relationships"]["campaign"]["data"]["id"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise ForgedSourceWebhookError("The body is signed, and it is no event of ours.") from None
    is_ours = kind == "member" and str(campaign) == access.campaign
    return name if is_ours and isinstance(name, str) and len(name) <= _LONGEST_NAME else None


def note(session: Session, source: str, reference: str) -> None:
    """Have this member fetched, once for several events."""
    statement = insert(LiveChange).values(source=source, reference=reference, told_at=now())
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[LiveChange.source, LiveChange.reference],
            set_={"told_at": statement.excluded.told_at},
        )
    )
    hint(session, Job.LIVE)
