"""The last e-mail about a payment that failed, two days before the grace period ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.config import current_settings
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Wording
from fundraiser.emails.parts.failed_payments import failed
from fundraiser.emails.parts.memberships import about_membership, example_about
from fundraiser.emails.parts.queries import day_of_the_last, failing
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping


def _say(v: Mapping[str, str], *, by_card: bool) -> Wording:
    return Wording(
        _("Your membership ends on %(until)s unless it’s paid", until=v["until"]),
        _("This is our last e-mail about your payment"),
        [
            _(
                "Your bank declined your %(amount)s payment. If it isn’t paid by "
                "%(until)s, you’ll no longer be counted as a member.",
                amount=v["amount"],
                until=v["until"],
            ),
            _("If you want to stay, pay with another card before then.")
            if by_card
            else _("If you want to stay, pay before then."),
        ],
    )


KIND = Kind(
    label=lambda: _("Payment failed: after 12 days"),
    once_per=OncePer.CAUSE,
    due=lambda at: failing(at, day_of_the_last(), current_settings().grace_days),
    body=about_membership(failed(_say)),
    example=example_about(failed(_say), unpaid=True),
)
