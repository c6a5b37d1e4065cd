"""The card expires within 30 days."""

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
        _("Your card ending in %(card)s expires at the end of %(month)s", **of_card(v)),
        _("Your card expires soon"),
        [
            _(
                "You pay for your membership with the card ending in %(card)s. It "
                "expires at the end of %(month)s. When you get a new card, add it in "
                "your account.",
                **of_card(v),
            ),
            _(
                "Some banks update your card with us automatically. Then there’s nothing "
                "you need to do."
            ),
        ],
    )


KIND = Kind(
    label=lambda: _("Card expires within 30 days"),
    once_per=OncePer.CAUSE,
    due=card_expires(30, 7),
    body=about_membership(about_card(_say)),
    example=example_about(about_card(_say)),
)
