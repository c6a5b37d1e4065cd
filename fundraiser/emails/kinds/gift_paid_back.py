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
            _("We’ve refunded your gift for %(name)s", **name_of(v)),
            _("We’ve refunded your gift for %(name)s", **name_of(v)),
            [
                _(
                    "We’ve refunded %(amount)s. Your bank may need up to ten days to show it.",
                    **amount_of(v),
                ),
                _(
                    "The code no longer works. If it had been used, that membership "
                    "has ended, and we’re e-mailing the person who had it."
                ),
            ],
        )

    return replace(
        compose(say, values, _("You’re getting this e-mail because you paid for a gift.")),
        is_member=False,
        rows=[*what_is_given(gift, values), (_("Refunded"), values["amount"])],
    )


KIND = Kind(
    label=lambda: _("Gift: refunded (to the giver)"),
    once_per=OncePer.RECIPIENT,
    body=lambda session, email: _body(session, gift_without_money(session, email)[0]),
    example=example_about_gift(_body),
    resendable=True,
)
