"""A payment failed: on the day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Wording
from fundraiser.emails.parts.failed_payments import failed
from fundraiser.emails.parts.memberships import about_membership, example_about
from fundraiser.emails.parts.queries import payment_failed
from fundraiser.members.models import Membership
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping


def _say(v: Mapping[str, str], *, by_card: bool) -> Wording:
    subject = _("Your %(amount)s payment failed", amount=v["amount"])
    return Wording(
        subject,
        subject,
        [
            _(
                "Your bank declined it on %(date)s. You weren’t charged, and you’re "
                "still a member.",
                date=v["date"],
            ),
            _(
                "We’ll try again in the next few days. If you’ve lost the card or it "
                "has expired, pay with another one now."
            )
            if by_card
            else _("We may try again in the next few days. You can also pay another way now."),
        ],
    )


KIND = Kind(
    label=lambda: _("Payment failed: same day"),
    once_per=OncePer.CAUSE,
    due=payment_failed(0, 3, Membership.needs_confirmation.is_(False)),
    body=about_membership(failed(_say)),
    example=example_about(failed(_say), unpaid=True),
)
