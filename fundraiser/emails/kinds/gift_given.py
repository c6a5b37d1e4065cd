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
            _("Your gift for %(name)s: code and card", name=v["recipient"]),
            _("Your gift for %(name)s is paid", name=v["recipient"]),
            [
                _(
                    "Thank you. Your %(amount)s payment has gone through. It’s a "
                    "single payment: you won’t be charged for this gift again.",
                    **amount_of(v),
                ),
                _told_when(gift, v["recipient"]),
                _(
                    "The membership starts on the day the code is used. The code "
                    "doesn’t expire, and anybody who has it can use it, once."
                ),
            ],
        )

    return replace(
        compose(say, values, _("You’re getting this e-mail because you paid for a gift.")),
        is_member=False,
        rows=[*code_row(gift), *what_is_given(gift, values), (_("You paid"), values["amount"])],
        link=Link(_("View and print the card"), card_address(gift)),
    )


def _told_when(gift: Gift, name: str) -> str:
    if gift.tell_at is None:
        return _("You hand it over yourself: print our card, or write the code in one of your own.")
    if gift.tell_at <= gift.paid_at:
        return _("We’re e-mailing the code to %(name)s as well.", name=name)
    return _(
        "We’ll e-mail the code to %(name)s on %(date)s. You can print the card too.",
        name=name,
        date=date(gift.tell_at),
    )


KIND = Kind(
    label=lambda: _("Gift: paid (to the giver)"),
    urgent=True,
    once_per=OncePer.CAUSE,
    body=about_gift(_body),
    example=example_about_gift(_body),
    resendable=True,
)
