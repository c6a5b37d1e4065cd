"""A payment has failed for a week."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Wording
from fundraiser.emails.parts.failed_payments import failed
from fundraiser.emails.parts.memberships import about_membership, example_about
from fundraiser.emails.parts.queries import payment_failed
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping


def _say(v: Mapping[str, str], *, by_card: bool) -> Wording:
    return Wording(
        _("Your %(amount)s payment is a week overdue", amount=v["amount"]),
        _("Try another card to stay a member") if by_card else _("Your payment is a week overdue"),
        [
            _(
                "Your %(amount)s payment hasn’t gone through for a week. If it isn’t "
                "paid, you’re counted as a member until %(until)s.",
                amount=v["amount"],
                until=v["until"],
            ),
            _("Paying with another card takes a minute, and you don’t need to sign in.")
            if by_card
            else _("Paying another way takes a minute, and you don’t need to sign in."),
        ],
    )


KIND = Kind(
    label=lambda: _("Payment failed: after 7 days"),
    once_per=OncePer.CAUSE,
    due=payment_failed(7, 12),
    body=about_membership(failed(_say)),
    example=example_about(failed(_say), unpaid=True),
)
