"""A bank account waits to be confirmed by two small deposits before the membership can start."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.config import current_settings
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, NotDueError, Wording, compose, example_link
from fundraiser.emails.parts.memberships import example_membership, membership_of
from fundraiser.members.models import Member, Membership, Status
from fundraiser.members.prices import price_of
from fundraiser.outbox import Email, OncePer
from fundraiser.payments.models import Checkout
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session


def _read(session: Session, email: Email) -> Body:
    membership = membership_of(session, email.key)
    checkout = session.scalars(select(Checkout).where(Checkout.reference == email.key)).first()
    if membership is None or membership.status is not Status.INCOMPLETE or checkout is None:
        raise NotDueError("The bank account was confirmed, or can't be any more.")
    home = current_settings().public_url
    return _body(membership, f"{home}/join/thanks?session_id={checkout.session_id}")


def _example(session: Session, member: Member | None) -> Body:
    return _body(example_membership(session, member), example_link())


def _body(membership: Membership, link: str) -> Body:
    each_time = price_of(membership)
    values = {"newsroom": current_settings().newsroom_name, "each": each_time}

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Confirm your bank account to join %(newsroom)s", newsroom=v["newsroom"]),
            _("Confirm your bank account"),
            [
                _(
                    "Stripe, our payment service, will send a small deposit to your "
                    "bank account within one or two business days. When you see it, "
                    "confirm it on Stripe’s page."
                ),
                _("You haven’t been charged yet. Your membership starts once you’ve confirmed."),
            ],
        )

    return replace(
        compose(
            say,
            values,
            _("You’re getting this e-mail because you chose to pay from a bank account."),
        ),
        rows=[(_("You pay"), each_time)],
        link=Link(_("Confirm my bank account"), link),
        has_account=False,
    )


KIND = Kind(
    label=lambda: _("Bank account needs confirming"),
    urgent=True,
    once_per=OncePer.CAUSE,
    body=_read,
    example=_example,
)
