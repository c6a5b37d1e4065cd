"""A gift was refunded or lost to a dispute: to whoever had accepted it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, NotDueError, Wording, compose
from fundraiser.emails.parts.gifts import (
    example_gift,
    gift_values,
    gift_without_money,
    join_page,
    what_is_given,
)
from fundraiser.members.models import Member, Membership, Source
from fundraiser.outbox import Email, OncePer
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.members.gifts import (
        Gift,
    )


def _read(session: Session, email: Email) -> Body:
    gift, ended = gift_without_money(session, email)
    membership = session.scalars(
        select(Membership).where(
            Membership.source == Source.GIFT, Membership.reference == gift.charge_id
        )
    ).one()
    if membership.counts_until and membership.counts_until <= ended:
        raise NotDueError("The gift had run out before its money went back.")
    recipient = session.get_one(Member, gift.recipient_id)
    return _body(session, gift, ended, is_member=recipient.counting)


def _example(session: Session, member: Member | None) -> Body:
    gift = example_gift(session, member)
    return _body(session, gift, gift.paid_at, is_member=False)


def _body(session: Session, gift: Gift, ended: datetime, *, is_member: bool) -> Body:
    """No word of whose will it was; ``is_member``: by something else than the gift."""
    values = gift_values(session, gift) | {"date": date(ended)}

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your gift from %(name)s has ended", name=v["giver"]),
            _("Your gift ended on %(date)s", date=v["date"]),
            [
                _(
                    "The payment for it was reversed, so the gift membership of "
                    "%(newsroom)s ended on %(date)s. You did nothing wrong, and you "
                    "won’t be charged for it.",
                    newsroom=v["newsroom"],
                    date=v["date"],
                ),
            ],
        )

    what_now = (
        _("You’re still a member through your other membership.")
        if is_member
        else _(
            "You’re no longer counted as a member. If you’d like to stay, join with a "
            "payment of your own: you keep your member number."
        )
    )
    return replace(
        compose(
            say, values, _("You’re getting this e-mail because you accepted a gift."), what_now
        ),
        has_account=is_member,
        rows=[*what_is_given(gift, values), (_("Ended on"), values["date"])],
        link=None if is_member else Link(_("Stay a member"), join_page(gift)),
    )


KIND = Kind(
    label=lambda: _("Gift: refunded or disputed (to the recipient)"),
    once_per=OncePer.RECIPIENT,
    body=_read,
    example=_example,
    resendable=True,
)
