"""A gift was refunded: to its giver."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Wording, compose
from fundraiser.emails.parts.gifts import (
    amount_of,
    example_about_gift,
    gift_values,
    gift_without_money,
    name_of,
    what_is_given,
)
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _

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
            _("Your gift for %(name)s was paid back", **name_of(v)),
            _("Your gift for %(name)s was paid back", **name_of(v)),
            [
                _(
                    "We have paid back %(amount)s. Your bank may take up to ten days to show it.",
                    **amount_of(v),
                ),
                _(
                    "The code is good no longer. If it was used, the membership has ended with it, "
                    "and we write that to whoever had it."
                ),
            ],
        )

    return replace(
        compose(say, values, _("You get this letter because you paid for a gift.")),
        rows=[*what_is_given(gift, values), (_("Paid back"), values["amount"])],
    )


KIND = Kind(
    label=lambda: _("Gift: paid back, to its giver"),
    once_per=OncePer.RECIPIENT,
    body=lambda session, email: _body(session, gift_without_money(session, email)[0]),
    example=example_about_gift(_body),
    resendable=True,
)
