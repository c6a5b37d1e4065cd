"""E-mails about a card that expires."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.config import current_settings
from fundraiser.emails.parts.body import Body, Link, Wording, compose
from fundraiser.emails.parts.memberships import MembershipBody, needs
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fundraiser.members.models import Membership


def about_card(say: Callable[[Mapping[str, str]], Wording]) -> MembershipBody:
    """The body of an e-mail about a card."""

    def body(_membership: Membership, values: dict[str, str]) -> Body:
        needs(values, "card", "month", "date")
        return replace(
            compose(
                say,
                values,
                _("You’re getting this e-mail because you pay for your membership with this card."),
            ),
            rows=[
                (_("You pay"), values["each"]),
                (_("Next payment"), values["date"]),
                (_("Card"), _("ending in %(card)s, expires %(month)s", **of_card(values))),
            ],
            link=Link(_("Add your new card"), f"{current_settings().public_url}/account"),
        )

    return body


def of_card(values: Mapping[str, str]) -> dict[str, str]:
    """The card's last digits and expiry month."""
    return {"card": values["card"], "month": values["month"]}
