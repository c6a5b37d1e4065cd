"""The card expires within 7 days."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Wording
from fundraiser.emails.parts.cards import about_card, of_card
from fundraiser.emails.parts.memberships import about_membership, example_about
from fundraiser.emails.parts.queries import card_expires
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping


def _say(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("Your card ending in %(card)s expires in a few days", card=v["card"]),
        _("Your card expires in a few days"),
        [
            _(
                "Your card ending in %(card)s expires at the end of %(month)s, and "
                "your next payment is due on %(date)s. Add your new card so that your "
                "payments go through.",
                date=v["date"],
                **of_card(v),
            ),
        ],
    )


KIND = Kind(
    label=lambda: _("Card expires within 7 days"),
    once_per=OncePer.CAUSE,
    due=card_expires(7, 0),
    body=about_membership(about_card(_say)),
    example=example_about(about_card(_say)),
)
