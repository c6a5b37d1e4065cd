"""An invitation to come back, two weeks after the end: once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import exists, or_

from fundraiser.config import current_settings
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, Wording, compose
from fundraiser.emails.parts.memberships import about_membership, example_about
from fundraiser.emails.parts.queries import Due, due_to_members, has_left, key_of
from fundraiser.members.models import Dues, Membership
from fundraiser.outbox import EmailChoice, OncePer, Topic
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


def _due(at: datetime) -> Due:
    """Where the reason was the price, or none was given: of their own will, and not otherwise."""
    return due_to_members(
        key_of(Membership.reference),
        *has_left(at, 14, 17),
        Membership.payment_status == Dues.PAID,
        Membership.cancel_reason.is_distinct_from("payment_failed"),
        Membership.cancel_reason.is_distinct_from("payment_disputed"),
        or_(
            Membership.cancel_feedback.is_(None),
            Membership.cancel_feedback == "too_expensive",
        ),
        Membership.refunded_at.is_(None),
        Membership.disputed_at.is_(None),
        ~exists().where(
            EmailChoice.member_id == Membership.member_id,
            EmailChoice.topic == Topic.RETURN,
            EmailChoice.wanted.is_(False),
        ),
    )


def _body(membership: Membership, values: dict[str, str]) -> Body:
    is_price = membership.cancel_feedback == "too_expensive"

    def say(v: Mapping[str, str]) -> Wording:
        offer = (
            _("You told us it cost too much. You can pay less: choose the amount yourself.")
            if is_price
            else _("If you come back, your member number is still yours.")
        )
        return Wording(
            _("Would you come back to %(newsroom)s?", newsroom=v["newsroom"]),
            _("We’d love to have you back"),
            [
                offer,
                _("This is the only time we’ll ask."),
            ],
        )

    return replace(
        compose(
            say, values, _("You’re getting this e-mail because you were a member until recently.")
        ),
        has_account=False,
        link=Link(_("Choose an amount"), f"{current_settings().public_url}/join#amount"),
    )


KIND = Kind(
    label=lambda: _("Invitation to come back"),
    once_per=OncePer.CAUSE,
    due=_due,
    body=about_membership(_body),
    example=example_about(_body, ended=True),
    topic=Topic.RETURN,
)
