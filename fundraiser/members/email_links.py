"""Signed links in e-mails: with one of them a membership can be stopped or taken up again.

Such a link is no way in. It says what is paid and until when, and lives for as long as e-mails are
read.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from itsdangerous import BadData

from fundraiser.config import current_settings
from fundraiser.errors import NotFoundError
from fundraiser.members.models import Membership, Source
from fundraiser.security import timed_link_signer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from itsdangerous import URLSafeTimedSerializer
    from sqlalchemy.orm import Session

_READ_WITHIN = timedelta(days=60)
_PAYMENT, _UNDO = "payment-in-an-e-mail", "undo-an-address"


def membership_link(membership: Membership) -> str:
    """The address at which this membership is stopped, or taken up again, without signing in."""
    key = _signer().dumps(membership.id)
    return f"{current_settings().public_url}/account/letter/{key}"


def read_membership(session: Session, key: str) -> Membership:
    """The membership that an e-mail's link speaks of.

    Raises:
        NotFoundError: the link is cut, forged or too old.
    """
    try:
        membership_id = _signer().loads(key, max_age=int(_READ_WITHIN.total_seconds()))
    except BadData:
        membership_id = 0
    found = session.get(Membership, membership_id)
    if found is None or found.source is not Source.STRIPE:
        raise NotFoundError(
            _("This link is too old or not whole. Sign in to your membership instead.")
        )
    return found


def payment_link(case_id: int) -> str:
    """The address at which a late payment is used for a restart, or refunded."""
    key = _signer(_PAYMENT).dumps(case_id)
    return f"{current_settings().public_url}/account/payment/{key}"


def read_payment_link(key: str) -> int:
    """The id of the case that the link is about.

    Raises:
        NotFoundError: the link is cut or forged, or too old.
    """
    try:
        case_id = _signer(_PAYMENT).loads(key, max_age=int(_READ_WITHIN.total_seconds()))
    except BadData as error:
        raise NotFoundError(
            _(
                "This link is too old or incomplete. Reply to our e-mail, and we’ll restart your "
                "membership or refund your payment."
            )
        ) from error
    return int(case_id)


def undo_link(change_id: int) -> str:
    """The address at which a change of a member's address is undone, without signing in."""
    key = _signer(_UNDO).dumps(change_id)
    return f"{current_settings().public_url}/account/email/undo/{key}"


def read_undo_link(key: str) -> int:
    """The id of the change that the link undoes; whether it still can be is for the change to say.

    Raises:
        NotFoundError: the link is cut or forged.
    """
    try:
        return int(_signer(_UNDO).loads(key))
    except BadData as error:
        raise NotFoundError(_("This link is incomplete. Open it from our e-mail again.")) from error


def _signer(purpose: str = "membership-in-a-letter") -> URLSafeTimedSerializer:
    return timed_link_signer(purpose)
