"""Signed links in e-mails that cancel or restart a membership without signing in.

A link is no sign-in. It shows the price and the paid period, and works for as long as people read
old e-mails.
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
    """The URL to cancel or restart this membership without signing in."""
    key = _signer().dumps(membership.id)
    return f"{current_settings().public_url}/account/letter/{key}"


def read_membership(session: Session, key: str) -> Membership:
    """Find the membership of an e-mailed link.

    Raises:
        NotFoundError: the link is truncated, forged or too old.
    """
    try:
        membership_id = _signer().loads(key, max_age=int(_READ_WITHIN.total_seconds()))
    except BadData:
        membership_id = 0
    found = session.get(Membership, membership_id)
    if found is None or found.source is not Source.STRIPE:
        raise NotFoundError(
            _("This link has expired or is incomplete. Sign in to your account instead.")
        )
    return found


def payment_link(case_id: int) -> str:
    """The URL to use a late payment for a restart, or to get it refunded."""
    key = _signer(_PAYMENT).dumps(case_id)
    return f"{current_settings().public_url}/account/payment/{key}"


def read_payment_link(key: str) -> int:
    """Read the money case's ID from an e-mailed link.

    Raises:
        NotFoundError: the link is truncated, forged or too old.
    """
    try:
        case_id = _signer(_PAYMENT).loads(key, max_age=int(_READ_WITHIN.total_seconds()))
    except BadData as error:
        raise NotFoundError(
            _(
                "This link has expired or is incomplete. Reply to our e-mail, and "
                "we’ll restart your membership or refund your payment."
            )
        ) from error
    return int(case_id)


def undo_link(change_id: int) -> str:
    """The URL to undo a change of a member's address without signing in."""
    key = _signer(_UNDO).dumps(change_id)
    return f"{current_settings().public_url}/account/email/undo/{key}"


def read_undo_link(key: str) -> int:
    """Read the address change's ID from an e-mailed link; the change says whether it can be undone.

    Raises:
        NotFoundError: the link is truncated or forged.
    """
    try:
        return int(_signer(_UNDO).loads(key))
    except BadData as error:
        raise NotFoundError(_("This link is incomplete. Open it from our e-mail again.")) from error


def _signer(purpose: str = "membership-in-a-letter") -> URLSafeTimedSerializer:
    return timed_link_signer(purpose)
