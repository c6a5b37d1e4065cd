"""A membership was canceled, and ends on a later day."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, NotDueError, Wording, compose
from fundraiser.emails.parts.memberships import about_membership, example_about, needs
from fundraiser.emails.parts.queries import Due, days, due_to_members, key_of
from fundraiser.members.email_links import membership_link
from fundraiser.members.models import Membership
from fundraiser.members.renewals import RENEWS, renews
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


def _due(at: datetime) -> Due:
    return due_to_members(
        key_of(Membership.reference, Membership.canceled_at),
        Membership.canceled_at > at - days(3),
        Membership.cancel_at > at,
        ~RENEWS,
        Membership.ended_at.is_(None),
        Membership.paid_at.is_not(None),
    )


def _body(membership: Membership, values: dict[str, str]) -> Body:
    needs(values, "date")

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your membership is cancelled"),
            _("Your membership is cancelled"),
            [
                _(
                    "You stay a member until %(date)s, and you won’t be charged again.",
                    date=v["date"],
                ),
                _("Thank you for supporting %(newsroom)s.", newsroom=v["newsroom"]),
            ],
        )

    if renews(membership):
        raise NotDueError("The membership is charged again before it ends.")

    return replace(
        compose(
            say, values, _("You’re getting this e-mail because your membership was cancelled.")
        ),
        rows=[(_("You paid"), values["each"]), (_("Member until"), values["date"])],
        advice=(
            _("If you change your mind"),
            _("Until that day you can keep your membership as it was."),
        ),
        link=Link(_("Keep my membership"), membership_link(membership)),
    )


KIND = Kind(
    label=lambda: _("Membership cancelled"),
    urgent=True,
    once_per=OncePer.CAUSE,
    due=_due,
    body=about_membership(_body),
    example=example_about(_body, canceled=True),
)
