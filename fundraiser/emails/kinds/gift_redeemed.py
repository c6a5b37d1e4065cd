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
            _("Your gift for %(name)s has been accepted", **name_of(v)),
            _("Your gift for %(name)s has been accepted", **name_of(v)),
            [
                _(
                    "Thank you for giving somebody a membership of %(newsroom)s.",
                    newsroom=v["newsroom"],
                ),
                _("It ends automatically, and you won’t be charged for it again."),
            ],
        )

    rows = what_is_given(gift, values)
    if gift.redeemed_at:
        rows.append((_("Accepted on"), date(gift.redeemed_at)))
    return replace(
        compose(say, values, _("You’re getting this e-mail because you paid for a gift.")),
        is_member=False,
        rows=rows,
    )


KIND = Kind(
    label=lambda: _("Gift: accepted (to the giver)"),
    once_per=OncePer.RECIPIENT,
    body=about_gift(_body),
    example=example_about_gift(_body),
)
