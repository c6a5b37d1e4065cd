"""A gift is paid for: the code and the card, to its giver."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, Wording, compose
from fundraiser.emails.parts.gifts import (
    about_gift,
    amount_of,
    code_row,
    example_about_gift,
    gift_values,
    what_is_given,
)
from fundraiser.members.gifts import Gift, card_address
from fundraiser.outbox import OncePer
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session


def _body(session: Session, gift: Gift) -> Body:
    values = gift_values(session, gift)

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your gift for %(name)s: the code and the card", name=v["recipient"]),
            _("Your gift for %(name)s is paid", name=v["recipient"]),
            [
                _(
                    "Thank you. We took %(amount)s, once, and nothing more is taken.",
                    **amount_of(v),
                ),
                _told_when(gift, v["recipient"]),
                _(
                    "The membership begins on the day on which the code is used. It has no end; "
                    "whoever has it can use it, once."
                ),
            ],
        )

    return replace(
        compose(say, values, _("You get this letter because you paid for a gift.")),
        rows=[*code_row(gift), *what_is_given(gift, values), (_("You paid"), values["amount"])],
        link=Link(_("See and print the card"), card_address(gift)),
    )


def _told_when(gift: Gift, name: str) -> str:
    if gift.tell_at is None:
        return _("You give it yourself: print the card, or write the code into one of your own.")
    if gift.tell_at <= gift.paid_at:
        return _("We have written to %(name)s as well, and sent the code.", name=name)
    return _(
        "We write to %(name)s on %(date)s and send the code. You can print the card as well.",
        name=name,
        date=date(gift.tell_at),
    )


KIND = Kind(
    label=lambda: _("Gift: paid, to its giver"),
    urgent=True,
    once_per=OncePer.CAUSE,
    body=about_gift(_body),
    example=example_about_gift(_body),
    resendable=True,
)
