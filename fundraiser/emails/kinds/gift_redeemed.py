"""A gift was accepted: to its giver."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Wording, compose
from fundraiser.emails.parts.gifts import (
    about_gift,
    example_about_gift,
    gift_values,
    name_of,
    what_is_given,
)
from fundraiser.outbox import OncePer
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from fundraiser.members.gifts import (
        Gift,
    )


def _body(session: Session, gift: Gift) -> Body:
    values = gift_values(session, gift)

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("%(name)s has accepted your gift", **name_of(v)),
            _("%(name)s has accepted your gift", **name_of(v)),
            [
                _("Thank you for giving a membership of %(newsroom)s.", newsroom=v["newsroom"]),
                _("It ends by itself, and nothing more is taken from you."),
            ],
        )

    rows = what_is_given(gift, values)
    if gift.redeemed_at:
        rows.append((_("Accepted on"), date(gift.redeemed_at)))
    return replace(
        compose(say, values, _("You get this letter because you paid for a gift.")), rows=rows
    )


KIND = Kind(
    label=lambda: _("Gift: accepted"),
    once_per=OncePer.RECIPIENT,
    body=about_gift(_body),
    example=example_about_gift(_body),
)
