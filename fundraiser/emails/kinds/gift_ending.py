"""A gift runs out in two weeks: the offer to go on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from fundraiser.config import current_settings
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, NotDueError, Wording, compose
from fundraiser.emails.parts.gifts import example_gift, gift_values, join_page, what_is_given
from fundraiser.emails.parts.queries import Due, days, due_to, key_of
from fundraiser.members.eligibility import counted_until, counts_at
from fundraiser.members.gifts import Gift, ends_at
from fundraiser.members.models import Member, Membership, Source
from fundraiser.outbox import Email, OncePer
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


def _due(at: datetime) -> Due:
    """Two weeks before its end, unless the person stays a member by something else."""
    grace, other = current_settings().grace, aliased(Membership)
    stays = exists().where(
        other.member_id == Membership.member_id,
        other.id != Membership.id,
        counted_until(grace, other) > Membership.counts_until,
    )
    return (
        due_to(Membership.member_id, key_of(Membership.reference), membership=Membership.reference)
        .join(Member, Member.id == Membership.member_id)
        .where(
            Membership.source == Source.GIFT,
            Membership.counts_until <= at + days(14),
            counts_at(at, grace),
            ~stays,
            Member.address.is_not(None),
        )
    )


def _read(session: Session, email: Email) -> Body:
    found = session.execute(
        select(Membership, Gift)
        .join(Gift, Gift.charge_id == Membership.reference)
        .where(
            Membership.source == Source.GIFT,
            Membership.reference == email.context["membership"],
        )
    ).first()
    if found is None or found.Membership.counts_until is None:
        raise NotDueError("The gift that it is about is not known any more.")
    return _body(session, found.Gift, found.Membership.counts_until)


def _example(session: Session, member: Member | None) -> Body:
    gift = example_gift(session, member)
    return _body(session, gift, ends_at(gift.paid_at, gift.years))


def _body(session: Session, gift: Gift, until: datetime) -> Body:
    """The offer to go on; there is no other e-mail at a gift's end."""
    values = gift_values(session, gift) | {"date": date(until)}

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your gift from %(name)s ends on %(date)s", name=v["giver"], date=v["date"]),
            _("Would you like to stay a member?"),
            [
                _(
                    "You’re a member of %(newsroom)s until %(date)s, as a gift from "
                    "%(name)s. It ends automatically, and you won’t be charged.",
                    newsroom=v["newsroom"],
                    date=v["date"],
                    name=v["giver"],
                ),
                _(
                    "If you’d like to stay, join with a payment of your own. It "
                    "starts on the day you join, and you keep your member number."
                ),
            ],
        )

    return replace(
        compose(
            say,
            values,
            _(
                "You’re getting this e-mail because your gift is ending. We’ll send no other "
                "about it."
            ),
        ),
        rows=[*what_is_given(gift, values), (_("Ends on"), values["date"])],
        link=Link(_("Stay a member"), join_page(gift)),
    )


KIND = Kind(
    label=lambda: _("Gift: ends soon"),
    once_per=OncePer.RECIPIENT,
    due=_due,
    body=_read,
    example=_example,
)
