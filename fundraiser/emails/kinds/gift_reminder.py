"""A gift has not been accepted: to its giver, once, after a month."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import func

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, NotDueError, Wording, compose
from fundraiser.emails.parts.gifts import (
    IS_WAITING,
    about_gift,
    code_row,
    example_about_gift,
    gift_values,
    name_of,
    what_is_given,
)
from fundraiser.emails.parts.queries import Due, days, due_to
from fundraiser.members.gifts import Gift, card_address
from fundraiser.members.models import Member
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session


def _due(at: datetime) -> Due:
    """Once, a month after the recipient was told or the card could be printed."""
    told_at = func.coalesce(Gift.tell_at, Gift.paid_at)
    return (
        due_to(Gift.giver_id, Gift.charge_id, gift=Gift.id)
        .join(Member, Member.id == Gift.giver_id)
        .where(
            told_at <= at - days(30),
            told_at > at - days(60),
            *IS_WAITING,
            Member.address.is_not(None),
        )
    )


def _read(session: Session, gift: Gift) -> Body:
    if gift.redeemed_at:
        raise NotDueError("The gift was accepted before the e-mail could leave.")
    return _body(session, gift)


def _body(session: Session, gift: Gift) -> Body:
    values = gift_values(session, gift)

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your gift for %(name)s hasn’t been accepted yet", name=v["recipient"]),
            _("Your gift for %(name)s hasn’t been accepted yet", name=v["recipient"]),
            [
                _("Nobody has used the code yet. Our e-mail or your card may have got lost."),
                _(
                    "Remind %(name)s, or pass on the code yourself. It doesn’t expire.",
                    **name_of(v),
                ),
            ],
        )

    return replace(
        compose(
            say,
            values,
            _("You’re getting this e-mail because you paid for a gift. It’s the only reminder."),
        ),
        is_member=False,
        rows=[*code_row(gift), *what_is_given(gift, values)],
        link=Link(_("View and print the card"), card_address(gift)),
    )


KIND = Kind(
    label=lambda: _("Gift: not accepted yet (to the giver)"),
    once_per=OncePer.CAUSE,
    due=_due,
    body=about_gift(_read),
    example=example_about_gift(_body),
)
